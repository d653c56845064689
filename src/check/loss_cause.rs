use std::fmt;

/// A documented cause of a loss of acknowledged data. `docs/CHECKERS.md` says when each applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossCause {
    /// No follower had its memory, so the leader bootstrapped the cluster, empty.
    NoMemory,
    /// An operator accepted the loss.
    AcceptedLoss,
    /// A follower had lost the key without noticing.
    LostKey,
    /// All followers lost their memory while two leaders ran.
    TwoLeaders,
    /// A follower was counted under the name of another one.
    OtherName,
    /// A name led to another follower when the leader asked what is stored.
    MovedName,
    /// The members that a leader was given remember nothing, and others do.
    OtherMembers,
    /// No node stores it, and the leader waits for an operator.
    LeaderWaits,
}

impl LossCause {
    /// Every cause, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::NoMemory,
        Self::AcceptedLoss,
        Self::LostKey,
        Self::TwoLeaders,
        Self::OtherName,
        Self::MovedName,
        Self::OtherMembers,
        Self::LeaderWaits,
    ];

    /// The name that reports and names of files use.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoMemory => "no-memory",
            Self::AcceptedLoss => "accepted-loss",
            Self::LostKey => "lost-key",
            Self::TwoLeaders => "two-leaders",
            Self::OtherName => "other-name",
            Self::MovedName => "moved-name",
            Self::OtherMembers => "other-members",
            Self::LeaderWaits => "leader-waits",
        }
    }
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of causes in the documentation has a row for each, in this order.
    #[test]
    fn the_documentation_names_every_cause() {
        let table = include_str!("../../docs/CHECKERS.md");
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | ").map(|(name, _)| name));
        let causes: Vec<&str> = rows.filter(|name| LossCause::ALL.iter().any(|cause| cause.name() == *name)).collect();
        let first = causes.get(..LossCause::ALL.len()).unwrap_or(&causes);
        assert_eq!(first, LossCause::ALL.map(LossCause::name));
    }
}
