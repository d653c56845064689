/// What a leader may have under way. Whoever does not answer must cost it a bounded amount of memory, and whoever asks for more than
/// it can take must learn so before anything has happened (load shedding; Nygard, *Release It!*, 2007, "Fail Fast").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most first deliveries to one follower that may be unanswered. A write past it goes to the follower as
    /// something missed, so that a follower which does not answer costs memory for its keys, not for its writes. To one that
    /// has not answered for longer than a request may take it is 1.
    pub window: usize,
    /// The most bytes of keys and values that they may hold. A single write may be larger.
    pub window_bytes: usize,
    /// The most writes that may wait for their quorum, and the most linearizable reads that may wait for theirs. One more is
    /// refused before it has a version.
    pub waiting: usize,
    /// The most bytes of keys and values that the writes may hold. A single one may be larger.
    pub waiting_bytes: usize,
    /// The most keys that a follower's store is read by at a time, or that are sent to bring it up to date; at least 1. By bytes there
    /// is a limit besides.
    pub part_keys: usize,
}

impl Default for Limits {
    /// What is enough for 20,000 writes a second with emulated delays of up to a second: 20,000 of them are under way, and wait.
    fn default() -> Self {
        Self { window: 65_536, window_bytes: 64 << 20, waiting: 65_536, waiting_bytes: 256 << 20, part_keys: 1024 }
    }
}
