use std::fmt;

use super::evidence::count;
use crate::base::Key;

/// How much of a run a verdict is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The number of operations or claims that were judged; `None` where a checker does not count them.
    pub judged: Option<usize>,
    /// The operations that were not judged, by reason.
    pub skipped: Vec<Skipped>,
}

/// Operations that a checker did not judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// How many.
    pub operations: usize,
    /// Their keys, in order.
    pub keys: Vec<Key>,
    /// Why they were not judged.
    pub reason: String,
    /// Whether the property says something about these operations, so that leaving them out is a gap in the verdict.
    pub is_gap: bool,
}

/// How many keys are named.
const NAMED_KEYS: usize = 3;

/// `2 operations on 1 key (x): the reason`
impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations, keys, reason, .. } = self;
        let named: Vec<&str> = keys.iter().take(NAMED_KEYS).map(Key::as_str).collect();
        let more = if keys.len() > NAMED_KEYS { ", …" } else { "" };
        let (operations, number) = (count(*operations, "operation"), count(keys.len(), "key"));
        write!(f, "{operations} on {number} ({}{more}): {reason}", named.join(", "))
    }
}

/// Collects what a checker leaves out, by reason.
#[derive(Debug, Default)]
pub(super) struct Skips(Vec<Skipped>);

impl Skips {
    /// Adds operations on one key.
    pub(super) fn add(&mut self, key: &Key, operations: usize, is_gap: bool, reason: impl Into<String>) {
        if operations == 0 {
            return;
        }
        let reason = reason.into();
        match self.0.iter_mut().find(|skipped| skipped.reason == reason) {
            Some(skipped) => {
                skipped.operations += operations;
                if let Err(place) = skipped.keys.binary_search(key) {
                    skipped.keys.insert(place, key.clone());
                }
            }
            None => self.0.push(Skipped { operations, keys: vec![key.clone()], reason, is_gap }),
        }
    }

    pub(super) fn into_vec(self) -> Vec<Skipped> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::key;

    #[test]
    fn what_is_left_out_is_added_up_by_reason() {
        let mut skips = Skips::default();
        for name in ["k2", "k1", "k2", "k3", "k4"] {
            skips.add(&key(name), 2, true, "it is too long");
        }
        skips.add(&key("k1"), 1, false, "it is refused");
        skips.add(&key("k9"), 0, true, "never");
        let text: Vec<String> = skips.into_vec().iter().map(Skipped::to_string).collect();
        assert_eq!(
            text,
            ["10 operations on 4 keys (k1, k2, k3, …): it is too long", "1 operation on 1 key (k1): it is refused"]
        );
    }
}
