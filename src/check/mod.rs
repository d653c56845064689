//! What must hold of a run: pure functions over what was recorded of it, one property in each file.

pub mod acknowledgement;
pub mod agreement;
pub mod bounds;
mod calls;
mod client_links;
pub mod convergence;
mod coverage;
mod crash_notice;
pub mod divergence;
pub mod durability;
mod evidence;
mod excuse;
pub mod explain;
mod facts;
pub mod fencing;
mod final_states;
mod fork;
pub mod idempotence;
pub mod integrity;
mod keys;
pub mod latency_law;
mod leaders;
pub mod linearizability;
pub mod liveness;
mod lookup;
mod loss_cause;
pub mod monotonic_state;
mod nodes;
pub mod prefix;
mod prepared;
mod recorded;
mod replay;
pub mod sessions;
#[cfg(test)]
mod testing;
mod text;
mod verdict;
mod waiting;
mod window;
mod writes;

pub use coverage::{Coverage, Skipped};
pub use excuse::{Excuse, Excused, Terms};
pub use facts::Facts;
pub use final_states::final_states;
pub use loss_cause::LossCause;
pub use recorded::Recorded;
pub use verdict::{Finding, Property, Verdict};

use fork::Fork;
use prepared::Prepared;

use crate::base::history::History;
use crate::base::trace::Record;

/// The verdicts on every property, in the order of [`Property::ALL`].
pub fn all(run: &Recorded<'_>) -> Vec<Verdict> {
    if let Some(fork) = Fork::of(run) {
        return Property::ALL.map(|property| before(&fork, run, property)).into();
    }
    let prepared = Prepared::of(run);
    Property::ALL.map(|property| judge(property, &prepared)).into()
}

/// The verdict on one property of a run that becomes one of two clusters: on the records before that.
fn before(fork: &Fork, run: &Recorded<'_>, property: Property) -> Verdict {
    let records = &run.records[..fork.index];
    let history = History::from_records(records);
    let run = Recorded { records, history: &history, states: &[], facts: run.facts };
    fork.verdict(judge(property, &Prepared::of(&run)))
}

/// The verdicts on a trace, by itself: what the nodes store in the end is replayed. `facts` are those of its first record.
pub fn of_trace(records: &[Record], facts: &Facts) -> Vec<Verdict> {
    let history = History::from_records(records);
    let states = final_states(records, facts);
    all(&Recorded { records, history: &history, states: &states, facts: Some(facts) })
}

/// The verdict on one property.
pub fn check(property: Property, run: &Recorded<'_>) -> Verdict {
    if let Some(fork) = Fork::of(run) {
        return before(&fork, run, property);
    }
    judge(property, &Prepared::of(run))
}

fn judge(property: Property, prepared: &Prepared<'_>) -> Verdict {
    let run = &prepared.run;
    match property {
        Property::Integrity => integrity::judge(prepared),
        Property::Linearizability => linearizability::check(run),
        Property::Durability => durability::judge(prepared),
        Property::Convergence => convergence::check(run),
        Property::Sessions => sessions::judge(prepared),
        Property::Prefix => prefix::judge(prepared),
        Property::Acknowledgement => acknowledgement::judge(prepared),
        Property::MonotonicState => monotonic_state::judge(prepared),
        Property::Fencing => fencing::judge(prepared),
        Property::Liveness => liveness::judge(prepared),
        Property::Bounds => bounds::judge(prepared),
        Property::Idempotence => idempotence::judge(prepared),
        Property::LatencyLaw => latency_law::judge(prepared),
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
