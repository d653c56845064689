use std::num::NonZeroUsize;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc::UnboundedReceiver;

use super::{StartError, Symptom, words, workers};
use crate::check::agreement;
use crate::sim::scenario::Scenario;
use crate::sim::{Engine, SimError, engine};

/// What real nodes, in turmoil, say of a scenario in which the core engine has found something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retrial {
    /// It ran, and this was wrong with it.
    Ran(Vec<Symptom>),
    /// It did not come to its end: a node or the simulator failed.
    Broke(String),
    /// Turmoil cannot run it.
    Refused(String),
}

/// What that says of one thing that the core engine has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmation {
    /// Real nodes do the same wrong.
    Confirmed,
    /// They do not, for this reason.
    CoreOnly(String),
    /// They cannot do what the scenario says, for this reason.
    Unplayable(String),
}

/// Runs each scenario again in turmoil, with its own seed, `jobs` at a time. What came of them is told by their seeds, in
/// the order in which runs end; the channel is closed after the last. None is begun once `stop` is set.
///
/// # Errors
/// [`StartError`]; nothing has been run then.
pub fn retry(
    scenarios: Vec<Scenario>,
    jobs: NonZeroUsize,
    stop: Arc<AtomicBool>,
) -> Result<UnboundedReceiver<(u64, Retrial)>, StartError> {
    engine::require_determinism()?;
    workers::spread(scenarios.into_iter(), jobs, stop, |scenario| (scenario.seed, Retrial::of(&scenario)))
}

impl Retrial {
    fn of(scenario: &Scenario) -> Self {
        let run = || engine::run(Engine::Turmoil, scenario, Arc::default());
        match panic::catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(run)) => {
                let contradicted =
                    !agreement::contradictions(&run.verdicts, run.trace.records(), &run.history).is_empty();
                let contradicted = contradicted.then_some(Symptom::Contradiction);
                Self::Ran(run.violations().map(Symptom::Violation).chain(contradicted).collect())
            }
            Ok(Err(SimError::Failed { why, .. })) => Self::Broke(why),
            Ok(Err(error)) => Self::Refused(error.to_string()),
            Err(panic) => Self::Broke(format!("panicked: {}", words(&*panic))),
        }
    }

    /// Whether the same is wrong there.
    pub fn confirms(&self, found: Symptom) -> Confirmation {
        let reason = match (self, found) {
            (Self::Ran(wrong), _) if wrong.contains(&found) => return Confirmation::Confirmed,
            (Self::Broke(_), Symptom::Broken) => return Confirmation::Confirmed,
            (Self::Ran(_), Symptom::Broken) => "in turmoil it comes to its end".to_owned(),
            (Self::Ran(wrong), _) if wrong.is_empty() => "turmoil finds nothing wrong".to_owned(),
            (Self::Ran(wrong), _) => {
                let names: Vec<&str> = wrong.iter().map(|symptom| symptom.name()).collect();
                format!("turmoil finds other things: {}", names.join(", "))
            }
            (Self::Broke(why), _) => format!("in turmoil it does not come to its end: {why}"),
            (Self::Refused(why), _) => return Confirmation::Unplayable(why.clone()),
        };
        Confirmation::CoreOnly(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Property;

    #[test]
    fn each_property_is_confirmed_by_itself() {
        let core_only = |reason: &str| Confirmation::CoreOnly(reason.into());
        let [durability, liveness] = [Property::Durability, Property::Liveness].map(Symptom::Violation);
        let ran = Retrial::Ran(vec![durability]);
        assert_eq!(ran.confirms(durability), Confirmation::Confirmed);
        assert_eq!(ran.confirms(liveness), core_only("turmoil finds other things: durability"));
        assert_eq!(ran.confirms(Symptom::Contradiction), core_only("turmoil finds other things: durability"));
        assert_eq!(ran.confirms(Symptom::Broken), core_only("in turmoil it comes to its end"));
        assert_eq!(Retrial::Ran(Vec::new()).confirms(liveness), core_only("turmoil finds nothing wrong"));
        let contradicted = Retrial::Ran(vec![Symptom::Contradiction]);
        assert_eq!(contradicted.confirms(Symptom::Contradiction), Confirmation::Confirmed);
        assert_eq!(Retrial::Broke("x".into()).confirms(Symptom::Broken), Confirmation::Confirmed);
        let broke = core_only("in turmoil it does not come to its end: x");
        assert_eq!(Retrial::Broke("x".into()).confirms(liveness), broke);
        let unplayable = Confirmation::Unplayable("no".into());
        assert_eq!(Retrial::Refused("no".into()).confirms(liveness), unplayable);
    }
}
