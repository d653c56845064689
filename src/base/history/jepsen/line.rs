//! One line of a history in the style of Jepsen.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use crate::base::{NodeId, RequestName, Value, Version};

/// The process of a line, which says whether the rest of the line concerns the store.
#[derive(Deserialize)]
pub(super) struct Head {
    pub(super) process: Process,
}

/// A line of a client. Other fields are ignored.
#[derive(Deserialize)]
pub(super) struct Line {
    pub(super) r#type: Type,
    pub(super) f: Function,
    pub(super) process: Process,
    pub(super) key: Option<KeyName>,
    /// Present if the field is, even if it is `null`.
    #[serde(default, deserialize_with = "Value::present")]
    pub(super) value: Option<Value>,
    /// Nanoseconds. Negative if the time is not known.
    pub(super) time: Option<i64>,
    pub(super) node: Option<NodeId>,
    pub(super) version: Option<Version>,
    pub(super) if_version: Option<u64>,
    pub(super) min_version: Option<Version>,
    pub(super) request_id: Option<RequestName>,
}

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// A client.
    Client(u64),
    /// The process that injects faults.
    Nemesis,
}

#[derive(Clone, Copy)]
pub(super) enum Type {
    Invoke,
    Ok,
    Fail,
    Info,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Function {
    Read,
    Write,
    Cas,
    Delete,
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Cas => "cas",
            Self::Delete => "delete",
        })
    }
}

/// A key as people write it: a text, or a whole number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyName(pub(super) String);

/// A keyword of Clojure's, with its colon or without.
struct Keyword(String);

impl<'de> Deserialize<'de> for Keyword {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(text.strip_prefix(':').map(str::to_owned).unwrap_or(text)))
    }
}

impl<'de> Deserialize<'de> for Type {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Keyword(name) = Keyword::deserialize(deserializer)?;
        match name.as_str() {
            "invoke" => Ok(Self::Invoke),
            "ok" => Ok(Self::Ok),
            "fail" => Ok(Self::Fail),
            "info" => Ok(Self::Info),
            _ => Err(D::Error::unknown_variant(&name, &["invoke", "ok", "fail", "info"])),
        }
    }
}

impl<'de> Deserialize<'de> for Function {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Keyword(name) = Keyword::deserialize(deserializer)?;
        match name.as_str() {
            "read" | "r" => Ok(Self::Read),
            "write" | "w" => Ok(Self::Write),
            "cas" => Ok(Self::Cas),
            "delete" => Ok(Self::Delete),
            _ => Err(D::Error::unknown_variant(&name, &["read", "r", "write", "w", "cas", "delete"])),
        }
    }
}

impl<'de> Deserialize<'de> for Process {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrName;

        impl Visitor<'_> for NumberOrName {
            type Value = Process;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the number of a process, or \"nemesis\"")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Process, E> {
                Ok(Process::Client(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Process, E> {
                Err(E::invalid_value(serde::de::Unexpected::Signed(number), &self))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Process, E> {
                let name = text.strip_prefix(':').unwrap_or(text);
                match name.parse() {
                    Ok(number) => Ok(Process::Client(number)),
                    Err(_) if name == "nemesis" => Ok(Process::Nemesis),
                    Err(_) => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_any(NumberOrName)
    }
}

impl<'de> Deserialize<'de> for KeyName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrNumber;

        impl Visitor<'_> for TextOrNumber {
            type Value = KeyName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key: a text or a whole number")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<KeyName, E> {
                Ok(KeyName(text.to_owned()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<KeyName, E> {
                Ok(KeyName(number.to_string()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<KeyName, E> {
                Ok(KeyName(number.to_string()))
            }
        }

        deserializer.deserialize_any(TextOrNumber)
    }
}
