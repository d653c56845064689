use crate::base::{FollowerId, FollowerSet, NodeId};

/// Something of each node that has it: a map that finds a node by its place.
#[derive(Debug)]
pub(super) struct Nodes<T>(Vec<Option<T>>);

impl<T> Default for Nodes<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Nodes<T> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn get(&self, node: NodeId) -> Option<&T> {
        self.0.get(place(node))?.as_ref()
    }

    pub(super) fn get_mut(&mut self, node: NodeId) -> Option<&mut T> {
        self.0.get_mut(place(node))?.as_mut()
    }

    /// What the node has; the default if it had none until now.
    pub(super) fn of(&mut self, node: NodeId) -> &mut T
    where
        T: Default,
    {
        self.slot(node).get_or_insert_default()
    }

    /// Gives the node something. Returns what it had.
    pub(super) fn replace(&mut self, node: NodeId, with: T) -> Option<T> {
        self.slot(node).replace(with)
    }

    pub(super) fn remove(&mut self, node: NodeId) -> Option<T> {
        self.0.get_mut(place(node))?.take()
    }

    /// What the followers have, in their order.
    pub(super) fn followers(&self) -> impl Iterator<Item = (FollowerId, &T)> {
        let of_followers = self.0.iter().skip(1);
        FollowerId::first(FollowerSet::CAPACITY)
            .zip(of_followers)
            .filter_map(|(id, of_node)| Some((id, of_node.as_ref()?)))
    }

    fn slot(&mut self, node: NodeId) -> &mut Option<T> {
        let place = place(node);
        if self.0.len() <= place {
            self.0.resize_with(place + 1, || None);
        }
        &mut self.0[place]
    }
}

/// The first leader comes first, then the followers, then other nodes that can lead. Clients and the network store nothing in
/// a right run.
fn place(node: NodeId) -> usize {
    match node {
        NodeId::FIRST_SERVER => 0,
        NodeId::Follower(id) => 1 + id.index(),
        NodeId::Network => 1 + FollowerSet::CAPACITY,
        NodeId::Server(id) => 1 + FollowerSet::CAPACITY + usize::from(id),
        NodeId::Client(id) => 2 + FollowerSet::CAPACITY + usize::from(u8::MAX) + usize::from(id),
    }
}
