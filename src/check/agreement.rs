//! Two judgements of one run do not contradict each other.
//!
//! A run can be judged by its trace, or by the history of its clients alone ([`Recorded::of_clients`]). The history says
//! less, so its verdict may be silent where that of the trace speaks. But what is violated by all that clients saw is
//! violated, or lost, by the trace: where only the history accuses, one of the two judgements is wrong.

use std::borrow::Cow;
use std::fmt;

use super::fork::Fork;
use super::prepared::Prepared;
use super::{Facts, Finding, Property, Recorded, Verdict};
use crate::base::history::History;
use crate::base::trace::Record;

/// A property that the history of a run shows violated, although its trace does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The property.
    pub property: Property,
    /// The sentences that show the violation in the history. Never empty.
    pub evidence: Vec<String>,
}

/// `linearizability is violated by the history of the clients, and not by the trace: …`
impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { property, evidence } = self;
        let first = evidence.first().map(String::as_str).unwrap_or_default();
        write!(f, "{property} is violated by the history of the clients, and not by the trace: {first}")
    }
}

/// The contradictions between the verdicts on a trace and the history of the same run. O(n log n).
///
/// Where two clusters ran under the same names, the verdicts on the trace are about the time before that, and so the history is
/// judged up to there.
pub fn contradictions(of_trace: &[Verdict], records: &[Record], history: &History) -> Vec<Contradiction> {
    let facts = Facts::from_records(records);
    let fork = Fork::of(&Recorded { records, history, states: &[], facts: facts.as_ref() });
    let history = match fork {
        Some(fork) => Cow::Owned(History::from_records(&records[..fork.index])),
        None => Cow::Borrowed(history),
    };
    let prepared = Prepared::of(&Recorded::of_clients(&history));
    let is_open = |verdict: &&Verdict| {
        !verdict.property.is_counted() && !matches!(verdict.finding, Finding::Violated(_) | Finding::Lost(_))
    };
    let contradiction = |verdict: &Verdict| match super::judge(verdict.property, &prepared).finding {
        Finding::Violated(evidence) => Some(Contradiction { property: verdict.property, evidence }),
        Finding::Holds(_) | Finding::Lost(_) | Finding::Counted { .. } | Finding::NotApplicable(_) => None,
    };
    of_trace.iter().filter(is_open).filter_map(contradiction).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::NodeId;
    use crate::base::trace::Outcome;
    use crate::check::of_trace;
    use crate::check::testing::{Story, c};

    /// The verdicts on a trace, and its history.
    fn judged(story: &Story, facts: &Facts) -> (Vec<Verdict>, History) {
        (of_trace(story.records(), facts), History::from_records(story.records()))
    }

    /// c1 is told that its write is acknowledged, and c2 does not find it.
    fn stale_read() -> Story {
        let mut story = Story::new();
        story.at(1).invoke_set(c(1), 1, "k", "1").at(5).wrote(c(1), 1, Outcome::Ok, 1);
        story.at(6).invoke_get(c(2), 1, NodeId::FIRST_SERVER, "k").at(7).found(c(2), 1, 0, "");
        story
    }

    #[test]
    fn a_trace_that_speaks_is_not_contradicted() {
        let story = stale_read();
        let (verdicts, history) = judged(&story, &story.facts);
        assert!(verdicts.iter().any(|verdict| verdict.property == Property::Linearizability && verdict.is_violated()));
        assert_eq!(contradictions(&verdicts, story.records(), &history), []);
    }

    #[test]
    fn a_trace_that_is_silent_is() {
        let story = stale_read();
        let (mut verdicts, history) = judged(&story, &story.facts);
        for finding in [Finding::Holds("all".into()), Finding::NotApplicable("none".into())] {
            verdicts.iter_mut().for_each(|verdict| verdict.finding = finding.clone());
            let found = contradictions(&verdicts, story.records(), &history);
            let [Contradiction { property: Property::Linearizability, evidence }] = found.as_slice() else {
                panic!("{found:?}")
            };
            assert!(
                evidence[0].starts_with("c2#1, from 6 to 7 ms, found no k, though before that c1#1"),
                "{evidence:?}"
            );
        }
    }
}
