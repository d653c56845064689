use serde::{Deserialize, Serialize};

use super::{Fault, FaultKind, Links, OperationName, Target, all, is_all};
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
    drop: Option<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drop_reply: Option<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate: Option<RawDuplicate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay: Option<RawDelay>,
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
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDelay {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<OperationName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<NodeRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(default = "all", skip_serializing_if = "is_all")]
    per_mille: u16,
    delay_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDuplicate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<OperationName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<NodeRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(default = "all", skip_serializing_if = "is_all")]
    per_mille: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
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
        let kinds = [
            raw.crash.map(FaultKind::Crash),
            raw.restart.map(FaultKind::Restart),
            raw.pause.map(FaultKind::Pause),
            raw.resume.map(FaultKind::Resume),
            raw.hold.map(FaultKind::Hold),
            raw.release.map(FaultKind::Release),
            raw.partition.map(FaultKind::Partition),
            raw.heal.map(FaultKind::Heal),
            raw.slow.map(|RawSlow { node, to, latency_ms }| FaultKind::Slow { node, to, latency_ms }),
            raw.drop.map(FaultKind::Drop),
            raw.drop_reply.map(FaultKind::DropReply),
            raw.duplicate.map(|RawDuplicate { operation, to, attempt, per_mille, delay_ms }| FaultKind::Duplicate {
                target: Target { operation, to, attempt, per_mille },
                delay_ms,
            }),
            raw.delay.map(|RawDelay { operation, to, attempt, per_mille, delay_ms }| FaultKind::Delay {
                target: Target { operation, to, attempt, per_mille },
                delay_ms,
            }),
            raw.disconnect.map(|RawDisconnect { operation, after_ms }| FaultKind::Disconnect { operation, after_ms }),
            raw.clock.map(|RawClock { node, rate_per_mille }| FaultKind::Clock { node, rate_per_mille }),
            raw.replace.map(|RawReplace { keeps }| FaultKind::Replace { keeps }),
            raw.quorum.map(FaultKind::Quorum),
            raw.members.map(FaultKind::Members),
            raw.accept_loss.map(FaultKind::AcceptLoss),
            raw.lose_key.map(|RawLoseKey { follower, key }| FaultKind::LoseKey { follower, key }),
            raw.misdirect.map(|RawMisdirect { follower, to }| FaultKind::Misdirect { follower, to }),
        ];
        let mut kinds = kinds.into_iter().flatten();
        match (kinds.next(), kinds.next()) {
            (Some(kind), None) => Ok(Self { at_ms: raw.at_ms, until_ms: raw.until_ms, kind }),
            _ => Err(format!("a fault needs exactly one of {}", FaultKind::NAMES.join(", "))),
        }
    }
}

impl From<Fault> for RawFault {
    fn from(fault: Fault) -> Self {
        let mut raw = Self { at_ms: fault.at_ms, until_ms: fault.until_ms, ..Self::default() };
        match fault.kind {
            FaultKind::Crash(node) => raw.crash = Some(node),
            FaultKind::Restart(node) => raw.restart = Some(node),
            FaultKind::Pause(node) => raw.pause = Some(node),
            FaultKind::Resume(node) => raw.resume = Some(node),
            FaultKind::Hold(node) => raw.hold = Some(node),
            FaultKind::Release(node) => raw.release = Some(node),
            FaultKind::Partition(links) => raw.partition = Some(links),
            FaultKind::Heal(links) => raw.heal = Some(links),
            FaultKind::Slow { node, to, latency_ms } => raw.slow = Some(RawSlow { node, to, latency_ms }),
            FaultKind::Drop(target) => raw.drop = Some(target),
            FaultKind::DropReply(target) => raw.drop_reply = Some(target),
            FaultKind::Duplicate { target: Target { operation, to, attempt, per_mille }, delay_ms } => {
                raw.duplicate = Some(RawDuplicate { operation, to, attempt, per_mille, delay_ms });
            }
            FaultKind::Delay { target: Target { operation, to, attempt, per_mille }, delay_ms } => {
                raw.delay = Some(RawDelay { operation, to, attempt, per_mille, delay_ms });
            }
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
