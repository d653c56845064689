use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::Visible;

/// The name under which a value is stored: a UTF-8 string of 1 to [`Key::MAX_BYTES`] bytes.
///
/// Keys are compared and ordered byte for byte; nothing is normalised or folded. A clone shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Key(Arc<str>);

/// Why a text cannot be a [`Key`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key must be 1 to {max} bytes of UTF-8, this one has {got}", max = Key::MAX_BYTES)]
pub struct InvalidKey {
    got: usize,
}

impl Key {
    /// The longest key, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 1024;

    /// Checks the length and takes the text as it is.
    ///
    /// # Errors
    /// [`InvalidKey`] for an empty text or one longer than [`Key::MAX_BYTES`].
    pub fn new(text: &str) -> Result<Self, InvalidKey> {
        match text.len() {
            1..=Self::MAX_BYTES => Ok(Self(text.into())),
            got => Err(InvalidKey { got }),
        }
    }

    /// The text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A map by keys can be asked for a text. Both compare byte for byte.
impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl std::str::FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The key for people, with control characters escaped. [`Key::as_str`] returns the text itself.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Visible(self.as_str()).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Borrows the text where the input allows it, so that most keys are copied once only.
        struct Text;

        impl serde::de::Visitor<'_> for Text {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Key, E> {
                Key::new(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_counted_in_bytes() {
        assert!(Key::new("").is_err());
        assert!(Key::new(&"k".repeat(1024)).is_ok());
        assert!(Key::new(&"k".repeat(1025)).is_err());
        assert!(Key::new(&"é".repeat(512)).is_ok());
        assert_eq!(
            Key::new(&"é".repeat(513)).unwrap_err().to_string(),
            "a key must be 1 to 1024 bytes of UTF-8, this one has 1026"
        );
    }

    #[test]
    fn escapes_in_json_name_the_same_key() {
        let key: Key = serde_json::from_str(r#""a\u0062c\/""#).unwrap();
        assert_eq!(key.as_str(), "abc/");
    }
}
