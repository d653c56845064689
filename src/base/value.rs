use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// A JSON value, kept as the text that came in.
///
/// Nothing is parsed into numbers or maps and written out again, so 2⁵³+1, `1e400`, a lone surrogate or a repeated
/// object field come back exactly as they went in. A clone shares the text: however many followers a write goes to,
/// the value is in memory once.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct Value(Arc<RawValue>);

/// Why a text cannot be a [`Value`].
#[derive(Debug, thiserror::Error)]
pub enum InvalidValue {
    /// The text is not one JSON value.
    #[error("not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// Arrays and objects are nested deeper than [`Value::MAX_DEPTH`].
    #[error("a value may be nested up to {max} levels deep, this one goes deeper", max = Value::MAX_DEPTH)]
    TooDeep,
}

impl Value {
    /// The deepest nesting of arrays and objects. Many JSON parsers recurse, and a document that we hand out must not
    /// overflow the stack of whoever reads it (CVE-2022-3212 is of this kind).
    pub const MAX_DEPTH: usize = 128;

    /// Takes a JSON text as a value.
    ///
    /// # Errors
    /// [`InvalidValue`] if the text is not one JSON value or is nested too deep.
    pub fn from_json(text: &str) -> Result<Self, InvalidValue> {
        Self::from_raw(serde_json::from_str(text)?)
    }

    fn from_raw(raw: Box<RawValue>) -> Result<Self, InvalidValue> {
        if depth(raw.get()) > Self::MAX_DEPTH {
            return Err(InvalidValue::TooDeep);
        }
        Ok(Self(raw.into()))
    }

    /// Reads a field that may be left out: one that is there has a value, and be it `null`.
    pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        Self::deserialize(deserializer).map(Some)
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// The JSON text as bytes that share this value's memory.
    pub fn to_shared_bytes(&self) -> Bytes {
        struct Text(Arc<RawValue>);
        impl AsRef<[u8]> for Text {
            fn as_ref(&self) -> &[u8] {
                self.0.get().as_bytes()
            }
        }
        Bytes::from_owner(Text(Arc::clone(&self.0)))
    }
}

/// The greatest number of arrays and objects that are open at once. The text is known to be JSON.
fn depth(json: &str) -> usize {
    let (mut open, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                open += 1;
                deepest = deepest.max(open);
            }
            b']' | b'}' if !in_string => open -= 1,
            _ => {}
        }
    }
    deepest
}

/// Two values are equal when their texts are: `1.0` and `1.00` differ.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        // Most that are compared are clones of one another.
        Arc::ptr_eq(&self.0, &other.0) || self.as_json() == other.as_json()
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_json().hash(state);
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json())
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_raw(raw).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_survives_as_it_is() {
        for text in
            ["null", "9007199254740993", "1e400", r#""\ud800""#, r#"{"a":1,"a":2}"#, "[1, 2 ,\t3]", r#""[[[\"[[""#]
        {
            assert_eq!(Value::from_json(text).unwrap().as_json(), text);
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["NaN", "Infinity", "-Infinity", "", "{", "'a'", "01", "1 2"] {
            assert!(matches!(Value::from_json(text), Err(InvalidValue::NotJson(_))), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Value::from_json(&nested(100)).is_ok());
        assert!(Value::from_json(&nested(128)).is_ok());
        assert!(matches!(Value::from_json(&nested(129)), Err(InvalidValue::TooDeep)));
        let brackets_in_a_string = format!("\"{}\"", "[".repeat(1000));
        assert!(Value::from_json(&brackets_in_a_string).is_ok());
    }

    #[test]
    fn shared_bytes_are_the_same_memory() {
        let value = Value::from_json("[1,2,3]").unwrap();
        assert_eq!(value.to_shared_bytes().as_ptr(), value.as_json().as_ptr());
    }
}
