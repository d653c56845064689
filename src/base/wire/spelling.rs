//! Fields that are misspelt.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The body of a client's write.
pub trait WriteBody {
    /// The names of its fields.
    const FIELDS: &'static [&'static str];
}

/// Takes a JSON object, and refuses it if one of its fields differs from one in [`WriteBody::FIELDS`] in nothing but case and
/// separators, as `ifVersion` does from `if_version`. Other fields that are not known are ignored.
pub(super) struct Spelt<T>(pub(super) T);

impl<'de, T: Deserialize<'de> + WriteBody> Deserialize<'de> for Spelt<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + WriteBody> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(Checked { map, fields: T::FIELDS }))
            }
        }

        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

/// An object whose field names are checked as they come.
struct Checked<A> {
    map: A,
    fields: &'static [&'static str],
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Checked<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(name) = self.map.next_key_seed(Name)? else { return Ok(None) };
        if let Some(meant) = meant_by(&name, self.fields) {
            return Err(A::Error::custom(format!("field `{name}`: must be written `{meant}`")));
        }
        match name {
            Cow::Borrowed(name) => seed.deserialize(BorrowedStrDeserializer::new(name)),
            Cow::Owned(name) => seed.deserialize(StrDeserializer::new(&name)),
        }
        .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// The field that a name misspells.
fn meant_by(name: &str, fields: &[&'static str]) -> Option<&'static str> {
    if fields.contains(&name) {
        return None;
    }
    let letters = |text: &str| -> String {
        text.chars().filter(|c| !matches!(c, '_' | '-' | '.' | ' ')).flat_map(char::to_lowercase).collect()
    };
    let said = letters(name);
    fields.iter().find(|field| letters(field) == said).copied()
}

/// Reads a field's name, without copying it where that is possible.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::wire::{DeleteRequest, SetRequest, parse_write};
    use crate::base::{Key, RequestName, Value};

    #[test]
    fn a_misspelt_field_is_refused_with_the_name_that_is_meant() {
        for (body, says) in [
            (r#"{"key":"a","value":1,"ifVersion":3}"#, "field `ifVersion`: must be written `if_version`"),
            (r#"{"key":"a","value":1,"if-version":3}"#, "field `if-version`: must be written `if_version`"),
            (r#"{"key":"a","value":1,"IF_VERSION":3}"#, "field `IF_VERSION`: must be written `if_version`"),
            (r#"{"key":"a","value":1,"requestId":"r"}"#, "field `requestId`: must be written `request_id`"),
            (r#"{"key":"a","value":1,"request\u0049d":"r"}"#, "field `requestId`: must be written `request_id`"),
            (r#"{"Key":"a","value":1}"#, "field `Key`: must be written `key`"),
            (r#"{"key":"a","VALUE":1}"#, "field `VALUE`: must be written `value`"),
        ] {
            let error = parse_write::<SetRequest>(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{body}: {error}");
        }
        assert!(parse_write::<DeleteRequest>(br#"{"key":"a","ifVersion":3}"#).is_err());
    }

    #[test]
    fn other_fields_are_ignored_and_known_ones_read() {
        let body = br#"{"key":"a","value":{"ifVersion":1},"ttl":5,"version":1,"if_version":3,"re\u0071uest_id":"r"}"#;
        let set: SetRequest = parse_write(body).unwrap();
        assert_eq!((set.value.as_json(), set.if_version), (r#"{"ifVersion":1}"#, Some(3)));
        assert_eq!(set.request_id.unwrap(), RequestName::new("r").unwrap());
        assert!(parse_write::<DeleteRequest>(br#"{"key":"a","value":1}"#).is_ok(), "it has no value to misspell");
    }

    #[test]
    fn the_fields_are_those_that_there_are() {
        let names =
            |body: serde_json::Value| -> Vec<String> { body.as_object().expect("an object").keys().cloned().collect() };
        let sorted = |fields: &[&str]| -> Vec<String> {
            let mut fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
            fields.sort_unstable();
            fields
        };
        let (key, if_version) = (Key::new("a").unwrap(), Some(1));
        let request_id = RequestName::new("r").ok();
        let value = Value::from_json("1").unwrap();
        let set = SetRequest { key: key.clone(), value, if_version, request_id: request_id.clone() };
        assert_eq!(names(serde_json::to_value(&set).unwrap()), sorted(SetRequest::FIELDS));
        let delete = DeleteRequest { key, if_version, request_id };
        assert_eq!(names(serde_json::to_value(&delete).unwrap()), sorted(DeleteRequest::FIELDS));
    }
}
