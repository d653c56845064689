use serde::{Deserialize, Serialize};

use super::{Fault, FaultKind, Links, OperationName, RpcEffect, RpcTarget, Target, Trigger, When, all, is_all};
use crate::base::trace::Rpc;
use crate::base::{FollowerId, Key, Member, NodeId, NodeRef};

/// A fault as it stands in a file: exactly one of the kinds is set.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawFault {
    #[serde(skip_serializing_if = "is_zero")]
    at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    until_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<Trigger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    for_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crash: Option<NodeRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart: Option<NodeRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause: Option<NodeRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resume: Option<NodeRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<NodeRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<NodeRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<Links>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heal: Option<Links>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow: Option<RawSlow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drop: Option<RawMessages>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drop_reply: Option<RawMessages>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate: Option<RawMessages>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay: Option<RawMessages>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnect: Option<RawDisconnect>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<RawClock>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replace: Option<RawReplace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quorum: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    misdirect: Option<RawMisdirect>,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Vec<Member>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accept_loss: Option<NodeRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lose_key: Option<RawLoseKey>,
}

fn is_zero(ms: &u64) -> bool {
    *ms == 0
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSlow {
    node: NodeRef,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<NodeRef>,
    latency_ms: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    one_way: bool,
}

/// The messages that a fault acts on: with `rpc` peer RPCs, otherwise messages that carry a write.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMessages {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<OperationName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rpc: Option<Rpc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<NodeId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<NodeRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    #[serde(default = "all", skip_serializing_if = "is_all")]
    per_mille: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
}

impl RawMessages {
    fn of_writes(target: Target, delay_ms: Option<u64>) -> Self {
        let Target { operation, to, attempt, per_mille } = target;
        Self { operation, rpc: None, from: None, to, attempt, number: None, per_mille, delay_ms }
    }

    fn of_rpcs(target: RpcTarget, delay_ms: Option<u64>) -> Self {
        let RpcTarget { rpc, from, to, number, per_mille } = target;
        Self { operation: None, rpc: Some(rpc), from, to, attempt: None, number, per_mille, delay_ms }
    }

