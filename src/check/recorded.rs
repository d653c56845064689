use super::Facts;
use crate::base::NodeId;
use crate::base::history::History;
use crate::base::trace::Record;
use crate::base::wire::Dump;

/// A finished run, as the checkers see it: nothing but what was recorded.
///
/// Of some runs only the clients were recorded. Then there are neither records nor states nor facts, and a checker that
/// cannot judge without them says so.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// Everything that happened, in order.
    pub records: &'a [Record],
    /// The operations of the clients, put together from the records.
    pub history: &'a History,
    /// What each node stores in the end, the leader first.
    pub states: &'a [(NodeId, Dump)],
    /// What was run; `None` where only clients were recorded.
    pub facts: Option<&'a Facts>,
}

impl<'a> Recorded<'a> {
    /// A run of which only the clients were recorded.
    ///
    /// Such a history may begin on a cluster that held keys already. It is taken that nobody but the recorded clients
    /// writes from then on, and that the leader had the newest write of every key. What is read of a key is then *from
    /// before* if it is older than every recorded write of the key that was invoked by the time it was found.
    pub fn of_clients(history: &'a History) -> Self {
        Self { records: &[], history, states: &[], facts: None }
    }
}
