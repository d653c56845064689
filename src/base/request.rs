use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

/// The name that a client gives to a write, so as to be able to ask for it once more: a UTF-8 string of 1 to
/// [`RequestName::MAX_BYTES`] bytes. A clone shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RequestName(Arc<str>);

/// Why a text cannot be a [`RequestName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a request_id must be 1 to {max} bytes of UTF-8, this one has {got}", max = RequestName::MAX_BYTES)]
pub struct InvalidRequestName {
    got: usize,
}

impl RequestName {
    /// The longest name, in bytes of UTF-8: room for a UUID with a word before it.
    pub const MAX_BYTES: usize = 64;

    /// Checks the length and takes the text as it is.
    ///
    /// # Errors
    /// [`InvalidRequestName`] for an empty text or one longer than [`RequestName::MAX_BYTES`].
    pub fn new(text: &str) -> Result<Self, InvalidRequestName> {
        match text.len() {
            1..=Self::MAX_BYTES => Ok(Self(text.into())),
            got => Err(InvalidRequestName { got }),
        }
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A map by names can be asked for a text.
impl Borrow<str> for RequestName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for RequestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for RequestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RequestName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_counted_in_bytes() {
        assert!(RequestName::new("r").is_ok() && RequestName::new(&"é".repeat(32)).is_ok());
        for (text, got) in [(String::new(), 0), ("r".repeat(65), 65), ("é".repeat(33), 66)] {
            let message = RequestName::new(&text).unwrap_err().to_string();
            assert_eq!(message, format!("a request_id must be 1 to 64 bytes of UTF-8, this one has {got}"));
            assert!(serde_json::from_str::<RequestName>(&format!("{text:?}")).is_err());
        }
    }
}
