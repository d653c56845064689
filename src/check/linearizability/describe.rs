//! The words for one operation.

use super::by_stamps::Step;
use crate::base::history::{Kind, Operation};
use crate::base::trace::Outcome;
use crate::check::evidence::At;

/// `c2#5, from 1200 to 1203 ms, read k1 v3`
pub(super) fn describe(operation: &Operation) -> String {
    describe_step(&Step { operation, stamp: operation.stamp, returned: operation.returned })
}

pub(super) fn describe_step(step: &Step<'_>) -> String {
    let operation = step.operation;
    let key = &operation.key;
    let from = operation.invoked.at.0 as f64 / 1e3;
    let span = match operation.returned {
        Some(returned) => format!("from {from} to {}", At(returned.at)),
        None => format!("from {from} ms on"),
    };
    let did = match (&operation.kind, step.stamp) {
        (Kind::Delete, Some(stamp)) => format!("deleted {key} as {stamp}"),
        (Kind::Delete, None) => format!("deleted {key}"),
        (Kind::Write(_), Some(stamp)) => format!("wrote {key} {stamp}"),
        (Kind::Write(value), None) => format!("wrote {key} = {value}"),
        (Kind::Read(_), Some(stamp)) if operation.outcome == Outcome::Ok => format!("read {key} {stamp}"),
        (Kind::Read(Some(value)), None) if operation.outcome == Outcome::Ok => format!("read {key} = {value}"),
        (Kind::Read(_), _) => format!("found no {key}"),
    };
    let condition = operation.condition.as_ref().map(|condition| format!(" {condition}")).unwrap_or_default();
    format!("{}, {span}, {did}{condition}", operation.name())
}
