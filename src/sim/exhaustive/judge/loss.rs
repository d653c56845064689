//! Losses: what is gone for a cause that the documentation names, after more failures than the store tolerates. A scope can
//! have two of these causes, that no member of the leader had its memory when it bootstrapped, and that the leader waits.

use crate::base::Member;
use crate::check::Property;
use crate::core::Configuration;
use crate::sim::exhaustive::memory::Memory;
use crate::sim::exhaustive::step::Step;

impl Step<'_> {
    /// The leader has recovered, perhaps by bootstrapping the cluster. What it lacks is lost if no member had its memory. It is
    /// not if this leader has served before: then it knows that there was something, and must wait.
    pub(in crate::sim::exhaustive) fn judge_recovered(&mut self, bootstraps: bool) {
        let life = self.state.life;
        let is_of_life = |accepted: Option<(u8, _, _)>| accepted.is_some_and(|(of, ..)| of == life);
        let has_served = self.state.ghost.records.iter().any(|record| is_of_life(record.accepted));
        let has_memory = |member: &Member| self.remembers(member);
        let is_documented = !has_served && !self.scope.configuration_of(life).members.iter().any(has_memory);
        for key in 0..self.scope.keys.len() {
            let is_lost = is_documented && !self.is_known_to_leader(key);
            let of_key = &mut self.state.ghost.keys[key];
            of_key.is_lost |= is_lost;
            if bootstraps {
                of_key.returned_before = of_key.returned.take().max(of_key.returned_before);
            }
        }
    }

    /// What was known of a key is gone: lost if a documented cause explains it, or else against durability.
    pub(super) fn judge_gone(&mut self, key: usize, what: impl FnOnce(&Self) -> String) {
        if self.state.ghost.keys[key].is_lost {
            let cause = "no follower had its memory, and the leader bootstrapped the cluster, empty";
            self.lose(Property::Durability, |step| format!("{}: {cause}", what(step)));
        } else {
            self.accuse(Property::Durability, what);
        }
    }

    /// The leader waits, for good. What no node stores is lost if it waits because too few members have their memory.
    pub(super) fn judge_gone_while_waiting(&mut self) {
        for key in 0..self.scope.keys.len() {
            let Some((known, write, since)) = self.state.ghost.keys[key].known else { continue };
            let is_stored = |memory: &Memory| {
                let entry = memory.entry(self.scope, key);
                memory.remembers() && entry.is_some_and(|entry| self.is_kept(key, (known, write), Some(entry)))
            };
            let is_collected = self.state.ghost.keys[key].collected > Some(known);
            if self.deletes(write)
                || is_collected
                || self.state.followers().any(|(_, site)| site.memory.as_ref().is_some_and(is_stored))
            {
                continue;
            }
            let gone =
                |step: &Self| format!("{} with {known} is forgotten: no node stores it in the end", step.name(write));
            let lives = since..=self.state.life;
            let lacking = lives.map(|life| self.memories_for(life)).find(|(remembering, needed)| remembering < needed);
            match lacking {
                _ if self.state.ghost.keys[key].is_lost => self.judge_gone(key, gone),
                None => self.accuse(Property::Durability, gone),
                Some((remembering, needed)) => self.lose(Property::Durability, |step| {
                    format!(
                        "{}: only {remembering} of the {needed} followers that a recovery takes had their memory, and the \
                         leader waits for an operator",
                        gone(step)
                    )
                }),
            }
        }
    }

    /// How many members that the leader of this life had are members still and have their memory, and how many must.
    pub(super) fn memories_for(&self, life: u8) -> (usize, usize) {
        let of_then = self.scope.configuration_of(life);
        let present = &self.scope.configuration_of(self.state.life).members;
        let common = present.iter().filter(|member| of_then.members.contains(member));
        let remembering = common.filter(|member| self.remembers(member)).count();
        (remembering, Configuration::of(of_then.members.len(), of_then.quorum).recovery_quorum())
    }

    fn remembers(&self, member: &Member) -> bool {
        self.state.site(member.follower).memory.as_ref().is_some_and(Memory::remembers)
    }

    /// Whether the leader stores what is known of a key, or something later.
    fn is_known_to_leader(&self, key: usize) -> bool {
        let Some((known, write, _)) = self.state.ghost.keys[key].known else { return true };
        let leader = self.state.leader.as_ref();
        let stored = leader.and_then(|leader| leader.store().get(&self.scope.keys[key]));
        self.is_kept(key, (known, write), stored)
    }
}
