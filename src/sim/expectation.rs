//! Whether a run came out as its scenario expects.

use std::fmt;

use super::run::ScenarioRun;
use super::scenario::{Claim, ExpectedOutcome, OperationName};
use crate::base::NodeId;
use crate::base::history::Operation;

/// How many operations a sentence names.
const MOST_NAMED: usize = 5;

/// An expectation of a scenario, compared with its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// The expectation.
    pub claim: Claim,
    /// Whether it is met.
    pub is_met: bool,
    /// The actual outcome, if the verdicts do not show it.
    pub seen: Option<String>,
}

/// `every write is acknowledged: NOT MET (c1#2 was unknown)`
impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.claim, if self.is_met { "met" } else { "NOT MET" })?;
        self.seen.iter().try_for_each(|seen| write!(f, " ({seen})"))
    }
}

impl ScenarioRun {
    /// Compares the run with each expectation of the scenario.
    pub fn expectations(&self) -> Vec<Expectation> {
        self.scenario.claims().map(|claim| self.compare(claim)).collect()
    }

    fn compare(&self, claim: Claim) -> Expectation {
        let seen = match claim {
            Claim::AllAcknowledged => self.unacknowledged(),
            Claim::Ends(name, expected) => self.other_end(name, expected),
            Claim::Passes | Claim::Violates(_) | Claim::Loses(_) | Claim::Shows(_) => {
                let is_met = claim.is_met_by(&self.verdicts).unwrap_or_default();
                return Expectation { claim, is_met, seen: None };
            }
        };
        Expectation { claim, is_met: seen.is_none(), seen }
    }

    /// The writes that were invoked before everything was healed and not acknowledged, in words; none if all were.
    fn unacknowledged(&self) -> Option<String> {
        let until = self.trace.story().len();
        let writes = self.history.operations.iter();
        let mut writes = writes.filter(|operation| operation.is_write() && operation.invoked.index < until).peekable();
        if writes.peek().is_none() {
            return Some("no client wrote anything".into());
        }
        let ends = |operation: &Operation| format!("{} was {}", operation.name(), end(operation));
        let mut others: Vec<String> = writes.filter(|write| end(write) != ExpectedOutcome::Ok).map(ends).collect();
        let more = others.len().saturating_sub(MOST_NAMED);
        others.truncate(MOST_NAMED);
        others.extend((more > 0).then(|| format!("and {more} more were not acknowledged")));
        (!others.is_empty()).then(|| others.join(", "))
    }

    /// How an operation ended, if it did not end as expected.
    fn other_end(&self, name: OperationName, expected: ExpectedOutcome) -> Option<String> {
        let (client, number) = (NodeId::Client(name.client), name.number);
        let mut operations = self.history.operations.iter();
        match operations.find(|operation| (operation.client, operation.number) == (client, number)) {
            None => Some("it was never invoked".into()),
            Some(operation) if end(operation) == expected => None,
            Some(operation) => Some(format!("it was {}", end(operation))),
        }
    }
}

fn end(operation: &Operation) -> ExpectedOutcome {
    ExpectedOutcome::of(operation.outcome)
}
