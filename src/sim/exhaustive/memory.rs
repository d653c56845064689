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

    /// Whether what it stores can be relied on.
    pub(super) fn remembers(&self) -> bool {
        self.follower.identity().standing == Standing::Normal
    }

    /// What it holds for a key, and be it a tombstone.
    pub(super) fn entry(&self, scope: &Scope, key: usize) -> Option<&Entry> {
        self.follower.store().entry(&scope.keys[key])
    }
}

impl Hash for Memory {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.follower.hash(state);
        self.brought.hash(state);
    }
}
