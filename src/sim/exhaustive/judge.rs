//! What must hold, judged step by step: what the checkers of `check` find in a whole recorded run, here of what is
//! remembered of the past in each state.

mod loss;

use std::cmp::Ordering;
use std::fmt;

use super::memory::Memory;
use super::scope::{JUDGED, MOST_FOLLOWERS};
use super::state::{Flight, Progress, Record, Violated};
use super::step::Step;
use crate::base::{FollowerId, FollowerSet, Key, Stamp, Version};
use crate::check::Property;
use crate::core::{Completion, Entry};
use crate::sim::scenario::PlannedKind;
use crate::sim::shrink::Goal;

impl Violated {
    /// Whether this property was violated; false for one that is not judged.
    pub(super) fn has(self, property: Property) -> bool {
        JUDGED.iter().position(|judged| *judged == property).is_some_and(|place| self.0 >> place & 1 == 1)
    }

    fn add(&mut self, property: Property) {
        let place = JUDGED.iter().position(|judged| *judged == property).expect("a property that is judged");
        self.0 |= 1 << place;
    }
}

impl fmt::Display for Violated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = JUDGED.iter().filter(|property| self.has(**property)).map(|p| p.name()).collect();
        f.write_str(if names.is_empty() { "nothing" } else { "" })?;
        f.write_str(&names.join(", "))
    }
}

