use serde::Deserialize;

use super::event::{
    Batch, Disturbance, Event, LossReason, LostPart, MessageId, OperationId, Outcome, RequestId, WriteId,
};
use super::{Micros, Record, Rpc};
use crate::base::{Epoch, FollowerId, FollowerSet, Key, Member, NodeId, ReadMode, RequestName, Stamp, Value};

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
    #[serde(default, deserialize_with = "Value::present")]
    value: Option<Value>,
    outcome: Option<Outcome>,
    stamp: Option<Stamp>,
    confirmed: Option<(usize, usize)>,
    write: Option<WriteId>,
    message: Option<MessageId>,
    delay_us: Option<Delay>,
    lost: Option<LostPart>,
    copy_delay_us: Option<Micros>,
    rpc: Option<Rpc>,
    number: Option<u64>,
    request: Option<RequestId>,
    to: Option<FollowerId>,
    messages: Option<Batch>,
    stored: Option<Stamp>,
    reason: Option<LossReason>,
    ok: Option<bool>,
    confirmations: Option<usize>,
    kind: Option<Disturbance>,
    #[serde(default)]
    nodes: Vec<NodeId>,
    latency_us: Option<Micros>,
    what: Option<String>,
    followers: Option<usize>,
    write_quorum: Option<usize>,
    repl_timeout_us: Option<Micros>,
    link_us: Option<Micros>,
    window: Option<usize>,
    #[serde(default)]
    spares: usize,
    #[serde(default)]
    members: Vec<Member>,
    epoch: Option<Epoch>,
    from: Option<Vec<FollowerId>>,
    anew: Option<bool>,
    parts: Option<u64>,
    promised: Option<Epoch>,
    leader: Option<u64>,
    follower: Option<FollowerId>,
    by: Option<FollowerId>,
    mode: Option<ReadMode>,
    request_id: Option<RequestName>,
    if_version: Option<u64>,
}

/// How long a message is kept, or from how long to how long messages are.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number of microseconds, or [shortest, longest]")]
enum Delay {
    Of(Micros),
    Between(Micros, Micros),
}

impl TryFrom<RawRecord> for Record {
    type Error = String;

    fn try_from(raw: RawRecord) -> Result<Self, String> {
        let RawRecord { at_us, node, incarnation, .. } = raw;
        Ok(Self { at: at_us, node, incarnation, event: event(raw)? })
    }
}

/// A field that its event must have.
macro_rules! need {
    ($raw:ident.$field:ident) => {
        $raw.$field.ok_or_else(|| format!(concat!("{}: ", stringify!($field), " is missing"), $raw.event))?
    };
}

