use crate::base::trace::Rpc;
use crate::base::{NodeId, NodeRef};

/// Selects peer RPCs. A field that is not given selects all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcTarget {
    /// Those of this kind.
    pub rpc: Rpc,
    /// Those that this node sends.
    pub from: Option<NodeId>,
    /// Those to this follower.
    pub to: Option<NodeRef>,
    /// The nth of its kind to its follower in each incarnation of the leader, counted from 1.
    pub number: Option<u64>,
    /// This many in a thousand of them.
    pub per_mille: u16,
}

/// The effect of a fault on peer RPCs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RpcEffect {
    /// The request does not arrive.
    Drop,
    /// The request arrives, but the response to it does not.
    DropReply,
    /// The request arrives twice.
    Duplicate {
        /// How long the copy takes, in milliseconds; drawn, if that is not said.
        delay_ms: Option<u64>,
    },
    /// The request takes this long. The leader gives it up at its timeout; it arrives all the same.
    Delay {
        /// Milliseconds.
        delay_ms: u64,
    },
}
