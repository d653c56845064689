use crate::base::RequestName;

/// Options of a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// The idempotency key, by which the leader recognises the write if it is sent again.
    pub request: Option<RequestName>,
    /// The version that the key must have; 0 if it must be absent. Otherwise the write is refused with
    /// [`Failed::Conflict`](super::Failed::Conflict).
    pub if_version: Option<u64>,
}
