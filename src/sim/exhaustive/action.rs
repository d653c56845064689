use crate::base::{FollowerId, NodeId};

/// One copy of a replication message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parcel {
    /// The follower that it goes to.
    pub to: FollowerId,
    /// The place of the operation that it carries, among those of the scope.
    pub operation: usize,
    /// 1 for the first delivery; more for resends.
    pub attempt: u32,
    /// 0 for the message itself; more for what was sent along with it.
    pub copy: u8,
}

/// Something that happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A client begins its next operation, which is the one in this place of the scope. It reaches its node at once.
    Invoke(usize),
    /// A message reaches its follower, which answers unless nobody waits for that.
    Arrive(Parcel),
    /// The answer to it reaches the leader.
    Answer(Parcel),
    /// The leader is told that it was lost: its deadline has passed, or its connection ended.
    GiveUp(Parcel),
    /// A fault strikes it.
    Strike(Fate, Parcel),
    /// The deadline of the oldest write that waits.
    Deadline,
    /// What a follower missed is sent again.
    Resend(FollowerId),
    /// The leader asks a follower something that it has not asked before, or had no answer to.
    Ask(FollowerId),
    /// The question to a follower that is under way arrives.
    Question(FollowerId),
    /// The answer to it reaches the leader.
    Heard(FollowerId),
    /// The leader is told that there will be no answer.
    Unheard(FollowerId),
    /// A question of a leader that is not any more arrives: this of those on their way to a follower.
    Stray(FollowerId, usize),
    /// A node is killed and loses its memory.
    Crash(NodeId),
    /// A node is started again, empty.
    Restart(NodeId),
}

/// What a fault does to a message, with the place of the fault among those of the scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is lost.
    Drop(usize),
    /// It has arrived, but its answer is lost.
    DropReply(usize),
    /// It will arrive once more.
    Duplicate(usize),
    /// Deadlines may pass before it has arrived and was answered.
    Late(usize),
}
