//! The followers that hold each acknowledged write.

use super::known::How;
use super::loss::{Cause, Protection};
use super::{Check, Excuse};
use crate::base::trace::{Micros, Record};
use crate::base::{Epoch, FollowerId, FollowerSet, NodeId, Stamp, Value};
use crate::check::evidence::{At, names};
use crate::check::replay::Held;
use crate::check::writes::Write;

/// A write that was acknowledged.
pub(super) struct Acknowledged<'a> {
    pub(super) write: &'a Write<'a>,
    pub(super) how: How<'a>,
    pub(super) protection: Protection,
    /// Holders that lost it since they held it, by a crash or without noticing, and have not been brought up to date or
    /// repaired since.
    gone: FollowerSet,
    /// One complaint about a write is enough.
    accused: bool,
}

impl<'a> Check<'a> {
    pub(super) fn acknowledged(&mut self, write: &'a Write<'a>, how: How<'a>, now: Micros) {
        if self.of_key[write.key_number].contains_key(&(write.life, write.stamp)) {
            return;
        }
        self.of_key[write.key_number].insert((write.life, write.stamp), self.acknowledged.len());
        self.lives.insert(write.life);
        let (quorum, counted) = (self.facts.quorum_of(write.life), self.replay.held_by(write, now));
        let holders = &counted.living;
        let mut gone = FollowerSet::default();
        for (id, excuse) in counted.excuses(quorum) {
            let why = match excuse {
                Excuse::LostKey => "had refused it, since it had lost the key without noticing",
                _ => "which had stored it, had crashed",
            };
            self.excuses.add(excuse, || format!("{how}, when {id}, {why}"));
        }
        for (id, _) in &counted.excused {
            gone.insert(*id);
        }
        let lost = self.lost_keys.iter().filter(|(_, key, held)| *key == write.key_number && held.covers(write));
        for (id, ..) in lost.filter(|(id, ..)| !holders.contains(id)) {
            if gone.insert(*id) && holders.len() < quorum {
                self.excuses.add(Excuse::LostKey, || format!("{how}, when {id} had lost it without noticing"));
            }
        }
        let accused = holders.len() + gone.len() < quorum;
        if accused {
            let only = if holders.is_empty() { "" } else { "only " };
            let forgot = self.replay.forgot(write);
            let forgot: Vec<String> =
                forgot.iter().map(|(id, crash)| format!("; {id} had, but crashed at {}", At(*crash))).collect();
            self.violations.push(format!(
                "{how}, when {only}{} stored it, where {quorum} must{}",
                names(holders),
                forgot.concat()
            ));
        }
        self.know(write.key_number, write.stamp, write.value, how, write.life);
        let protection = self.protection(write.life, || holders.clone());
        self.acknowledged.push(Acknowledged { write, how, protection, gone, accused });
    }

    /// A follower lost what it stored for a key and did not notice. Until it is repaired, no node can know.
    pub(super) fn lost_key(&mut self, record: &Record, key: usize, before: Option<Held<'a>>) {
        let (NodeId::Follower(id), Some(before)) = (record.node, before) else { return };
        self.lost_keys.push((id, key, before));
        for at in self.of_key[key].values() {
            let Acknowledged { write, gone, how, .. } = &mut self.acknowledged[*at];
            if before.covers(write) && gone.insert(id) {
                let quorum = self.facts.quorum_of(write.life);
                if self.replay.holders(write).len() < quorum {
                    self.excuses.add(Excuse::LostKey, || format!("{how}, and {id} lost it without noticing"));
                }
            }
        }
    }

    /// A follower crashes. It is forgotten already, and what it lost is what it held.
    pub(super) fn loses_memory(&mut self, id: FollowerId, now: Micros) {
        for Acknowledged { write, how, gone, .. } in &mut self.acknowledged {
            if self.replay.forgot(write).contains(&(id, now)) && gone.insert(id) {
                let quorum = self.facts.quorum_of(write.life);
                if self.replay.holders(write).len() < quorum {
                    self.excuses.add(Excuse::CrashedHolder, || format!("{how}, and {id} crashed at {}", At(now)));
                }
            }
        }
    }

