use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::goal::Goal;
use super::parts;
use super::size::Size;
use crate::base::{Key, NodeRef};
use crate::sim::engine::{self, Engine};
use crate::sim::scenario::{ExplicitOperation, PlannedKind, RulesSpec, Scenario, Workload};
use crate::sim::spell::{spell_out, spell_out_operations, spell_out_story};

/// The most runs of one shrinking: far more than a scenario needs that a person wrote.
pub(super) const MOST_TRIES: u64 = 200_000;

/// A scenario of this many events or fewer is small: other ways to begin are not worth their runs.
const FEW_EVENTS: usize = 3;

/// Gives a workload a read, if it has no operation: a scenario must have one.
fn require_operation(workload: &mut Workload) {
    if workload.operations == 0 && workload.explicit.is_empty() {
        let kind = PlannedKind::get(NodeRef::Leader);
        let key = Key::new("x").expect("a short name");
        workload.explicit.push(ExplicitOperation {
            client: 1,
            number: None,
            at_ms: 0,
            kind,
            key,
            request: None,
            if_version: None,
            expect: None,
        });
    }
}

/// Measures a scenario.
fn size_of(scenario: &Scenario) -> Size {
    Size::of(scenario, &scenario.to_toml())
}

/// The demands on a smaller scenario, and the smallest one so far.
pub(super) struct Search<F> {
    engine: Engine,
    goal: Goal,
    /// Rules under which the goal must not be met.
    holds_with: Option<RulesSpec>,
    /// Whether turmoil must meet the goal too.
    confirmed: bool,
    pub(super) best: Scenario,
    best_size: Size,
    pub(super) tries: u64,
    /// How many operations and faults there were once everything had been written down.
    pub(super) events_before: Option<usize>,
    tried: F,
    /// Whether each scenario that was run shows what it has to, by the hash of its file.
    known: BTreeMap<u128, bool>,
}

impl<F: FnMut(u64, usize)> Search<F> {
    pub(super) fn new(engine: Engine, goal: Goal, confirmed: bool, scenario: Scenario, tried: F) -> Self {
        let best_size = size_of(&scenario);
        Self {
            engine,
            goal,
            holds_with: None,
            confirmed,
            best: scenario,
            best_size,
            tries: 1,
            events_before: None,
            tried,
            known: BTreeMap::new(),
        }
    }

    /// From here on the goal must not be met with these rules, if this scenario does not meet it with them.
    pub(super) fn require_to_hold_with(&mut self, rules: &RulesSpec, scenario: &Scenario) {
        if self.holds_with.is_none() && !self.meets(self.engine, &scenario.with_rules(rules.clone())) {
            self.holds_with = Some(rules.clone());
            // A scenario that failed to meet the weaker demands fails to meet these too.
            self.known.retain(|_, shows| !*shows);
        }
    }

    /// Returns a scenario that is smaller than this one and shows the same, if the passes find one.
    pub(super) fn smaller_than(&mut self, scenario: &Scenario) -> Option<Scenario> {
        let mut starts = self.written_down(scenario);
        // A drawn scenario that can be written down stays larger than what comes of that.
        if starts.is_empty() || parts::drawn(scenario) == 0 {
            starts.insert(0, scenario.clone());
        }
        self.events_before = self.events_before.or(starts.first().map(parts::count));
        let mut smallest = (size_of(scenario), None);
        for start in starts {
            let (size, end) = self.minimize(start);
            if size < smallest.0 {
                smallest = (size, Some(end));
            }
            if smallest.0.events <= FEW_EVENTS {
                break;
            }
        }
        smallest.1
    }

    /// Returns the scenario with what was drawn in its run written down, in every way in which the
    /// goal is still met.
    fn written_down(&mut self, scenario: &Scenario) -> Vec<Scenario> {
        let Ok(played) = engine::play(self.engine, scenario, Arc::default()) else { return Vec::new() };
        let trace = &played.trace;
        let mut ways = [spell_out, spell_out_story, spell_out_operations].map(|write| write(scenario, trace)).to_vec();
        ways.iter_mut().for_each(|way| require_operation(&mut way.workload));
        ways.dedup();
        ways.retain(|way| way != scenario && self.shows(way, &way.to_toml()));
        ways
    }

    /// Makes a scenario as small as the passes can.
    fn minimize(&mut self, scenario: Scenario) -> (Size, Scenario) {
        self.best_size = size_of(&scenario);
        self.best = scenario;
        loop {
            let before = self.best_size.clone();
            self.without_parts();
            self.smaller_cluster();
            self.simpler_faults();
            self.simpler_operations();
            self.rounder_times();
            if self.best_size == before {
                self.without_several();
            }
            if self.best_size == before {
                return (before, self.best.clone());
            }
        }
    }

    /// Takes a scenario instead of the best one if it is smaller and shows the same. Clients that went with their
    /// operations are not named any more.
    pub(super) fn adopt(&mut self, mut candidate: Scenario) -> bool {
        candidate.forget_missing_clients();
        let text = candidate.to_toml();
        let size = Size::of(&candidate, &text);
        let is_better = size < self.best_size && self.shows(&candidate, &text);
        if is_better {
            (self.best, self.best_size) = (candidate, size);
        }
        is_better
    }

    /// Whether a scenario meets the goal, for the same reason as the first one.
    fn shows(&mut self, scenario: &Scenario, text: &str) -> bool {
        let hash = xxh3_128(text.as_bytes());
        if let Some(known) = self.known.get(&hash) {
            return *known;
        }
        if self.tries >= MOST_TRIES || scenario.check().is_err() {
            return false;
        }
        self.tries += 1;
        (self.tried)(self.tries, parts::count(&self.best));
        let shows = self.meets(self.engine, scenario)
            && self
                .holds_with
                .as_ref()
                .is_none_or(|rules| !self.meets(self.engine, &scenario.with_rules(rules.clone())))
            && (!self.confirmed || self.meets(Engine::Turmoil, scenario));
        self.known.insert(hash, shows);
        shows
    }

    /// Whether the goal is met. A run that does not come to its end meets none.
    fn meets(&self, engine: Engine, scenario: &Scenario) -> bool {
        let verdict = engine::verdict(engine, scenario, self.goal.property());
        verdict.is_some_and(|verdict| self.goal.is_met_by(&verdict))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::NodeId;
    use crate::check::Property;
    use crate::sim::scenario::FaultKind;

    /// A client that goes with its last operation is not among those that call the former leader.
    #[test]
    fn a_replacement_does_not_keep_clients_that_are_gone() {
        let text = include_str!("../../../sim-tests/corpus/f24-two-leaders.toml");
        let third = "[[workload.operation]]\nclient = 3\nget = \"y\"\n[[fault]]";
        let text = text.replacen("[[fault]]", third, 1).replace("[\"c2\"]", "[\"c2\", \"c3\"]");
        let scenario = Scenario::from_toml(&text).expect("three clients");
        let smaller = parts::without(&scenario, &[parts::Part::Written(3)]);
        let goal = Goal::Violates(Property::Integrity);
        let mut search = Search::new(Engine::Core, goal, false, scenario, |_, _| {});
        assert!(search.adopt(smaller), "the operation of c3 cannot be removed");
        let kept: Vec<NodeId> = search
            .best
            .faults
            .iter()
            .flat_map(|fault| if let FaultKind::Replace { keeps } = &fault.kind { keeps.clone() } else { Vec::new() })
            .collect();
        assert_eq!(kept, [NodeId::Client(1)], "{}", search.best.to_toml());
        assert!(search.best.check().is_ok());
    }
}
