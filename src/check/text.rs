use xxhash_rust::xxh3::xxh3_64;

use crate::base::Value;

/// The text of a value, to be looked up by. The values of a run begin alike, so their hashes are compared first; the
/// order is no alphabetical one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text<'a> {
    hash: u64,
    text: &'a str,
}

impl<'a> Text<'a> {
    pub(super) fn of(value: &'a Value) -> Self {
        let text = value.as_json();
        Self { hash: xxh3_64(text.as_bytes()), text }
    }
}
