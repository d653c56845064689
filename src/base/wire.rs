//! The bodies that go over HTTP, exactly as documented, and how they are read.
//!
//! Unknown fields are ignored, so that a newer peer can add some.

mod spelling;
mod status;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Epoch, Key, RequestName, Requests, Stamp, Value, Version};
use spelling::Spelt;
pub use spelling::WriteBody;
pub use status::{FollowerReport, LeaderReport, Status};

/// Names a replication request of a semisync leader, as `<incarnation>.<number>`. It ties the two ends of a request together in
/// traces and logs, and tells a follower that its caller understands [`ReplicateAnswer::version`].
pub const REQUEST_HEADER: &str = "semisync-request";

/// Names a client's operation, a number that the client chose. The emulated network draws the fate of the write's
/// messages by it, so that a simulation with one operation more or less treats every other as before.
pub const OPERATION_HEADER: &str = "semisync-operation";

/// Tells a leader which life of a follower answers `POST /replicate`, and whether its memory can be relied on, as
/// `<incarnation> normal` or `<incarnation> recovering`. An answer without it comes from a program that knows the documented
/// interface only.
pub const FOLLOWER_HEADER: &str = "semisync-follower";

/// The epoch of the version that an answer to `POST /set`, `POST /delete` or `GET /get/{key}` tells, a number. Together they order the writes of
/// a key; the version alone does until every node has lost its memory at once. Bodies are those of the documented interface.
pub const EPOCH_HEADER: &str = "semisync-epoch";

/// The largest request body that a follower takes from a client (MAX_BODY), in bytes. It says so in each answer to its leader's
/// questions.
pub const MAX_BODY_HEADER: &str = "semisync-max-body";

/// Where clients reach the leader, as `host:port`. A leader that was told so says it in what it asks its followers, and a
/// follower in its answer to what only the leader can do. Bodies are those of the documented interface.
pub const LEADER_HEADER: &str = "semisync-leader";

/// `POST /set`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetRequest {
    /// The key to write.
    pub key: Key,
    /// The value, any JSON.
    pub value: Value,
    /// The version that the key must have for the write to be made, 0 if the key must not be there. Without it, any will do.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "expected_version")]
    pub if_version: Option<u64>,
    /// The client's name for the write. If it comes again under that name, it is not made a second time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestName>,
}

/// `POST /delete`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteRequest {
    /// The key to delete.
    pub key: Key,
    /// The version that the key must have for it to be deleted, 0 if it must not be there. Without it, any will do.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "expected_version")]
    pub if_version: Option<u64>,
    /// The client's name for the deletion. If it comes again under that name, it is not made a second time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestName>,
}

impl WriteBody for SetRequest {
    const FIELDS: &'static [&'static str] = &["key", "value", "if_version", "request_id"];
}

impl WriteBody for DeleteRequest {
    const FIELDS: &'static [&'static str] = &["key", "if_version", "request_id"];
}

/// The answer to `POST /set` and `POST /delete`, with status 200 whether or not the quorum was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAnswer {
    /// Whether enough followers confirmed in time. `false` does not undo the write: it stays on the leader and goes on
    /// to the followers.
    pub ok: bool,
    /// How many distinct followers had confirmed when the answer was given.
    pub confirmations: usize,
    /// How many were needed.
    pub required: usize,
    /// The version that the write was given.
    pub version: Version,
    /// The leader's epoch, which goes in [`EPOCH_HEADER`].
    #[serde(skip, default = "first")]
    pub epoch: Epoch,
    /// Said where `ok` is `false`: whether the write takes effect is open. Replication goes on, and a later write may be
    /// acknowledged on top of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub indeterminate: bool,
}

/// One write, as a leader sends it to a follower: the body of `POST /replicate`, or an item of its array form.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplicateRequest {
    /// The key that was written.
    pub key: Key,
    /// Its value; `null` if it deletes the key.
    pub value: Value,
    /// Whether it deletes the key. A server that does not know this field stores the `null`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// The version of the write.
    pub version: Version,
    /// The epoch of the leader that sends it. A write without one is by hand: it is shown, and no leader's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Which of all the lives of all leaders sends it; goes with `epoch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<u64>,
    /// The last writes of the key to which their clients gave a name. A write by hand has none.
    #[serde(default, skip_serializing_if = "Requests::is_empty")]
    pub requests: Requests,
}

/// The body of `POST /replicate`: one write, or several that became due together.
#[derive(Debug, Clone)]
pub enum ReplicateBody {
    /// The documented form.
    One(ReplicateRequest),
    /// An array of the documented form, answered by an array in the same order.
    Batch(Vec<ReplicateRequest>),
}

