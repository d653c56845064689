use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use super::scope::Scope;
use crate::base::{FollowerId, Stamp};
use crate::core::{Entry, Follower, Incarnation, Standing};

/// What a follower has in memory, and had during its present life.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    pub(super) follower: Follower,
    /// The greatest stamp of each key, by its place, that each life of the leader brought.
    pub(super) brought: BTreeMap<(usize, u8), Stamp>,
}

impl Memory {
    /// That of a follower which begins this of its lives.
    pub(super) fn new(scope: &Scope, id: FollowerId, life: u64) -> Self {
        Self { follower: Follower::new(Incarnation::nth(id, life), scope.rules()), brought: BTreeMap::new() }
    }

    /// A leader's life brought it this.
    pub(super) fn bring(&mut self, key: usize, life: u8, stamp: Stamp) {
        let brought = self.brought.entry((key, life)).or_insert(stamp);
        *brought = stamp.max(*brought);
    }

    /// Whether it remembers more of what earlier lives of the leader than this one brought than what was greatest of each key.
    pub(super) fn is_of_the_past(&self, life: u8) -> bool {
        let before = |(_, of): &(usize, u8)| *of < life;
        self.brought.iter().any(|((key, of), stamp)| {
            before(&(*key, *of)) && (*of > 0 || self.brought.iter().any(|((k, o), s)| k == key && *o > 0 && s >= stamp))
        })
    }

    /// Keeps of what earlier lives of the leader than this one brought only what was greatest of each key, and still is.
    pub(super) fn let_go_of_the_past(&mut self, life: u8) {
        if !self.is_of_the_past(life) {
            return;
        }
        let (past, mut kept): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.brought).into_iter().partition(|((_, of), _)| *of < life);
        let mut greatest: BTreeMap<usize, Stamp> = BTreeMap::new();
        for ((key, _), stamp) in past {
            let known = greatest.entry(key).or_insert(stamp);
            *known = stamp.max(*known);
        }
        for (key, stamp) in greatest {
            if kept.get(&(key, life)).is_none_or(|present: &Stamp| *present < stamp) {
                kept.insert((key, 0), stamp);
            }
        }
        self.brought = kept;
    }

    /// Feeds a hasher with everything that decides what comes of it; see [`Follower::hash_behaviour`].
    pub(super) fn hash_behaviour<H: Hasher>(&self, parts_may_come: bool, state: &mut H) {
        self.follower.hash_behaviour(parts_may_come, state);
        self.brought.hash(state);
    }

    /// Whether what it stores can be relied on.
    pub(super) fn remembers(&self) -> bool {
        self.follower.identity().standing == Standing::Normal
    }

    /// What it holds for a key, and be it a tombstone.
    pub(super) fn entry(&self, scope: &Scope, key: usize) -> Option<&Entry> {
        self.follower.store().entry(&scope.keys[key])
    }
}
