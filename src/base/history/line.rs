use serde::{Deserialize, Serialize};

use super::{Condition, Kind, Moment, Operation};
use crate::base::consistency::{Told, returns_as_it_can};
use crate::base::trace::{Micros, OperationId, Outcome};
use crate::base::{Key, NodeId, ReadMode, RequestName, Stamp, Value, Version};

/// A line of a history file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    client: NodeId,
    operation: OperationId,
    kind: Name,
    node: NodeId,
    key: Key,
    #[serde(default, skip_serializing_if = "ReadMode::is_local")]
    mode: ReadMode,
    /// A value that is there is a value, and be it `null`.
    #[serde(default, deserialize_with = "Value::present", skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    invoked_us: Micros,
    invoked_order: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    returned_us: Option<Micros>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    returned_order: Option<usize>,
    outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stamp: Option<Stamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confirmations: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    required: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<RequestName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    if_version: Option<u64>,
    #[serde(default, deserialize_with = "Value::present", skip_serializing_if = "Option::is_none")]
    if_value: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_version: Option<Version>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    Set,
    Delete,
    Get,
}

impl From<Operation> for Line {
    fn from(operation: Operation) -> Self {
        let Operation {
            client,
            number,
            target,
            key,
            kind,
            mode,
            invoked,
            returned,
            outcome,
            stamp,
            confirmed,
            request,
            condition,
            min_version,
        } = operation;
        let (if_version, if_value) = match condition {
            None => (None, None),
            Some(Condition::Version(version)) => (Some(version), None),
            Some(Condition::Value(value)) => (None, Some(value)),
        };
        let (kind, value) = match kind {
            Kind::Write(value) => (Name::Set, Some(value)),
            Kind::Delete => (Name::Delete, None),
            Kind::Read(found) => (Name::Get, found),
        };
        Self {
            client,
            operation: number,
            kind,
            node: target,
            key,
            mode,
            value,
            invoked_us: invoked.at,
            invoked_order: invoked.index,
            returned_us: returned.map(|moment| moment.at),
            returned_order: returned.map(|moment| moment.index),
            outcome,
            stamp,
            confirmations: confirmed.map(|(confirmations, _)| confirmations),
            required: confirmed.map(|(_, required)| required),
            request_id: request,
            if_version,
            if_value,
            min_version,
        }
    }
}

impl TryFrom<Line> for Operation {
    type Error = String;

    fn try_from(line: Line) -> Result<Self, String> {
        require_nodes(&line)?;
        let operation = Self::of(line)?;
        let Self { outcome, stamp, confirmed, returned, .. } = &operation;
        if returned.is_none() && *outcome != Outcome::Unknown {
            return Err("without returned_us it did not return, and its outcome is unknown".into());
        }
        let has_value = matches!(operation.kind, Kind::Read(Some(_)));
        let told = Told { has_value, has_stamp: stamp.is_some(), has_confirmations: confirmed.is_some() };
        returns_as_it_can(!operation.is_write(), *outcome, told)?;
        Ok(operation)
    }
}

/// Refuses a node where there must be a client, and the other way round.
fn require_nodes(line: &Line) -> Result<(), String> {
    let Line { client, node, .. } = line;
    if !matches!(client, NodeId::Client(_)) {
        return Err(format!("{client} is not a client; clients are called c1, c2, …"));
    }
    if !node.is_node() {
        return Err(format!("{node} is not a node that answers; nodes are called n1, n2, … and f1, f2, …"));
    }
    Ok(())
}

impl Operation {
    fn of(line: Line) -> Result<Self, &'static str> {
        let kind = match (line.kind, line.value) {
            (Name::Set, Some(value)) => Kind::Write(value),
            (Name::Set, None) => return Err("a set needs its value"),
            (Name::Delete, None) => Kind::Delete,
            (Name::Delete, Some(_)) => return Err("a delete has no value"),
            (Name::Get, found) => Kind::Read(found),
        };
        let returned = match (line.returned_order, line.returned_us) {
            (Some(index), Some(at)) => Some(Moment { index, at }),
            (None, None) => None,
            _ => return Err("returned_us and returned_order go together"),
        };
        let confirmed = match (line.confirmations, line.required) {
            (Some(confirmations), Some(required)) => Some((confirmations, required)),
            (None, None) => None,
            _ => return Err("confirmations and required go together"),
        };
        let invoked = Moment { index: line.invoked_order, at: line.invoked_us };
        if returned.is_some_and(|returned| returned <= invoked) {
            return Err("an operation returns after it was invoked");
        }
        if line.request_id.is_some() && matches!(kind, Kind::Read(_)) {
            return Err("a get has no request_id");
        }
        let condition = match (line.if_version, line.if_value) {
            (None, None) => None,
            (Some(version), None) => Some(Condition::Version(version)),
            (None, Some(value)) => Some(Condition::Value(value)),
            (Some(_), Some(_)) => return Err("a write has if_version or if_value, not both"),
        };
        if condition.is_some() && matches!(kind, Kind::Read(_)) {
            return Err("a get has no if_version and no if_value; only a set or a delete has");
        }
        if line.min_version.is_some() && !matches!(kind, Kind::Read(_)) {
            return Err("only a get has min_version");
        }
        Ok(Self {
            client: line.client,
            number: line.operation,
            target: line.node,
            key: line.key,
            kind,
            mode: line.mode,
            invoked,
            returned,
            outcome: line.outcome,
            stamp: line.stamp,
            confirmed,
            request: line.request_id,
            condition,
            min_version: line.min_version,
        })
    }
}
