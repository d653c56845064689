use super::Rules;
use super::store::{Applied, Entry, Store};
use crate::base::Key;

/// The follower's side of the protocol: it stores what is newer and tells the rest apart.
///
/// - To read: [`Follower::store`].
/// - To feed: [`Follower::replicate`], whose result is the answer to the leader.
#[derive(Debug, Clone)]
pub struct Follower {
    store: Store,
    rules: Rules,
}

impl Follower {
    /// A follower with an empty store.
    pub fn new(rules: Rules) -> Self {
        Self { store: Store::default(), rules }
    }

    /// What the follower stores.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A write has arrived. It is applied if and only if its stamp is greater than the one that the key has.
    pub fn replicate(&mut self, key: &Key, entry: Entry) -> Applied {
        if self.rules.compare_stamps {
            return self.store.apply(key, entry);
        }
        self.store.overwrite(key, entry);
        Applied::Yes
    }
}
