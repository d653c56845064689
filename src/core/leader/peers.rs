use std::ops::{Index, IndexMut};

use super::Peer;
use crate::base::{FollowerId, FollowerSet};

/// The state that a leader keeps for each of its followers, in the order of their numbers.
///
/// The numbers need not be consecutive: where the members of a cluster change, the others keep theirs.
#[derive(Debug, Clone)]
pub(super) struct Peers {
    set: FollowerSet,
    ids: Vec<FollowerId>,
    peers: Vec<Peer>,
    /// Whether the numbers are consecutive from 0, so that a number is a place.
    is_dense: bool,
}

impl Peers {
    pub(super) fn new(followers: FollowerSet, peer: impl FnMut(FollowerId) -> Peer) -> Self {
        let ids: Vec<FollowerId> = followers.iter().collect();
        let is_dense = ids.iter().enumerate().all(|(place, id)| id.index() == place);
        Self { set: followers, peers: ids.iter().copied().map(peer).collect(), ids, is_dense }
    }

    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// The followers, in order.
    pub(super) fn ids(&self) -> impl DoubleEndedIterator<Item = FollowerId> + use<> {
        self.set.iter()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Peer> {
        self.peers.iter()
    }

    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Peer> {
        self.peers.iter_mut()
    }

    /// Each follower with its state.
    pub(super) fn enumerate(&self) -> impl Iterator<Item = (FollowerId, &Peer)> {
        self.ids.iter().copied().zip(&self.peers)
    }

    /// The same, to be changed.
    pub(super) fn enumerate_mut(&mut self) -> impl Iterator<Item = (FollowerId, &mut Peer)> {
        self.ids.iter().copied().zip(&mut self.peers)
    }

    fn place(&self, id: FollowerId) -> usize {
        if self.is_dense {
            return id.index();
        }
        self.ids.binary_search(&id).expect("a leader is told of its own followers only")
    }
}

impl Index<FollowerId> for Peers {
    type Output = Peer;

    fn index(&self, id: FollowerId) -> &Peer {
        &self.peers[self.place(id)]
    }
}

impl IndexMut<FollowerId> for Peers {
    fn index_mut(&mut self, id: FollowerId) -> &mut Peer {
        let place = self.place(id);
        &mut self.peers[place]
    }
}
