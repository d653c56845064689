use std::collections::BTreeMap;

use super::Inconsistency;
use crate::base::NodeId;
use crate::base::trace::{Event, OperationId, Outcome, Record};

/// The operations of the clients: each is invoked once and returns once at most.
#[derive(Debug, Default)]
pub(super) struct Operations(BTreeMap<(NodeId, OperationId), Invoked>);

#[derive(Debug)]
struct Invoked {
    line: usize,
    is_read: bool,
    returned: Option<usize>,
}

impl Operations {
    pub(super) fn follow(&mut self, line: usize, record: &Record) -> Result<(), Inconsistency> {
        let client = record.node;
        let (operation, is_read) =
            match &record.event {
                Event::InvokeSet { operation, .. } | Event::InvokeDelete { operation, .. } => (*operation, false),
                Event::InvokeGet { operation, .. } => (*operation, true),
                Event::Return { operation, outcome, stamp, value, confirmed } => {
                    let operation = *operation;
                    let invoked = self.0.get_mut(&(client, operation));
                    let invoked = invoked.ok_or(Inconsistency::NotInvoked { client, operation })?;
                    if let Some(line) = invoked.returned.replace(line) {
                        let what = format!("{client}#{operation} returns");
                        return Err(Inconsistency::Repeated { what, line });
                    }
                    let told = Told {
                        has_value: value.is_some(),
                        has_stamp: stamp.is_some(),
                        has_confirmations: confirmed.is_some(),
                    };
                    return returns_as_it_can(invoked.is_read, *outcome, told)
                        .map_err(|problem| Inconsistency::Return { client, operation, problem });
                }
                _ => return Ok(()),
            };
        match self.0.insert((client, operation), Invoked { line, is_read, returned: None }) {
            None => Ok(()),
            Some(first) => {
                let what = format!("the invocation of {client}#{operation}");
                Err(Inconsistency::Repeated { what, line: first.line })
            }
        }
    }
}

/// What a return says besides its outcome.
pub(in crate::base) struct Told {
    pub(in crate::base) has_value: bool,
    pub(in crate::base) has_stamp: bool,
    pub(in crate::base) has_confirmations: bool,
}

/// Whether an operation can return like this.
///
/// # Errors
/// A sentence that says why not.
pub(in crate::base) fn returns_as_it_can(is_read: bool, outcome: Outcome, told: Told) -> Result<(), &'static str> {
    let Told { has_value, has_stamp, has_confirmations } = told;
    let problem = match (is_read, outcome) {
        (true, _) if has_confirmations => "a get has no confirmations",
        (true, Outcome::Ok) if !has_value => "a get with the outcome ok needs the value that it found",
        (true, Outcome::Ok) => return Ok(()),
        (true, _) if has_value || has_stamp => "only a get with the outcome ok has a value or a stamp",
        (false, Outcome::Absent) => "only a get can have the outcome absent",
        (false, _) if has_value => "a write returns no value",
        (false, Outcome::Failed) if has_stamp || has_confirmations => {
            "a refused write has no stamp and no confirmations"
        }
        (true, Outcome::Absent | Outcome::Failed | Outcome::Unknown)
        | (false, Outcome::Ok | Outcome::Failed | Outcome::Unknown) => return Ok(()),
    };
    Err(problem)
}