    /// The fault of these messages with the effect that stands for this key.
    fn fault(self, key: &str) -> Result<FaultKind, String> {
        let Self { operation, rpc, from, to, attempt, number, per_mille, delay_ms } = self;
        let (needs_delay, has_delay) = (key == "delay", ["delay", "duplicate"].contains(&key));
        if needs_delay && delay_ms.is_none() {
            return Err("delay: delay_ms is missing; write delay = { to = \"f1\", delay_ms = 2000 }".into());
        }
        if delay_ms.is_some() && !has_delay {
            return Err(format!("{key}.delay_ms: only delay and duplicate have it"));
        }
        let misplaced = match rpc {
            Some(_) => [("operation", operation.is_some()), ("attempt", attempt.is_some())],
            None => [("from", from.is_some()), ("number", number.is_some())],
        };
        if let Some((field, _)) = misplaced.into_iter().find(|(_, is_there)| *is_there) {
            return Err(match rpc {
                Some(rpc) => format!("{key}.{field}: an RPC has none; rpc = \"{rpc}\" goes with from, to and number"),
                None => {
                    format!("{key}.{field}: only RPCs have it; a write's message goes by operation, to and attempt")
                }
            });
        }
        if let Some(rpc) = rpc {
            let effect = match key {
                "drop" => RpcEffect::Drop,
                "drop_reply" => RpcEffect::DropReply,
                "duplicate" => RpcEffect::Duplicate { delay_ms },
                _ => RpcEffect::Delay { delay_ms: delay_ms.unwrap_or_default() },
            };
            return Ok(FaultKind::Rpc { target: RpcTarget { rpc, from, to, number, per_mille }, effect });
        }
        let target = Target { operation, to, attempt, per_mille };
        Ok(match key {
            "drop" => FaultKind::Drop(target),
            "drop_reply" => FaultKind::DropReply(target),
            "duplicate" => FaultKind::Duplicate { target, delay_ms },
            _ => FaultKind::Delay { target, delay_ms: delay_ms.unwrap_or_default() },
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDisconnect {
    operation: OperationName,
    after_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with node and rate_per_mille")]
struct RawClock {
    node: NodeRef,
    rate_per_mille: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with follower and to")]
struct RawMisdirect {
    follower: FollowerId,
    to: FollowerId,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with follower and key")]
struct RawLoseKey {
    follower: FollowerId,
    key: Key,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with the clients that it keeps, if there are any")]
struct RawReplace {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keeps: Vec<NodeId>,
}

impl TryFrom<RawFault> for Fault {
    type Error = String;

    fn try_from(raw: RawFault) -> Result<Self, String> {
        let kinds: [Option<Result<FaultKind, String>>; FaultKind::NAMES.len()] = [
            raw.crash.map(|node| Ok(FaultKind::Crash(node))),
            raw.restart.map(|node| Ok(FaultKind::Restart(node))),
            raw.pause.map(|node| Ok(FaultKind::Pause(node))),
            raw.resume.map(|node| Ok(FaultKind::Resume(node))),
            raw.hold.map(|node| Ok(FaultKind::Hold(node))),
            raw.release.map(|node| Ok(FaultKind::Release(node))),
            raw.partition.map(|links| Ok(FaultKind::Partition(links))),
            raw.heal.map(|links| Ok(FaultKind::Heal(links))),
            raw.slow
                .map(|RawSlow { node, to, latency_ms, one_way }| Ok(FaultKind::Slow { node, to, latency_ms, one_way })),
            raw.drop.map(|messages| messages.fault("drop")),
            raw.drop_reply.map(|messages| messages.fault("drop_reply")),
            raw.duplicate.map(|messages| messages.fault("duplicate")),
            raw.delay.map(|messages| messages.fault("delay")),
            raw.disconnect
                .map(|RawDisconnect { operation, after_ms }| Ok(FaultKind::Disconnect { operation, after_ms })),
            raw.clock.map(|RawClock { node, rate_per_mille }| Ok(FaultKind::Clock { node, rate_per_mille })),
            raw.replace.map(|RawReplace { keeps }| Ok(FaultKind::Replace { keeps })),
            raw.quorum.map(|quorum| Ok(FaultKind::Quorum(quorum))),
            raw.misdirect.map(|RawMisdirect { follower, to }| Ok(FaultKind::Misdirect { follower, to })),
            raw.members.map(|members| Ok(FaultKind::Members(members))),
            raw.accept_loss.map(|node| Ok(FaultKind::AcceptLoss(node))),
            raw.lose_key.map(|RawLoseKey { follower, key }| Ok(FaultKind::LoseKey { follower, key })),
        ];
        let when = match (raw.when, raw.after_ms, raw.for_ms) {
            (Some(trigger), after_ms, for_ms) => Some(When { trigger, after_ms: after_ms.unwrap_or(0), for_ms }),
            (None, None, None) => None,
            (None, after_ms, _) => {
                let field = if after_ms.is_some() { "after_ms" } else { "for_ms" };
                return Err(format!("{field} counts from the event that the fault waits for: it goes with when"));
            }
        };
        let mut kinds = FaultKind::NAMES.into_iter().zip(kinds).filter_map(|(name, kind)| Some((name, kind?)));
        match (kinds.next(), kinds.next()) {
            (Some((_, kind)), None) => Ok(Self { at_ms: raw.at_ms, until_ms: raw.until_ms, when, kind: kind? }),
            (Some((one, _)), Some((other, _))) => {
                Err(format!("a fault has one kind: {one} and {other} need a [[fault]] each"))
            }
            (None, _) => Err(format!("a fault needs exactly one of {}", FaultKind::NAMES.join(", "))),
        }
    }
}

impl From<Fault> for RawFault {
    fn from(fault: Fault) -> Self {
        let Fault { at_ms, until_ms, when, kind } = fault;
        let mut raw = Self { at_ms, until_ms, ..Self::default() };
        if let Some(When { trigger, after_ms, for_ms }) = when {
            (raw.when, raw.after_ms, raw.for_ms) = (Some(trigger), Some(after_ms).filter(|ms| *ms > 0), for_ms);
        }
        match kind {
            FaultKind::Crash(node) => raw.crash = Some(node),
            FaultKind::Restart(node) => raw.restart = Some(node),
            FaultKind::Pause(node) => raw.pause = Some(node),
            FaultKind::Resume(node) => raw.resume = Some(node),
            FaultKind::Hold(node) => raw.hold = Some(node),
            FaultKind::Release(node) => raw.release = Some(node),
            FaultKind::Partition(links) => raw.partition = Some(links),
            FaultKind::Heal(links) => raw.heal = Some(links),
            FaultKind::Slow { node, to, latency_ms, one_way } => {
                raw.slow = Some(RawSlow { node, to, latency_ms, one_way });
            }
            FaultKind::Drop(target) => raw.drop = Some(RawMessages::of_writes(target, None)),
            FaultKind::DropReply(target) => raw.drop_reply = Some(RawMessages::of_writes(target, None)),
            FaultKind::Duplicate { target, delay_ms } => {
                raw.duplicate = Some(RawMessages::of_writes(target, delay_ms));
            }
            FaultKind::Delay { target, delay_ms } => raw.delay = Some(RawMessages::of_writes(target, Some(delay_ms))),
            FaultKind::Rpc { target, effect } => match effect {
                RpcEffect::Drop => raw.drop = Some(RawMessages::of_rpcs(target, None)),
                RpcEffect::DropReply => raw.drop_reply = Some(RawMessages::of_rpcs(target, None)),
                RpcEffect::Duplicate { delay_ms } => raw.duplicate = Some(RawMessages::of_rpcs(target, delay_ms)),
                RpcEffect::Delay { delay_ms } => raw.delay = Some(RawMessages::of_rpcs(target, Some(delay_ms))),
            },
            FaultKind::Disconnect { operation, after_ms } => {
                raw.disconnect = Some(RawDisconnect { operation, after_ms });
            }
            FaultKind::Clock { node, rate_per_mille } => raw.clock = Some(RawClock { node, rate_per_mille }),
            FaultKind::Replace { keeps } => raw.replace = Some(RawReplace { keeps }),
            FaultKind::Quorum(quorum) => raw.quorum = Some(quorum),
            FaultKind::Members(members) => raw.members = Some(members),
            FaultKind::AcceptLoss(node) => raw.accept_loss = Some(node),
            FaultKind::LoseKey { follower, key } => raw.lose_key = Some(RawLoseKey { follower, key }),
            FaultKind::Misdirect { follower, to } => raw.misdirect = Some(RawMisdirect { follower, to }),
        }
        raw
    }
}
