//! Excuses: the cases in which a checker does not report what its property forbids.
//!
//! Each kind of excuse has a bound, which its checker enforces: past the bound the same case is a violation. A verdict
//! lists the excuses that it used, so that a run in which much was excused does not look like one in which nothing
//! happened. A loss of acknowledged data is never excused: it is a violation, or [`Finding::Lost`](super::Finding::Lost).

mod terms;

use std::fmt;

use super::evidence::count;
pub use terms::Terms;

/// A kind of case that a checker excuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Excuse {
    /// A version was given to the first write of a key in a later incarnation or epoch of a leader.
    RecoveredVersion,
    /// A version was given to a key that had been deleted, by a leader that does not know the greatest deleted version.
    UnknownFloor,
    /// A node stores a version in the end, and its epoch is not known.
    UnknownEpoch,
    /// A node has forgotten in a crash what it stored or promised.
    LostMemory,
    /// A read found nothing where the key may have been deleted.
    FoundDeletion,
    /// The end of a crashed follower's connections had not reached the leader.
    LateNotice,
    /// A fault lost the end of a crashed follower's connections.
    LostNotice,
    /// A follower that crashed and restarted under another name counts under both.
    TwoNames,
    /// A follower that held an acknowledged write has crashed since.
    CrashedHolder,
    /// A follower lost what it stored for a key without noticing.
    LostKey,
    /// An acknowledged write lacks holders, and is older than a deletion that has been collected.
    CollectedDeletion,
    /// A leader does not know the versions of keys that had been deleted.
    ForgottenFloor,
    /// A local read at a leader, in a run that has several epochs.
    LocalRead,
    /// A request was neither acknowledged nor recovered before its retry.
    UncertainRequest,
    /// Eight later requests of the key were taken on between a request and its retry.
    ManyRequests,
    /// The key was deleted, and the deletion collected, between a request and its retry.
    CollectedRequest,
    /// A request was lost between it and its retry.
    LostRequest,
    /// A leader that had been deposed took a retry on.
    DeposedLeader,
    /// Answers of different epochs require different numbers of confirmations.
    ChangedQuorum,
    /// The node was down.
    NodeDown,
    /// The leader recovered.
    LeaderStarting,
    /// The node was stopped.
    NodePaused,
    /// The clock of the leader was wrong.
    WrongClock,
    /// The link between a client and the node that it asked was cut or slow.
    ClientLink,
    /// The timeout of a write is not above the longest delay of a message.
    ShortTimeout,
    /// A write found as many messages to a follower in flight as there may be.
    FullWindow,
    /// The leader does not serve, because too few followers have their memory.
    LeaderWaits,
}

impl Excuse {
    /// Every kind, in the order of the properties that use it.
    pub const ALL: [Self; 27] = [
        Self::RecoveredVersion,
        Self::UnknownFloor,
        Self::UnknownEpoch,
        Self::LostMemory,
        Self::FoundDeletion,
        Self::LateNotice,
        Self::LostNotice,
        Self::TwoNames,
        Self::CrashedHolder,
        Self::LostKey,
        Self::CollectedDeletion,
        Self::ForgottenFloor,
        Self::LocalRead,
        Self::UncertainRequest,
        Self::ManyRequests,
        Self::CollectedRequest,
        Self::LostRequest,
        Self::DeposedLeader,
        Self::ChangedQuorum,
        Self::NodeDown,
        Self::LeaderStarting,
        Self::NodePaused,
        Self::WrongClock,
        Self::ClientLink,
        Self::ShortTimeout,
        Self::FullWindow,
        Self::LeaderWaits,
    ];

    /// The name that reports use.
    pub fn name(self) -> &'static str {
        self.terms().name
    }
}

impl fmt::Display for Excuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The cases of one kind that a verdict excused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excused {
    /// The kind.
    pub excuse: Excuse,
    /// The number of cases.
    pub cases: usize,
    /// The first case, as a sentence.
    pub example: String,
}

/// `2 confirmations excused: news of the crash had not arrived`
impl fmt::Display for Excused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Terms { case, cause, .. } = self.excuse.terms();
        write!(f, "{} excused: {cause}", count(self.cases, case))
    }
}

/// The excuses that a checker used so far, in the order of [`Excuse::ALL`].
#[derive(Debug, Default)]
pub(super) struct Excuses(Vec<Excused>);

impl Excuses {
    /// Counts a case. Only the first of each kind is put into words.
    pub(super) fn add(&mut self, excuse: Excuse, example: impl FnOnce() -> String) {
        match self.0.binary_search_by_key(&excuse, |excused| excused.excuse) {
            Ok(at) => self.0[at].cases += 1,
            Err(at) => self.0.insert(at, Excused { excuse, cases: 1, example: example() }),
        }
    }

    pub(super) fn into_inner(self) -> Vec<Excused> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const HEAD: [&str; 5] = ["excuse", "by", "excuses", "bound", "because"];

    /// The table of the documentation, as it must be.
    fn table() -> String {
        let line = |cells: [&str; 5]| format!("| {} |\n", cells.join(" | "));
        let rows = Excuse::ALL.into_iter().map(|excuse| {
            let Terms { name, properties, excuses, bound, why, .. } = excuse.terms();
            let by: Vec<&str> = properties.iter().map(|property| property.name()).collect();
            line([&format!("`{name}`"), &by.join(", "), excuses, bound, why])
        });
        line(HEAD) + "|---|---|---|---|---|\n" + &rows.collect::<String>()
    }

    #[test]
    fn the_documentation_lists_every_excuse() {
        let document = include_str!("../../docs/CHECKERS.md");
        let table = table();
        assert!(document.ends_with(&table), "docs/CHECKERS.md must end with\n{table}");
    }

    #[test]
    fn excuses_are_in_order_and_named_apart() {
        assert!(Excuse::ALL.is_sorted(), "verdicts list excuses in this order");
        let names: BTreeSet<&str> = Excuse::ALL.into_iter().map(Excuse::name).collect();
        assert_eq!(names.len(), Excuse::ALL.len());
        for Terms { name, properties, .. } in Excuse::ALL.map(Excuse::terms) {
            assert!(!properties.is_empty() && properties.is_sorted(), "{name}");
        }
    }

    #[test]
    fn cases_are_counted_by_kind_and_told_by_the_first() {
        let mut excuses = Excuses::default();
        for (excuse, example) in [(Excuse::LeaderWaits, "a"), (Excuse::LateNotice, "b"), (Excuse::LeaderWaits, "c")] {
            excuses.add(excuse, || example.to_owned());
        }
        let listed = excuses.into_inner();
        let kinds: Vec<_> = listed.iter().map(|excused| (excused.excuse, excused.example.as_str())).collect();
        assert_eq!(kinds, [(Excuse::LateNotice, "b"), (Excuse::LeaderWaits, "a")]);
        assert_eq!(listed[1].to_string(), "2 findings excused: the leader waits for an operator");
    }
}