/// What a follower did with one write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicateAnswer {
    /// Whether the follower took the message at all.
    pub ok: bool,
    /// Whether the write was greater than what the follower had, and is stored now.
    pub applied: bool,
    /// Why it was not applied: `stale_version`, or `fenced` where another epoch is promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The version that the follower has instead, told to a caller that sends [`REQUEST_HEADER`]. A leader needs it to
    /// see that the follower holds something newer of *its own*, and not a write of an earlier life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The epoch of that version; or the one that is promised, where the write was fenced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
}

impl ReplicateAnswer {
    /// The answer to a write that was stored.
    pub fn applied() -> Self {
        Self { ok: true, applied: true, reason: None, version: None, epoch: None }
    }

    /// The answer to a write that was not newer than the stored one.
    pub fn stale(stored: Option<Stamp>) -> Self {
        Self {
            ok: true,
            applied: false,
            reason: Some("stale_version".into()),
            version: stored.map(|stamp| stamp.version),
            epoch: stored.map(|stamp| stamp.epoch).filter(|epoch| *epoch > Epoch::ZERO),
        }
    }

    /// The answer to a write of a leader or an epoch that is not the promised one.
    pub fn fenced(promised: Epoch) -> Self {
        Self { ok: false, applied: false, reason: Some("fenced".into()), version: None, epoch: Some(promised) }
    }
}

/// The answer to `GET /get/{key}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The key that was asked for.
    pub key: Key,
    /// Its value.
    pub value: Value,
    /// Its version.
    pub version: Version,
    /// The epoch of its version, which goes in [`EPOCH_HEADER`].
    #[serde(skip, default = "first")]
    pub epoch: Epoch,
}

/// A key's value and version in `GET /dump`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpEntry {
    /// The value.
    pub value: Value,
    /// Its version.
    pub version: Version,
}

impl Found {
    /// The stamp of the value.
    pub fn stamp(&self) -> Stamp {
        Stamp { epoch: self.epoch, version: self.version }
    }
}

impl SetAnswer {
    /// The stamp that the write was given.
    pub fn stamp(&self) -> Stamp {
        Stamp { epoch: self.epoch, version: self.version }
    }
}

/// A version, or 0 for a key that is not there; `null` is none.
fn expected_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let most = Version::MAX.get();
    let number: Option<serde_json::Number> = Option::deserialize(deserializer)?;
    let wrong = |number| D::Error::custom(format!("{number}: must be a whole number from 0 to {most}"));
    number.map(|number| number.as_u64().filter(|number| *number <= most).ok_or_else(|| wrong(number))).transpose()
}

fn first() -> Epoch {
    Epoch::FIRST
}

/// The answer to `GET /dump`: everything that the node stores, sorted by key.
pub type Dump = BTreeMap<Key, DumpEntry>;

/// The answer to `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Always `ok`: a node that cannot answer does not.
    pub status: String,
    /// `leader` or `follower`.
    pub role: String,
}

/// The answer to `GET /ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Whether the node can do its work now. If not, the status is 503.
    pub ready: bool,
    /// What the node waits for, or that it waits for nothing.
    pub detail: String,
}

/// The answer to `POST /admin/accept-loss`, and to `GET`, which only shows what it would mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedLoss {
    /// Whether it is accepted.
    pub accepted: bool,
    /// What that means.
    pub detail: String,
}

/// The body of every answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What is wrong, in a sentence.
    pub detail: String,
    /// The version that the key has instead of the one that was asked for, 0 if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBody {
    /// The text is not JSON at all.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// The text is JSON, but a field is missing or has the wrong type or range. The message names it.
    #[error("{0}")]
    WrongShape(String),
}

/// Takes a JSON object only. A derived reader would take an array of the fields in their order as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

/// Reads a body that is an object.
///
/// # Errors
/// [`InvalidBody`], which names the field at fault.
pub fn parse_object<T: DeserializeOwned>(body: &[u8]) -> Result<T, InvalidBody> {
    parse::<Object<T>>(body).map(|Object(object)| object)
}

/// Reads the body of a client's write. A field that is nearly one of those that there are is refused, because to ignore it
/// would weaken what was asked for.
///
/// # Errors
/// [`InvalidBody`], which names the field at fault.
pub fn parse_write<T: DeserializeOwned + WriteBody>(body: &[u8]) -> Result<T, InvalidBody> {
    parse::<Spelt<T>>(body).map(|Spelt(object)| object)
}

/// Reads a body.
///
/// # Errors
/// [`InvalidBody`], which names the field at fault.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, InvalidBody> {
    serde_json::from_slice(body).map_err(|error| explain::<T>(body, &error))
}

