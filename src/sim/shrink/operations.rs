//! Simpler operations: without the request names that the violation does not need.

use std::collections::BTreeSet;

use super::search::Search;
use crate::sim::scenario::{OperationName, Scenario};

impl<F: FnMut(u64, usize)> Search<F> {
    pub(super) fn simpler_operations(&mut self) {
        let requests: BTreeSet<OperationName> =
            self.best.workload.explicit.iter().filter_map(|operation| operation.request).collect();
        self.adopt(without_requests(&self.best, |_| true));
        for request in requests {
            self.adopt(without_requests(&self.best, |other| other == request));
        }
    }
}

/// Returns the scenario with writes that have no request name, where they had one of these.
fn without_requests(scenario: &Scenario, is_one: impl Fn(OperationName) -> bool) -> Scenario {
    let mut simpler = scenario.clone();
    for operation in &mut simpler.workload.explicit {
        operation.request = operation.request.filter(|request| !is_one(*request));
    }
    simpler
}
