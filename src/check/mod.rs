//! What must hold of a run: pure functions over what was recorded of it, one property in each file.

pub mod acknowledgement;
pub mod bounds;
mod calls;
pub mod convergence;
pub mod divergence;
pub mod durability;
mod evidence;
mod facts;
mod final_states;
pub mod integrity;
pub mod latency_law;
pub mod linearizability;
pub mod liveness;
pub mod monotonic_state;
mod news;
pub mod prefix;
mod recorded;
mod replay;
pub mod sessions;
#[cfg(test)]
mod testing;
mod verdict;
mod window;

pub use facts::Facts;
pub use final_states::final_states;
pub use recorded::Recorded;
pub use verdict::{Finding, Property, Verdict};

use crate::base::history::History;
use crate::base::trace::Record;

/// The verdicts on every property, in the order of [`Property::ALL`].
pub fn all(run: &Recorded<'_>) -> Vec<Verdict> {
    Property::ALL.map(|property| check(property, run)).into()
}

/// The verdicts on a trace, by itself: what the nodes store in the end is replayed. `facts` are those of its first record.
pub fn of_trace(records: &[Record], facts: &Facts) -> Vec<Verdict> {
    let history = History::from_records(records);
    let states = final_states(records, facts);
    all(&Recorded { records, history: &history, states: &states, facts: Some(facts) })
}

/// The verdict on one property.
pub fn check(property: Property, run: &Recorded<'_>) -> Verdict {
    match property {
        Property::Integrity => integrity::check(run),
        Property::Linearizability => linearizability::check(run),
        Property::Durability => durability::check(run),
        Property::Convergence => convergence::check(run),
        Property::Sessions => sessions::check(run),
        Property::Prefix => prefix::check(run),
        Property::Acknowledgement => acknowledgement::check(run),
        Property::MonotonicState => monotonic_state::check(run),
        Property::Liveness => liveness::check(run),
        Property::Bounds => bounds::check(run),
        Property::LatencyLaw => latency_law::check(run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_checker_speaks_of_its_own_property() {
        let facts = testing::Story::new().facts;
        let verdicts = all(&Recorded { records: &[], history: &History::default(), states: &[], facts: Some(&facts) });
        assert_eq!(verdicts.iter().map(|verdict| verdict.property).collect::<Vec<_>>(), Property::ALL);
        assert!(!verdicts.iter().any(Verdict::is_violated), "nothing happened, so nothing went wrong");
    }

    /// A check of nothing must not look like one of something.
    #[test]
    fn of_clients_that_did_nothing_nothing_can_be_told() {
        for verdict in all(&Recorded::of_clients(&History::default())) {
            assert!(matches!(verdict.finding, Finding::NotApplicable(_)), "{verdict:?}");
        }
    }
}
