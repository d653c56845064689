//! Which writes are taken on at all: as many as may wait for their quorum.

use super::vocabulary::Rejected;
use crate::core::Limits;

/// What waits for its quorum, and holds memory whether or not its client is still there.
#[derive(Debug, Clone, Default)]
pub(super) struct Admission {
    writes: usize,
    bytes: usize,
}

impl Admission {
    /// Whether a write of this size may wait, too.
    ///
    /// # Errors
    /// [`Rejected::Overloaded`].
    pub(super) fn admit(&self, size: usize, limits: &Limits) -> Result<(), Rejected> {
        let fits = self.bytes.saturating_add(size) <= limits.waiting_bytes || self.writes == 0;
        if self.writes < limits.waiting && fits { Ok(()) } else { Err(Rejected::Overloaded { waiting: self.writes }) }
    }

    /// A write begins to wait.
    pub(super) fn begin(&mut self, size: usize) {
        self.writes += 1;
        self.bytes += size;
    }

    /// Its client has its answer.
    pub(super) fn end(&mut self, size: usize) {
        self.writes -= 1;
        self.bytes -= size;
    }
}