    /// A follower has been brought up to date. What it has not now it does not hold.
    pub(super) fn installed(&mut self, record: &Record) {
        let NodeId::Follower(id) = record.node else { return };
        let replay = &self.replay;
        self.lost_keys.retain(|(of, key, _)| *of != id || replay.lacks(id, *key));
        for at in 0..self.acknowledged.len() {
            let Acknowledged { gone, write, .. } = &self.acknowledged[at];
            if gone.contains(id) && !self.replay.lacks(id, write.key_number) {
                self.acknowledged[at].gone.remove(id);
                self.is_held(at, |holders| {
                    let at = At(record.at);
                    format!("but {id} was brought up to date at {at} without it, and {holders} stored it")
                });
            }
        }
    }

    /// A follower gives up what it stores for a key.
    pub(super) fn given_up(&mut self, record: &Record, key: usize, before: Option<Held<'a>>) {
        if before.is_none() {
            return;
        }
        let (node, now) = (record.node, At(record.at));
        let of_key: Vec<usize> = self.of_key[key].values().copied().collect();
        for at in of_key {
            self.is_held(at, |holders| format!("but {node} gave it up at {now}, and {holders} still stored it"));
        }
    }

    /// A follower stores something else for a key than before. Nothing is lost unless it is older, or another's.
    pub(super) fn not_replaced(
        &mut self,
        record: &Record,
        key: usize,
        replaced: Option<Held<'a>>,
        stamp: Stamp,
        value: Option<&Value>,
    ) {
        if let NodeId::Follower(id) = record.node {
            self.repaired(id, key);
        }
        let Some(before) = replaced else { return };
        if before.stamp < stamp || (before.stamp == stamp && before.value == value) {
            return;
        }
        let of_key = &self.of_key[key];
        // If both are of one life, what is before the later one still covers what is before the earlier.
        let one_life =
            before.life.is_some() && self.replay.held(record.node, key).is_some_and(|now| now.life == before.life);
        let lost: Vec<usize> = if one_life {
            let between = |life| of_key.range((life, stamp)..=(life, before.stamp));
            self.lives.iter().copied().flat_map(between).map(|(_, at)| *at).collect()
        } else {
            of_key.values().copied().collect()
        };
        for at in lost {
            self.is_held(at, |holders| {
                let value = value.map_or_else(|| "nothing".to_owned(), Value::to_string);
                let (node, now) = (record.node, At(record.at));
                format!("but {node} replaced it by {stamp} = {value} at {now}, and {holders} still stored it")
            });
        }
    }

    /// A follower that had lost a key stores something for it again. What is older than what it lost repairs nothing.
    fn repaired(&mut self, id: FollowerId, key: usize) {
        if !self.lost_keys.iter().any(|(of, lost, _)| (*of, *lost) == (id, key)) {
            return;
        }
        let Some(held) = self.replay.held(id.into(), key) else { return };
        self.lost_keys.retain(|(of, lost, before)| (*of, *lost) != (id, key) || before.stamp > held.stamp);
        for at in self.of_key[key].values() {
            let Acknowledged { write, gone, .. } = &mut self.acknowledged[*at];
            if held.covers(write) {
                gone.remove(id);
            }
        }
    }

    /// A leader serves. What it has is protected by its configuration from now on; what is gone with it has been told of.
    pub(super) fn protect(&mut self, record: &Record, epoch: Epoch) {
        for place in 0..self.acknowledged.len() {
            let write = self.acknowledged[place].write;
            if write.stamp.epoch >= epoch {
                continue;
            }
            let held = self.replay.held(record.node, write.key_number);
            if held.is_some_and(|held| held.covers(write)) {
                let protection = self.protection(record.incarnation, || self.replay.holders(write));
                self.acknowledged[place].protection = protection;
            } else {
                self.acknowledged[place].accused = true;
            }
        }
    }

    /// Whether enough followers hold a write, less those that crashed since. If not, it is accused, once.
    fn is_held(&mut self, at: usize, but: impl FnOnce(&str) -> String) {
        let Acknowledged { write, how, gone, accused, protection } = &mut self.acknowledged[at];
        let (holders, quorum) = (self.replay.holders(write), self.facts.quorum_of(write.life));
        if *accused || holders.len() + gone.len() >= quorum {
            return;
        }
        let but = but(&names(holders));
        if Some(write.stamp) <= self.collected[write.key_number] {
            return self.excuses.add(Excuse::CollectedDeletion, || format!("{how}, {but}"));
        }
        // What a leader that recovers has not is told of once it serves.
        if matches!(protection.cause, Some(cause) if !matches!(cause, Cause::TwoLeaders { .. })) {
            return;
        }
        *accused = true;
        let (key, cause) = (write.key_number, protection.cause);
        let sentence = format!("{how}, {but}, where {quorum} must");
        self.report(key, sentence, cause);
    }
}