/// Reads the body of `POST /replicate` in either form.
///
/// # Errors
/// [`InvalidBody`], which names the item and the field at fault.
pub fn parse_replicate(body: &[u8]) -> Result<ReplicateBody, InvalidBody> {
    let is_batch = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if !is_batch {
        return parse_object(body).map(ReplicateBody::One);
    }
    let batch = parse::<Vec<Object<ReplicateRequest>>>(body)?;
    Ok(ReplicateBody::Batch(batch.into_iter().map(|Object(item)| item).collect()))
}

/// Reads the body once more, slower, to learn which field is at fault. Only the rare bad body pays for that.
fn explain<T: DeserializeOwned>(body: &[u8], error: &serde_json::Error) -> InvalidBody {
    use serde_json::error::Category;
    if error.classify() != Category::Data {
        return InvalidBody::NotJson(match byte_order_mark(body) {
            Some(encoding) => format!(
                "it begins with the byte order mark of {encoding}; JSON is UTF-8 without one (RFC 8259, section 8.1)"
            ),
            None => error.to_string(),
        });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let message = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(_) => error.to_string(),
        Err(tracked) if tracked.path().iter().next().is_none() => tracked.into_inner().to_string(),
        Err(tracked) => format!("field `{}`: {}", tracked.path(), tracked.inner()),
    };
    InvalidBody::WrongShape(message)
}

/// The encoding that the first bytes of a text announce.
fn byte_order_mark(text: &[u8]) -> Option<&'static str> {
    match text {
        [0xef, 0xbb, 0xbf, ..] => Some("UTF-8"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong_shape(body: &str) -> String {
        match parse_object::<SetRequest>(body.as_bytes()) {
            Err(InvalidBody::WrongShape(message)) => message,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn errors_name_the_field() {
        for (body, field, says) in [
            (r#"{"value":1}"#, "`key`", "missing field"),
            (r#"{"key":"a"}"#, "`value`", "missing field"),
            (r#"{"key":5,"value":1}"#, "`key`", "expected a string"),
            (r#"{"key":"","value":1}"#, "`key`", "1 to 1024 bytes"),
            (r#"{"key":null,"value":1}"#, "`key`", "expected a string"),
            (r#"{"key":"a","key":"b","value":1}"#, "`key`", "duplicate field"),
        ] {
            let message = wrong_shape(body);
            assert!(message.contains(field) && message.contains(says), "{body}: {message}");
        }
        for body in ["5", "[]", r#"["a",1]"#, "null", "\"a\""] {
            assert!(wrong_shape(body).contains("expected an object"), "{body}: {}", wrong_shape(body));
        }
        let deep = format!(r#"{{"key":"a","value":{}{}}}"#, "[".repeat(129), "]".repeat(129));
        let message = wrong_shape(&deep);
        assert!(message.contains("`value`") && message.contains("128 levels"), "{message}");
    }

    #[test]
    fn what_is_not_json_is_told_apart_from_the_wrong_shape() {
        for body in ["", "{", "{\"key\":\"a\",\"value\":NaN}", "{\"key\":\"a\",\"value\":1}x", "\u{feff}{}"] {
            assert!(matches!(parse_object::<SetRequest>(body.as_bytes()), Err(InvalidBody::NotJson(_))), "{body}");
        }
        assert!(matches!(parse_object::<SetRequest>(b"{\"key\":\"\xff\",\"value\":1}"), Err(InvalidBody::NotJson(_))));
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let request: SetRequest = parse_object(br#"{"key":"a","ttl":5,"value":[1]}"#).unwrap();
        assert_eq!((request.key.as_str(), request.value.as_json()), ("a", "[1]"));
    }

    #[test]
    fn both_forms_of_replicate_are_read() {
        let one = br#" {"key":"a","value":1,"version":2}"#;
        assert!(matches!(parse_replicate(one), Ok(ReplicateBody::One(r)) if r.version.get() == 2));
        let two = br#"[{"key":"a","value":1,"version":2},{"key":"b","value":1,"version":3}]"#;
        assert!(matches!(parse_replicate(two), Ok(ReplicateBody::Batch(items)) if items.len() == 2));
        assert!(parse_replicate(br#"[["a",1,2]]"#).unwrap_err().to_string().contains("expected an object"));
        let bad = br#"[{"key":"a","value":1,"version":2},{"key":"b","value":1,"version":0}]"#;
        let message = parse_replicate(bad).unwrap_err().to_string();
        assert!(message.contains("`[1].version`"), "{message}");
    }

    #[test]
    fn answers_have_the_documented_form() {
        let text = |answer| serde_json::to_string(&answer).unwrap();
        assert_eq!(text(ReplicateAnswer::applied()), r#"{"ok":true,"applied":true}"#);
        assert_eq!(text(ReplicateAnswer::stale(None)), r#"{"ok":true,"applied":false,"reason":"stale_version"}"#);
    }
}
