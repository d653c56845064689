//! What each decision of the protocol is for, shown by taking it away.
//!
//! An exhibit is a rule that is switched off, alone, or with another one that does its work as well. It is shown by a seed
//! whose generated scenario then violates a property, and by the smallest scenario that does.

use super::engine::{self, Engine};
use super::scenario::{RulesSpec, Scenario};
use super::shrink::{self, Criterion, Shrunk};
use super::{Generator, Strategy};
use crate::check::Property;
use crate::core::Rule;

/// The rules that are taken away, the one that is shown first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhibit {
    /// Never empty.
    off: Vec<Rule>,
}

/// What one search found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What is violated.
    pub property: Property,
    /// The scenario that shows it, with its seed.
    pub scenario: Scenario,
    /// Rules with which it violates nothing of the kind.
    pub others: RulesSpec,
    /// How many seeds were run, the last one included.
    pub seeds: u64,
}

/// From one start to the next, in seeds: no search goes so far.
const FROM_START_TO_START: u64 = 1_000_000;

impl Exhibit {
    /// Every rule, each with what has to be taken away with it.
    pub fn all() -> impl Iterator<Item = Self> {
        Rule::ALL.into_iter().map(|rule| Self::of(rule, masked_by(rule).as_slice()))
    }

    /// Shows a rule with others switched off together with it.
    pub fn of(rule: Rule, with: &[Rule]) -> Self {
        Self { off: [&[rule], with].concat() }
    }

    /// The rules that are switched off, the rule that is shown first.
    pub fn off(&self) -> &[Rule] {
        &self.off
    }

    /// The rule that is shown.
    pub fn rule(&self) -> Rule {
        self.off[0]
    }

    /// What is in force when the rule is that is shown.
    fn others(&self) -> RulesSpec {
        match &self.off[1..] {
            [] => RulesSpec::SAFE,
            others => RulesSpec::Without { off: others.to_vec() },
        }
    }

    fn generator(&self) -> Generator {
        let rules = RulesSpec::Without { off: self.off.clone() };
        Generator { rules, crashes: true, engine: Engine::Core, strategy: Strategy::Timed }
    }

    /// Runs one generated scenario after another, at most so many, from this start on, until one violates a property that is not
    /// violated with the first rule in force. The law of latencies is left out: it is wrong once in a while by design.
    pub fn search(&self, start: u64, most_seeds: u64) -> Option<Finding> {
        let generator = self.generator();
        (0..most_seeds).find_map(|place| {
            // Every start is a start: after the last seed comes the first.
            let seed = start.wrapping_mul(FROM_START_TO_START).wrapping_add(place);
            let scenario = generator.scenario(seed);
            let violated = violations(&scenario)?;
            let with_it = violations(&scenario.with_rules(self.others())).unwrap_or_default();
            let property = violated.into_iter().find(|property| !with_it.contains(property))?;
            Some(Finding { property, scenario, others: self.others(), seeds: place + 1 })
        })
    }
}

/// What a scenario violates; none if nothing.
fn violations(scenario: &Scenario) -> Option<Vec<Property>> {
    let run = engine::run(Engine::Core, scenario, Default::default()).ok()?;
    let violated: Vec<Property> = run.violations().filter(|property| *property != Property::LatencyLaw).collect();
    (!violated.is_empty()).then_some(violated)
}

/// What does the work of a rule as well, as far as generated scenarios can tell.
fn masked_by(rule: Rule) -> Option<Rule> {
    match rule {
        // A follower that refuses what is of an earlier epoch stores nothing that could confirm wrongly.
        Rule::ConfirmOnlyStored => Some(Rule::RefuseDeposed),
        // What is read before a quorum stores it is told from what was recovered only if both are shown.
        Rule::ReplicateRecovered => Some(Rule::ReadCommitted),
        // What was lost on its way is found missing when stores are compared.
        Rule::ResendMissed => Some(Rule::CompareStores),
        _ => None,
    }
}

impl Finding {
    /// The smallest scenario that violates the same property; none if the violation cannot be repeated.
    pub fn shrink(&self) -> Option<Shrunk> {
        let criterion = Criterion { holds_with: self.others.clone(), ..Criterion::of(self.property) };
        shrink::shrink(Engine::Core, &self.scenario, &criterion, |_, _| {}).ok()
    }
}
