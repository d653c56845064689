use std::num::NonZeroUsize;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc::UnboundedReceiver;

use super::{StartError, words, workers};
use crate::check::Property;
use crate::sim::scenario::Scenario;
use crate::sim::{Engine, SimError, engine};

/// What real nodes, in turmoil, say of a scenario in which the core engine has found something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retrial {
    /// It ran, and these properties are violated.
    Ran(Vec<Property>),
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
            Ok(Ok(run)) => Self::Ran(run.violations().collect()),
            Ok(Err(SimError::Failed { why, .. })) => Self::Broke(why),
            Ok(Err(error)) => Self::Refused(error.to_string()),
            Err(panic) => Self::Broke(format!("panicked: {}", words(&*panic))),
        }
    }

    /// Whether this is violated there too; `None` stands for a run that broke.
    pub fn confirms(&self, found: Option<Property>) -> Confirmation {
        let reason = match (self, found) {
            (Self::Ran(violated), Some(property)) if violated.contains(&property) => return Confirmation::Confirmed,
            (Self::Broke(_), None) => return Confirmation::Confirmed,
            (Self::Ran(violated), Some(_)) if violated.is_empty() => "turmoil finds nothing wrong".to_owned(),
            (Self::Ran(violated), Some(_)) => {
                let names: Vec<&str> = violated.iter().map(|property| property.name()).collect();
                format!("turmoil finds other things: {}", names.join(", "))
            }
            (Self::Ran(_), None) => "in turmoil it comes to its end".to_owned(),
            (Self::Broke(why), Some(_)) => format!("in turmoil it does not come to its end: {why}"),
            (Self::Refused(why), _) => return Confirmation::Unplayable(why.clone()),
        };
        Confirmation::CoreOnly(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_property_is_confirmed_by_itself() {
        let core_only = |reason: &str| Confirmation::CoreOnly(reason.into());
        let ran = Retrial::Ran(vec![Property::Durability]);
        assert_eq!(ran.confirms(Some(Property::Durability)), Confirmation::Confirmed);
        assert_eq!(ran.confirms(Some(Property::Liveness)), core_only("turmoil finds other things: durability"));
        assert_eq!(ran.confirms(None), core_only("in turmoil it comes to its end"));
        assert_eq!(Retrial::Ran(Vec::new()).confirms(Some(Property::Bounds)), core_only("turmoil finds nothing wrong"));
        assert_eq!(Retrial::Broke("x".into()).confirms(None), Confirmation::Confirmed);
        let broke = core_only("in turmoil it does not come to its end: x");
        assert_eq!(Retrial::Broke("x".into()).confirms(Some(Property::Bounds)), broke);
        let unplayable = Confirmation::Unplayable("no".into());
        assert_eq!(Retrial::Refused("no".into()).confirms(Some(Property::Bounds)), unplayable);
    }
}
