use std::io;

use crate::base::Epoch;

/// Distinguishes one run of a node from all other runs of all nodes. A node keeps nothing on disk,
/// so a restart is a new run.
///
/// A cluster in which two runs have the same number is not safe: a leader cannot distinguish two
/// followers, and waits for a second one that it never finds; followers cannot distinguish two
/// leaders, and take writes of both in one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeIncarnation {
    /// A number that no other run has.
    pub number: u64,
    /// The first epoch that the node proposes if it leads. A cluster whose nodes have all lost
    /// their memory begins with it, so it must be greater than every epoch that an earlier leader
    /// had.
    pub first_epoch: Epoch,
}

impl NodeIncarnation {
    /// Draws the number from the system's source of randomness, and takes the time in milliseconds
    /// since 1970 as the first epoch. The number has 53 bits, which all readers of JSON keep.
    ///
    /// A simulation counts instead, because a drawn number differs from run to run.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn draw() -> io::Result<Self> {
        let number = getrandom::u64().map_err(io::Error::other)? >> (u64::BITS - 53);
        Ok(Self { number, first_epoch: epoch_of_now() })
    }
}

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a simulation does not call this, and nothing waits for this time"
)]
fn epoch_of_now() -> Epoch {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Epoch::new(u64::try_from(since_1970.as_millis()).unwrap_or(1).max(1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_draws_are_the_same_and_epochs_do_not_go_down() {
        let drawn: Vec<NodeIncarnation> = (0..1000).map(|_| NodeIncarnation::draw().unwrap()).collect();
        assert_eq!(drawn.iter().map(|it| it.number).collect::<BTreeSet<_>>().len(), 1000);
        assert!(drawn.iter().all(|it| it.number < 1 << 53));
        assert!(drawn.is_sorted_by_key(|it| it.first_epoch) && drawn[0].first_epoch > Epoch::new(1 << 40));
    }
}