fn event(raw: RawRecord) -> Result<Event, String> {
    Ok(match raw.event.as_str() {
        "invoke_set" => Event::InvokeSet {
            operation: need!(raw.operation),
            target: need!(raw.target),
            key: need!(raw.key),
            value: need!(raw.value),
            request_id: raw.request_id,
            if_version: raw.if_version,
        },
        "invoke_delete" => Event::InvokeDelete {
            operation: need!(raw.operation),
            target: need!(raw.target),
            key: need!(raw.key),
            request_id: raw.request_id,
            if_version: raw.if_version,
        },
        "invoke_get" => {
            let mode = raw.mode.unwrap_or_default();
            Event::InvokeGet { operation: need!(raw.operation), target: need!(raw.target), key: need!(raw.key), mode }
        }
        "return" => Event::Return {
            operation: need!(raw.operation),
            outcome: need!(raw.outcome),
            stamp: raw.stamp,
            value: raw.value,
            confirmed: raw.confirmed,
        },
        "accept" => Event::Accept {
            write: need!(raw.write),
            key: need!(raw.key),
            stamp: need!(raw.stamp),
            value: raw.value,
            operation: raw.operation,
            request_id: raw.request_id,
        },
        "retry" => Event::Retry {
            write: need!(raw.write),
            key: need!(raw.key),
            stamp: need!(raw.stamp),
            value: raw.value,
            operation: raw.operation,
            request_id: raw.request_id,
        },
        "cluster" => cluster(raw)?,
        "send" => {
            let Delay::Of(delay) = need!(raw.delay_us) else { return Err("send: delay_us is one number".into()) };
            Event::Send { message: need!(raw.message), delay, lost: raw.lost, copy: raw.copy_delay_us }
        }
        "rpc" => {
            let Delay::Of(delay) = need!(raw.delay_us) else { return Err("rpc: delay_us is one number".into()) };
            let (to, rpc, number) = (need!(raw.to), need!(raw.rpc), need!(raw.number));
            Event::Rpc { to, rpc, number, delay, lost: raw.lost, copy: raw.copy_delay_us }
        }
        "dispatch" => Event::Dispatch { request: need!(raw.request), to: need!(raw.to), messages: need!(raw.messages) },
        "apply" => {
            Event::Apply { request: raw.request, key: need!(raw.key), stamp: need!(raw.stamp), value: raw.value }
        }
        "reject" => Event::Reject {
            request: raw.request,
            key: need!(raw.key),
            stamp: need!(raw.stamp),
            stored: need!(raw.stored),
        },
        "ack" => Event::Ack { message: need!(raw.message), stored: need!(raw.stored) },
        "lost" => Event::Lost { message: need!(raw.message), reason: need!(raw.reason) },
        "complete" => {
            Event::Complete { write: need!(raw.write), ok: need!(raw.ok), confirmations: need!(raw.confirmations) }
        }
        "recover" => Event::Recover { key: need!(raw.key), stamp: need!(raw.stamp), value: raw.value },
        "recovered" => Event::Recovered { epoch: need!(raw.epoch), from: need!(raw.from), anew: need!(raw.anew) },
        "serve" => Event::Serve { epoch: need!(raw.epoch) },
        "require" => Event::Require { write_quorum: need!(raw.write_quorum), members: raw.members },
        "step_down" => Event::StepDown { promised: need!(raw.promised) },
        "forgot" => Event::Forgot { follower: need!(raw.follower) },
        "astray" => Event::Astray { follower: need!(raw.follower), by: need!(raw.by) },
        "promise" => Event::Promise { epoch: need!(raw.epoch), leader: need!(raw.leader) },
        "stage" => Event::Stage { epoch: need!(raw.epoch), parts: need!(raw.parts) },
        "install" => Event::Install { epoch: need!(raw.epoch) },
        "discard" => Event::Discard { key: need!(raw.key), stamp: need!(raw.stamp) },
        "collect" => Event::Collect { key: need!(raw.key), stamp: need!(raw.stamp) },
        "lose_key" => Event::LoseKey { key: need!(raw.key), stamp: need!(raw.stamp) },
        "crash" => Event::Crash,
        "restart" => Event::Restart,
        "fault" => {
            Event::Fault { kind: need!(raw.kind), nodes: raw.nodes, latency: raw.latency_us, what: need!(raw.what) }
        }
        name => return Err(format!("there is no event {name:?}")),
    })
}

/// Checkers keep an account of each follower, so there are only as many as there can be.
fn cluster(raw: RawRecord) -> Result<Event, String> {
    let (followers, write_quorum) = (need!(raw.followers), need!(raw.write_quorum));
    let all = followers.saturating_add(raw.spares);
    if all > FollowerSet::CAPACITY {
        return Err(format!("cluster: {all} followers; at most {} are possible", FollowerSet::CAPACITY));
    }
    let Delay::Between(shortest, longest) = need!(raw.delay_us) else {
        return Err("cluster: delay_us is [shortest, longest]".into());
    };
    Ok(Event::Cluster {
        followers,
        write_quorum,
        repl_timeout: need!(raw.repl_timeout_us),
        delay: (shortest, longest),
        link: need!(raw.link_us),
        window: need!(raw.window),
        spares: raw.spares,
    })
}