impl Step<'_> {
    fn accuse(&mut self, property: Property, what: impl FnOnce(&Self) -> String) {
        self.state.ghost.violated.add(property);
        self.tell_evidence(Goal::Violates(property), what);
    }

    /// Acknowledged data is lost for a documented cause, which is no violation.
    fn lose(&mut self, property: Property, what: impl FnOnce(&Self) -> String) {
        self.state.ghost.lost.add(property);
        self.tell_evidence(Goal::Loses(property), what);
    }

    fn tell_evidence(&mut self, found: Goal, what: impl FnOnce(&Self) -> String) {
        if self.tale.is_some() {
            let what = what(self);
            self.tale.iter_mut().for_each(|tale| tale.evidence.push((found, what.clone())));
        }
    }

    /// The leader has taken a write on and given it a stamp.
    pub(super) fn judge_accepted(&mut self, write: usize, stamp: Stamp, stored_before: Option<Stamp>) {
        let key = self.scope.operations[write].key;
        let life = self.state.life;
        if let Some(other) = self.other_with(write, key, stamp, false) {
            self.accuse(Property::Integrity, |step| {
                format!("{stamp} was given to {} and to {}", step.name(other), step.name(write))
            });
        }
        let last = self.state.ghost.keys[key].last.replace(stamp);
        let earlier = |place: &usize| *place != write && self.given_in(*place, life).is_some();
        let deletions = || (0..self.scope.operations.len()).filter(earlier).filter(|place| self.deletes(*place));
        let floor = deletions().filter_map(|place| self.given_in(place, life)).map(|stamp| stamp.version).max();
        let was_deleted =
            last.is_some() && deletions().any(|place| self.given_in(place, life) == last && self.is_of(place, key));
        let after = |last: Option<Version>| last.map_or(Some(Version::FIRST), Version::next) == Some(stamp.version);
        let is_next = match last {
            Some(last) if last.epoch != stamp.epoch => false,
            Some(last) if !was_deleted => after(Some(last.version)),
            _ if life == 0 => after(floor),
            Some(_) => floor.is_none_or(|floor| stamp.version > floor),
            None => true,
        };
        if !is_next {
            self.accuse(Property::Integrity, |step| {
                format!("{} got {stamp}, which is not the version after the last", step.name(write))
            });
        }
        if let Some(before) = stored_before.filter(|before| *before > stamp) {
            self.accuse(Property::MonotonicState, |_| format!("the leader went back from {before} to {stamp}"));
        }
        if let Some((known, other, since)) = self.state.ghost.keys[key].known
            && since < life
            && known >= stamp
        {
            self.judge_gone(key, |step| {
                format!("{} with {known} is forgotten: {} got {stamp}", step.name(other), step.name(write))
            });
            self.state.ghost.keys[key].known = None;
            self.state.ghost.keys[key].is_lost = false;
        }
    }

    /// A follower has stored something for this key, or not; `before` is what it held.
    pub(super) fn judge_applied(&mut self, to: FollowerId, key: usize, before: Option<Entry>) {
        let memory = self.state.site(to).memory.as_ref().expect("who applies is up");
        let Some(after) = memory.entry(self.scope, key).cloned() else { return };
        let brought = memory.brought.iter().filter(|((of, _), _)| *of == key).map(|(_, stamp)| *stamp).max();
        if let (None, Some(deleted)) = (&before, brought.filter(|brought| *brought > after.stamp)) {
            let back = after.stamp;
            self.accuse(Property::MonotonicState, |_| format!("{to} had {deleted}, forgot it, and has {back} again"));
        }
        self.judge_integrity(key, &after, &to.to_string());
        let Some(before) = before.filter(|before| *before != after) else { return };
        if before.stamp < after.stamp {
            return;
        }
        if before.stamp > after.stamp {
            let (from, back) = (before.stamp, after.stamp);
            self.accuse(Property::MonotonicState, |_| format!("{to} went back from {from} to {back}"));
        }
        // Something else has taken the place of what may have been acknowledged.
        for write in 0..self.state.ghost.records.len() {
            let record = self.state.ghost.records[write];
            if record.acknowledged && self.scope.operations[write].key == key {
                let holders = self.holders(write);
                let quorum = record.accepted.map_or(0, |(life, ..)| self.scope.quorum_of(life));
                if holders.len() + record.crashed.len() < quorum {
                    self.accuse(Property::Durability, |step| {
                        format!("{} was acknowledged, and {to} replaced it: too few still store it", step.name(write))
                    });
                }
            }
        }
    }

    /// What is stored or read is what somebody wrote, under the stamp that it got.
    fn judge_integrity(&mut self, key: usize, entry: &Entry, who: &str) {
        let write = self.writer_of(key, entry);
        let stamp = write.and_then(|write| self.state.ghost.records[write].accepted).map(|(_, _, stamp)| stamp);
        // A leader that has recovered it gives it its own epoch.
        let is_it = |given: Stamp| given.version == entry.stamp.version && given.epoch <= entry.stamp.epoch;
        if !stamp.is_some_and(is_it) {
            self.accuse(Property::Integrity, |_| format!("{who} has {entry}, which nobody wrote"));
        }
    }

    /// The leader answers the client of a write.
    pub(super) fn judge_completed(&mut self, write: usize, completion: Completion) {
        let Completion { ok, confirmations, .. } = completion;
        let quorum = self.scope.quorum_of(self.state.life);
        let stored = self.reached(write);
        let told = |step: &Self| {
            let how = if ok { "acknowledged" } else { "answered without its quorum" };
            format!("{} was {how} with {confirmations} of {quorum} confirmations", step.name(write))
        };
        if confirmations > stored.len() || (ok && stored.len() < quorum) {
            self.accuse(Property::Acknowledgement, |step| {
                format!("{}, but {} had stored it", told(step), only(stored))
            });
        } else if ok && confirmations < quorum {
            self.accuse(Property::Acknowledgement, told);
        }
        if !ok {
            if self.state.spent == 0 && !self.state.ghost.window_was_full {
                self.accuse(Property::Liveness, |step| format!("{}, though there was no fault", told(step)));
            }
            return;
        }
        let (_, _, stamp) = self.state.ghost.records[write].accepted.expect("what completes was accepted");
        self.take_effect(write);
        let key = self.scope.operations[write].key;
        let of_key = &mut self.state.ghost.keys[key];
        of_key.returned = of_key.returned.max(Some(stamp));
        self.know(key, stamp, write, self.state.life);
        let holders = self.holders(write);
        let mourned = self.mourned(|memory| self.covers(memory.entry(self.scope, key), write));
        let record = &mut self.state.ghost.records[write];
        record.acknowledged = true;
        for id in all(mourned).filter(|id| !holders.contains(*id)) {
            record.crashed.insert(id);
        }
        if holders.len() + record.crashed.len() < quorum {
            self.accuse(Property::Durability, |step| format!("{}, but {} stored it", told(step), only(holders)));
        }
    }

    /// A client has read at the leader.
    pub(super) fn judge_read_at_leader(&mut self, read: usize, found: Option<&Entry>) {
        let key = self.scope.operations[read].key;
        if let Some(entry) = found {
            self.judge_integrity(key, entry, &format!("what {} read at the leader", self.name(read)));
        }
        let returned = self.state.ghost.keys[key].returned;
        let floor = self.state.ghost.records[read].floor;
        let writer = match found {
            Some(entry) => self.writer_of(key, entry),
            // It saw the first deletion that it can have seen.
            None => self.deletions_from(key, floor).min_by_key(|(_, stamp)| *stamp).map(|(place, _)| place),
        };
        // What was recovered has its place where it was written.
        let written = writer.filter(|_| floor.is_some() || found.is_some()).and_then(|writer| self.given(writer));
        let stamp = written.or(found.map(|entry| entry.stamp));
        let writer = writer.filter(|_| stamp.is_some());
        if stamp < floor {
            self.accuse(Property::Linearizability, |step| {
                let found = stamp.map_or("nothing".to_owned(), |stamp| stamp.to_string());
                let before = floor.map_or(String::new(), |stamp| stamp.to_string());
                format!("{} found {found}, though {before} had returned before", step.name(read))
            });
        } else if stamp < self.state.ghost.keys[key].returned_before {
            self.lose(Property::Linearizability, |step| {
                let found = stamp.map_or("nothing".to_owned(), |stamp| stamp.to_string());
                let before =
                    step.state.ghost.keys[key].returned_before.map_or(String::new(), |stamp| stamp.to_string());
                format!(
                    "{} found {found}, though {before} had returned before a leader bootstrapped the cluster, empty",
                    step.name(read)
                )
            });
        }
        self.state.ghost.keys[key].returned = returned.max(stamp);
        if let Some(writer) = writer {
            self.take_effect(writer);
        }
        let forgotten = self.state.ghost.keys[key]
            .known
            .filter(|(known, writes, since)| *since < self.state.life && !self.is_kept(key, (*known, *writes), found));
        match (forgotten, stamp, writer) {
            (Some((known, write, _)), ..) => self.judge_gone(key, |step| {
                format!("{} with {known} is forgotten: {} does not find it", step.name(write), step.name(read))
            }),
            (None, Some(stamp), Some(writer)) => self.know(key, stamp, writer, self.state.life),
            _ => {}
        }
    }

    /// A client has read at a follower, which may be behind.
    pub(super) fn judge_read_at_follower(&mut self, read: usize, found: &Entry) {
        self.judge_integrity(self.scope.operations[read].key, found, &format!("what {} read", self.name(read)));
    }

    /// So many messages to a follower are under way, of the kind of one that was sent now.
    pub(super) fn judge_bounds(&mut self, to: FollowerId, first: bool) {
        let is_counted = |flight: &&Flight| flight.is_open && flight.first == first;
        let number = self.state.site(to).flights.iter().filter(is_counted).count();
        let keys = self.state.ghost.keys.iter().filter(|key| key.last.is_some()).count();
        let (kind, limit) =
            if first { ("first deliveries", self.scope.scenario.cluster.window) } else { ("resends", keys) };
        if number > limit {
            self.accuse(Property::Bounds, |_| format!("{number} {kind} to {to} are under way; at most {limit} may be"));
        }
    }

    /// A follower is about to lose its memory: who held what was acknowledged.
    pub(super) fn mourn(&mut self, id: FollowerId) {
        for write in 0..self.state.ghost.records.len() {
            let held = self
                .state
                .site(id)
                .memory
                .as_ref()
                .and_then(|memory| memory.entry(self.scope, self.scope.operations[write].key));
            if self.state.ghost.records[write].acknowledged && self.covers(held, write) {
                self.state.ghost.records[write].crashed.insert(id);
            }
        }
    }

    /// Nothing is left to do but what faults may bring: everybody has an answer, and all replicas are equal; or the leader waits.
    pub(super) fn judge_rest(&mut self) {
        if self.state.leader.as_ref().is_some_and(|leader| !leader.serves()) {
            return self.judge_waiting();
        }
        if let Some(open) = self.state.ghost.records.iter().position(|record| record.progress != Progress::Done) {
            self.accuse(Property::Liveness, |step| format!("{} never returns", step.name(open)));
        }
        let Some(leader) = self.state.leader.clone() else { return };
        let store = |memory: &Memory| memory.follower.store().shows_the_same_as(leader.store());
        let different = |id: &FollowerId| !self.state.site(*id).memory.as_ref().is_some_and(store);
        let members = &self.scope.configuration_of(self.state.life).members;
        if let Some(id) = members.iter().map(|member| member.follower).find(different) {
            self.accuse(Property::Convergence, |step| {
                format!("{id} and the leader differ for ever: {}", step.differ(id))
            });
        }
        for key in 0..self.scope.keys.len() {
            let Some((known, write, _)) = self.state.ghost.keys[key].known else { continue };
            if !self.is_kept(key, (known, write), leader.store().get(&self.scope.keys[key])) {
                self.judge_gone(key, |step| {
                    format!("{} with {known} is forgotten: the leader does not have it in the end", step.name(write))
                });
            }
        }
    }

    /// The leader waits for what will not come. It may, if more followers have lost their memory than the quorum allows for. Then
    /// whoever asked it for something waits, too, which is excused as [`Excuse::LeaderWaits`](crate::check::Excuse::LeaderWaits).
    fn judge_waiting(&mut self) {
        self.judge_gone_while_waiting();
        // Of the members of each configuration under which a leader has been, so many of the present ones must remember.
        let enough = |life: u8| {
            let (remembering, needed) = self.memories_for(life);
            remembering >= needed
        };
        if (0..=self.state.life).all(enough) {
            self.accuse(Property::Liveness, |_| "the leader never serves, though enough followers remember".into());
        }
    }

    /// Somebody has forgotten a deletion, so that it took effect: this life of the leader knew, and each after it must.
    pub(super) fn judge_collected(&mut self, key: &Key, stamp: Stamp, life: u8) {
        let Some(key) = self.scope.keys.iter().position(|known| known == key) else { return };
        if let Some(write) = self.writer_of(key, &Entry::new(stamp, None))
            && let Some(given) = self.given(write)
        {
            let collected = &mut self.state.ghost.keys[key].collected;
            *collected = (*collected).max(Some(given));
            self.know(key, given, write, life);
        }
    }

    /// Whether this is what was known of a key, or later, or if it is nothing, the key was deleted. A leader that has recovered
    /// something gives it its own epoch, and goes on counting.
    fn is_kept(&self, key: usize, (known, write): (Stamp, usize), found: Option<&Entry>) -> bool {
        let Some(entry) = found else {
            let next = Stamp { version: known.version.next().unwrap_or(known.version), ..known };
            return self.deletes(write) || self.deletions_from(key, Some(next)).next().is_some();
        };
        let is_it = entry.stamp.version == known.version && entry.value == self.scope.operations[write].value;
        entry.stamp.epoch >= known.epoch && (entry.stamp.version > known.version || is_it)
    }

    fn deletes(&self, operation: usize) -> bool {
        self.scope.operations[operation].kind == PlannedKind::Delete
    }

    fn is_of(&self, operation: usize, key: usize) -> bool {
        self.scope.operations[operation].key == key
    }

    /// The stamp that a leader gave to a write.
    fn given(&self, write: usize) -> Option<Stamp> {
        self.state.ghost.records[write].accepted.map(|(_, _, stamp)| stamp)
    }

    /// The same, if it was this life of the leader.
    fn given_in(&self, write: usize, life: u8) -> Option<Stamp> {
        self.state.ghost.records[write].accepted.filter(|(of, ..)| *of == life).map(|(_, _, stamp)| stamp)
    }

    /// The deletions of a key that may have taken effect, from this stamp on.
    fn deletions_from(&self, key: usize, from: Option<Stamp>) -> impl Iterator<Item = (usize, Stamp)> {
        let places =
            (0..self.scope.operations.len()).filter(move |place| self.deletes(*place) && self.is_of(*place, key));
        let accepted = places.filter(|place| !self.state.ghost.records[*place].behind);
        accepted.filter_map(|place| Some((place, self.given(place)?))).filter(move |(_, stamp)| Some(*stamp) >= from)
    }

    /// The operation that wrote what is stored, by its place. Values are unique, and the stamps of deletions.
    fn writer_of(&self, key: usize, entry: &Entry) -> Option<usize> {
        let mut places = 0..self.scope.operations.len();
        if entry.value.is_some() {
            return places.find(|place| self.scope.operations[*place].value == entry.value);
        }
        // A leader that has recovered it gives it its own epoch.
        let is_it = |given: Stamp| given.version == entry.stamp.version && given.epoch <= entry.stamp.epoch;
        places.find(|place| self.deletes(*place) && self.is_of(*place, key) && self.given(*place).is_some_and(is_it))
    }

    fn know(&mut self, key: usize, stamp: Stamp, write: usize, life: u8) {
        let of_key = &mut self.state.ghost.keys[key];
        if of_key.known.is_none_or(|(known, ..)| known < stamp) {
            of_key.known = Some((stamp, write, life));
            of_key.is_lost = false;
        }
    }

    /// A write is known to have taken effect: its stamp must be above what had returned when it was invoked, and its own.
    fn take_effect(&mut self, write: usize) {
        let record = &mut self.state.ghost.records[write];
        let Some((_, _, stamp)) = record.accepted.filter(|_| !record.effective) else { return };
        record.effective = true;
        if record.behind {
            self.accuse(Property::Linearizability, |step| {
                format!("{} wrote {stamp}, though what is not older had returned before it began", step.name(write))
            });
        }
        let key = self.scope.operations[write].key;
        if let Some(other) = self.other_with(write, key, stamp, true) {
            self.accuse(Property::Linearizability, |step| {
                format!("{} and {} both wrote {stamp}", step.name(other), step.name(write))
            });
        }
    }

    /// Another write of the key with the same stamp.
    fn other_with(&self, write: usize, key: usize, stamp: Stamp, effective: bool) -> Option<usize> {
        let records = self.state.ghost.records.iter().enumerate();
        let is_other = |(place, record): &(usize, &Record)| {
            *place != write
                && self.scope.operations[*place].key == key
                && record.accepted.is_some_and(|(_, _, other)| other == stamp)
                && (record.effective || !effective)
        };
        records.filter(is_other).map(|(place, _)| place).next()
    }

    /// Whether this is the write or a later one of the same life of the leader.
    fn covers(&self, held: Option<&Entry>, write: usize) -> bool {
        let life = |write: usize| self.state.ghost.records[write].accepted.map(|(life, ..)| life);
        let Some((_, _, stamp)) = self.state.ghost.records[write].accepted else { return false };
        let collected = self.state.ghost.keys[self.scope.operations[write].key].collected;
        let Some(held) = held else { return collected >= Some(stamp) };
        match held.stamp.cmp(&stamp) {
            Ordering::Less => false,
            Ordering::Equal => held.value == self.scope.operations[write].value,
            Ordering::Greater if held.stamp.epoch > stamp.epoch => true,
            Ordering::Greater => {
                let holder = self.writer_of(self.scope.operations[write].key, held);
                holder.is_none_or(|holder| life(holder) == life(write))
            }
        }
    }

    /// The followers that store the write or a later one.
    fn holders(&self, write: usize) -> FollowerSet {
        let key = self.scope.operations[write].key;
        let living = self.state.followers().filter_map(|(id, site)| Some((id, site.memory.as_ref()?)));
        let living = living.filter(|(_, memory)| memory.remembers());
        set(living.filter(|(_, memory)| self.covers(memory.entry(self.scope, key), write)).map(|(id, _)| id))
    }

    /// The followers that were brought the write, or a later one of the same life of the leader, in their present life.
    fn reached(&self, write: usize) -> FollowerSet {
        let key = self.scope.operations[write].key;
        let Some((life, _, stamp)) = self.state.ghost.records[write].accepted else { return FollowerSet::default() };
        let was_brought = |memory: &Memory| memory.brought.get(&(key, life)).is_some_and(|brought| *brought >= stamp);
        let living = self.state.followers().filter(|(_, site)| site.memory.as_ref().is_some_and(was_brought));
        let mourned = self.mourned(was_brought);
        set(living.map(|(id, _)| id).chain(all(mourned)))
    }

    /// The followers that lost a memory of which this is true, and the leader need not know. One that looks after its
    /// followers learns of it when a later life of theirs answers; to another one the news comes by itself.
    fn mourned(&self, holds: impl Fn(&Memory) -> bool) -> FollowerSet {
        let lost = |id: FollowerId| self.state.site(id).lost.as_ref().filter(|memory| holds(memory));
        if !self.scope.rules().recover_on_start {
            return set(all(self.outlived).filter(|id| lost(*id).is_some()));
        }
        let Some(leader) = &self.state.leader else { return FollowerSet::default() };
        let is_unknown = |id: &FollowerId| {
            let known = leader.replicates_to(*id).then(|| leader.knows(*id)).flatten();
            let known = known.map(|identity| identity.incarnation);
            lost(*id).is_some_and(|memory| known == Some(memory.follower.identity().incarnation))
        };
        set(FollowerId::first(self.state.sites.len()).filter(is_unknown))
    }
}

fn all(followers: FollowerSet) -> impl Iterator<Item = FollowerId> {
    FollowerId::first(MOST_FOLLOWERS).filter(move |id| followers.contains(*id))
}

fn set(followers: impl Iterator<Item = FollowerId>) -> FollowerSet {
    followers.fold(FollowerSet::default(), |mut set, id| {
        set.insert(id);
        set
    })
}

/// `nobody`, `only f1`, `only f1 and f2`
fn only(followers: FollowerSet) -> String {
    let names: Vec<String> = all(followers).map(|id| id.to_string()).collect();
    if names.is_empty() { "nobody".into() } else { format!("only {}", names.join(" and ")) }
}

#[cfg(test)]
mod tests;
