use serde::{Deserialize, Deserializer};

use super::event::{Disturbance, Event, LossReason, LostPart, MessageId, OperationId, Outcome, RequestId, WriteId};
use super::{Micros, Record};
use crate::base::{FollowerId, Key, NodeId, Stamp, Value};

/// A line of a trace file: the fields that any event may have.
///
/// Derived readers of flattened or tagged types read everything into a tree first, which does not keep the text of a
/// [`Value`] as it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRecord {
    at_us: Micros,
    node: NodeId,
    #[serde(default)]
    incarnation: u64,
    event: String,
    operation: Option<OperationId>,
    target: Option<NodeId>,
    key: Option<Key>,
    #[serde(default, deserialize_with = "present")]
    value: Option<Value>,
    outcome: Option<Outcome>,
    stamp: Option<Stamp>,
    confirmed: Option<(usize, usize)>,
    write: Option<WriteId>,
    message: Option<MessageId>,
    delay_us: Option<Micros>,
    lost: Option<LostPart>,
    copy_delay_us: Option<Micros>,
    request: Option<RequestId>,
    to: Option<FollowerId>,
    messages: Option<Vec<MessageId>>,
    stored: Option<Stamp>,
    reason: Option<LossReason>,
    ok: Option<bool>,
    confirmations: Option<usize>,
    kind: Option<Disturbance>,
    what: Option<String>,
}

/// A field that is there has a value, and be it `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl TryFrom<RawRecord> for Record {
    type Error = String;

    fn try_from(raw: RawRecord) -> Result<Self, String> {
        let RawRecord { at_us, node, incarnation, .. } = raw;
        Ok(Self { at: at_us, node, incarnation, event: event(raw)? })
    }
}

fn event(raw: RawRecord) -> Result<Event, String> {
    let name = raw.event;
    macro_rules! need {
        ($field:ident) => {
            raw.$field.ok_or_else(|| format!(concat!("{}: ", stringify!($field), " is missing"), name))?
        };
    }
    Ok(match name.as_str() {
        "invoke_set" => Event::InvokeSet {
            operation: need!(operation),
            target: need!(target),
            key: need!(key),
            value: need!(value),
        },
        "invoke_get" => Event::InvokeGet { operation: need!(operation), target: need!(target), key: need!(key) },
        "return" => Event::Return {
            operation: need!(operation),
            outcome: need!(outcome),
            stamp: raw.stamp,
            value: raw.value,
            confirmed: raw.confirmed,
        },
        "accept" => Event::Accept { write: need!(write), key: need!(key), stamp: need!(stamp), value: need!(value) },
        "send" => {
            Event::Send { message: need!(message), delay: need!(delay_us), lost: raw.lost, copy: raw.copy_delay_us }
        }
        "dispatch" => Event::Dispatch { request: need!(request), to: need!(to), messages: need!(messages) },
        "apply" => Event::Apply { request: raw.request, key: need!(key), stamp: need!(stamp), value: need!(value) },
        "reject" => Event::Reject { request: raw.request, key: need!(key), stamp: need!(stamp), stored: need!(stored) },
        "ack" => Event::Ack { message: need!(message), stored: need!(stored) },
        "lost" => Event::Lost { message: need!(message), reason: need!(reason) },
        "complete" => Event::Complete { write: need!(write), ok: need!(ok), confirmations: need!(confirmations) },
        "crash" => Event::Crash,
        "restart" => Event::Restart,
        "fault" => Event::Fault { kind: need!(kind), what: need!(what) },
        _ => return Err(format!("there is no event {name:?}")),
    })
}
