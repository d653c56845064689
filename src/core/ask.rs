//! What a leader asks of its followers besides taking writes, and what they answer: promises, state, snapshots.
//!
//! A leader has at most one question to a follower under way, so that its answers come in the order of the questions.
//!
//! They go over HTTP as JSON. Nothing here is flattened or tagged inside: readers of such types read everything into a tree
//! first, which does not keep the text of a [`Value`] as it stands.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::digest::{Buckets, Summary};
use super::store::Entry;
use crate::base::trace::Rpc;
use crate::base::{Epoch, FollowerId, Key, Requests, Stamp, Value, Version};

/// Names one life of a leader. No two lives have the same number, whoever the leader is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaderId(pub u64);

/// Names one life of a follower: with its memory, a follower loses its number. No two lives of any followers have the same,
/// so that a leader can tell who answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

/// Names a snapshot among those that a leader gives to its followers. No two have the same, so that what was meant for one
/// follower and has gone to another is not taken for a part of what is meant for that one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SnapshotId(pub u64);

const BITS_OF_PLACE: u32 = u8::BITS;

/// The number of the nth of what a follower has, counted from 0, among what all followers have.
fn nth(follower: FollowerId, n: u64) -> u64 {
    n << BITS_OF_PLACE | u64::from(follower.0)
}

impl Incarnation {
    /// The name of a follower's life, counted from 0, where lives can be counted: in simulations and tests.
    pub fn nth(follower: FollowerId, life: u64) -> Self {
        Self(nth(follower, life))
    }

    /// Whose life it is, if it was named so.
    pub fn follower(self) -> FollowerId {
        FollowerId((self.0 & u64::from(u8::MAX)) as u8)
    }
}

impl SnapshotId {
    /// The name of the nth snapshot that a leader gives to a follower.
    pub fn nth(follower: FollowerId, n: u64) -> Self {
        Self(nth(follower, n))
    }
}

// Whose life or snapshot it is leaves no mark: it is hashed with what else is known of its follower. So states of a search that
// differ only by which follower is which have the same hash.

impl Hash for Incarnation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0 >> BITS_OF_PLACE).hash(state);
    }
}

impl Hash for SnapshotId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0 >> BITS_OF_PLACE).hash(state);
    }
}

/// Not to take part in anything of an epoch below this, nor of this one under another leader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Promise {
    /// The epoch.
    pub epoch: Epoch,
    /// Whose epoch it is.
    pub leader: LeaderId,
}

/// Whom a leader replicates to, and how many of them must confirm a write.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Configuration {
    /// The followers, by the names under which the leader finds them.
    pub members: Arc<[String]>,
    /// How many must confirm a write.
    pub write_quorum: usize,
}

impl Configuration {
    /// So many members, called `f1`, `f2`, ….
    pub fn of(members: usize, write_quorum: usize) -> Self {
        let members = FollowerId::first(members).map(|id| id.to_string()).collect();
        Self { members, write_quorum }
    }

    /// R, how many of the members must promise an epoch, and tell what they store, before a leader can know every write
    /// that was acknowledged under this configuration: so many that they have a member in common with every W of them
    /// (Gifford, *Weighted Voting for Replicated Data*, 1979), and are a majority, so that no two leaders have the same
    /// epoch. 0 if there are no members.
    pub fn recovery_quorum(&self) -> usize {
        let members = self.members.len();
        if members == 0 { 0 } else { (members + 1).saturating_sub(self.write_quorum).max(self.majority()) }
    }

    /// More than half of the members.
    pub fn majority(&self) -> usize {
        self.members.len() / 2 + 1
    }
}

/// Whether a follower's memory can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It has just started, and may have forgotten what it confirmed. It answers no reads, confirms nothing, and does not
    /// count among those that a leader recovers from.
    Recovering,
    /// A leader has brought it up to date since it started.
    Normal,
}

/// Which life of a follower speaks, and whether its memory can be relied on. Written as `7 normal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The life.
    pub incarnation: Incarnation,
    /// Whether its memory can be relied on.
    pub standing: Standing,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let standing = match self.standing {
            Standing::Recovering => "recovering",
            Standing::Normal => "normal",
        };
        write!(f, "{} {standing}", self.incarnation.0)
    }
}

/// A text that is no [`Identity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an identity is a number, and normal or recovering")]
pub struct InvalidIdentity;

impl FromStr for Identity {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        let (incarnation, standing) = text.split_once(' ').ok_or(InvalidIdentity)?;
        let standing = match standing {
            "recovering" => Standing::Recovering,
            "normal" => Standing::Normal,
            _ => return Err(InvalidIdentity),
        };
        Ok(Self { incarnation: Incarnation(incarnation.parse().map_err(|_| InvalidIdentity)?), standing })
    }
}

/// What a leader asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ask {
    /// The leader's epoch.
    pub epoch: Epoch,
    /// The leader.
    pub leader: LeaderId,
    /// The question.
    pub question: Question,
}

/// A question to a follower. All but [`Question::Fence`] are for those that have promised the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Promise the epoch, and say what you have promised and stored.
    Fence,
    /// Are you still the same, and is my epoch still the one that you have promised?
    Probe {
        /// That every write acknowledged earlier is stored by a quorum of this configuration: the ones before are history.
        recovered: Option<Configuration>,
        /// Whether to tell the digest of each bucket.
        buckets: bool,
    },
    /// Tell what you store, in the order of the keys.
    Pull {
        /// The life that is asked.
        incarnation: Incarnation,
        /// From the key after this one on.
        after: Option<Key>,
        /// So many keys at most.
        keys: usize,
    },
    /// Take a part of what there is to be stored. With the last part it takes the place of everything older.
    Push {
        /// The life that is asked.
        incarnation: Incarnation,
        /// Which snapshot this is a part of. Its parts come one by one; another snapshot begins anew.
        snapshot: SnapshotId,
        /// Which part it is, counted from 0.
        part: u64,
        /// How many rounds of collecting deletions the leader had begun when the snapshot began. What the snapshot holds was
        /// not deleted in any of them.
        as_of: u64,
        /// What is stored.
        entries: Vec<Item>,
        /// With the last part: what all of them must come to, and what is in force.
        last: Option<Last>,
    },
    /// What you store is right, but give it the stamps of my epoch.
    Adopt {
        /// The life that is asked.
        incarnation: Incarnation,
        /// What is to be stored now, as a check.
        from: Summary,
        /// The configurations in force.
        configurations: Vec<Configuration>,
        /// The greatest version of a deletion that the leader knows of.
        #[serde(default)]
        floor: Option<Version>,
    },
    /// Every follower knows of these deletions: forget them.
    Forget {
        /// The life that is asked.
        incarnation: Incarnation,
        /// The deletions.
        deletions: Vec<Deletion>,
        /// The number of the leader's round of collecting deletions, counted from 1.
        round: u64,
        /// What a key that is not there has no use for from now on: writes of my epoch up to this version, if there are any.
        floor: Option<Version>,
    },
}

impl Question {
    /// The kind of RPC that carries the question.
    pub fn rpc(&self) -> Rpc {
        match self {
            Self::Fence { .. } => Rpc::Promise,
            Self::Probe { .. } => Rpc::Heartbeat,
            Self::Pull { .. } => Rpc::State,
            Self::Push { .. } => Rpc::Snapshot,
            Self::Adopt { .. } => Rpc::Adopt,
            Self::Forget { .. } => Rpc::Collect,
        }
    }
}

/// A key that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Deletion {
    /// The key.
    pub key: Key,
    /// The stamp of the deletion.
    pub stamp: Stamp,
}

/// What comes with the last part of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Last {
    /// Of everything in the snapshot.
    pub summary: Summary,
    /// The configurations in force, which the follower must remember.
    pub configurations: Vec<Configuration>,
    /// If the snapshot is of everything: the greatest version of a deletion that the leader knew of when it began. Whatever
    /// is not in the snapshot and not above that was deleted.
    #[serde(default)]
    pub floor: Option<Version>,
}

/// A key and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Item {
    /// The key.
    pub key: Key,
    /// The epoch of its stamp.
    pub epoch: Epoch,
    /// The version.
    pub version: Version,
    /// The value; none if the key was deleted.
    #[serde(default, deserialize_with = "Value::present", skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The last writes to which their clients gave a name.
    #[serde(default, skip_serializing_if = "Requests::is_empty")]
    pub requests: Requests,
}

impl Item {
    /// A key and its entry.
    pub fn new(key: Key, entry: Entry) -> Self {
        let Entry { stamp: Stamp { epoch, version }, value, requests } = entry;
        Self { key, epoch, version, value, requests }
    }

    /// The key and its entry.
    pub fn into_entry(self) -> (Key, Entry) {
        let Self { key, epoch, version, value, requests } = self;
        (key, Entry { stamp: Stamp { epoch, version }, value, requests })
    }
}

/// What a follower answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Answer {
    /// Which of its lives this is.
    pub incarnation: Incarnation,
    /// Whether its memory can be relied on.
    pub standing: Standing,
    /// What it has promised.
    pub promised: Promise,
    /// The answer to the question.
    pub said: Said,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// Not to you: another epoch is promised, or another life was meant.
    Refused,
    /// It is promised.
    Promised {
        /// The configurations under which something may have been acknowledged that is still to be recovered, as far as is known here:
        /// none if no leader has brought this follower up to date since it started.
        configurations: Vec<Configuration>,
        /// What is stored.
        summary: Summary,
        /// The greatest version of a deletion that was forgotten, as far as is known here.
        #[serde(default)]
        floor: Option<Version>,
        /// The last epoch in which a leader has brought it up to date: everything that was acknowledged in an earlier one, and
        /// not deleted since, is stored under this epoch or a later one.
        #[serde(default)]
        current_in: Epoch,
    },
    /// To a probe.
    Here {
        /// What a reader finds here.
        summary: Summary,
        /// The digest of each bucket, if it was asked for.
        buckets: Option<Buckets>,
    },
    /// A part of what is stored.
    Page {
        /// In the order of the keys.
        entries: Vec<Item>,
        /// Whether there is more.
        more: bool,
    },
    /// The part is taken; the next one, if there is one.
    Taken,
    /// The snapshot is complete, and installed.
    Installed,
    /// The deletions are forgotten.
    Forgotten,
    /// The parts do not fit together, or do not come to what they must: begin anew.
    Again,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a value survives, and everything else.
    #[test]
    fn what_is_asked_and_answered_survives_the_way() {
        let value = Value::from_json(r#"{"b":1.50,"b":9007199254740993}"#).unwrap();
        let (epoch, version, key) = (Epoch::new(7), Version::FIRST, Key::new("x").unwrap());
        let null = Value::from_json("null").unwrap();
        let id = crate::base::RequestName::new("r").unwrap();
        let requests = Requests::default().with(crate::base::Request { id, version, asked: u64::MAX });
        let item = |value| Item { key: key.clone(), epoch, version, value, requests: requests.clone() };
        let entries = vec![item(Some(value)), item(None), item(Some(null))];
        let deletions = vec![Deletion { key: key.clone(), stamp: Stamp { epoch, version } }];
        let (incarnation, summary) = (Incarnation(u64::MAX), Summary { keys: 1, digest: 2 });
        let configurations = vec![Configuration::of(3, 2)];
        let last = Some(Last { summary, configurations: configurations.clone(), floor: Some(version) });
        for question in [
            Question::Fence,
            Question::Probe { recovered: Some(Configuration::of(1, 1)), buckets: true },
            Question::Pull { incarnation, after: Some(key.clone()), keys: 7 },
            Question::Push { incarnation, snapshot: SnapshotId(1), part: 0, as_of: 3, entries: entries.clone(), last },
            Question::Adopt { incarnation, from: summary, configurations: configurations.clone(), floor: None },
            Question::Forget { incarnation, deletions, round: 3, floor: Some(version) },
        ] {
            let ask = Ask { epoch, leader: LeaderId(5), question };
            let text = serde_json::to_string(&ask).unwrap();
            assert_eq!(serde_json::from_str::<Ask>(&text).unwrap(), ask, "{text}");
        }
        let promised = Promise { epoch, leader: LeaderId(5) };
        for said in [
            Said::Refused,
            Said::Promised { configurations, summary, floor: Some(version), current_in: epoch },
            Said::Here { summary, buckets: Some(Buckets::default()) },
            Said::Page { entries, more: true },
            Said::Taken,
            Said::Installed,
            Said::Forgotten,
            Said::Again,
        ] {
            let answer = Answer { incarnation, standing: Standing::Normal, promised, said };
            let text = serde_json::to_string(&answer).unwrap();
            assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer, "{text}");
        }
    }

    /// A search follows one of two states that differ only by which follower is which, but each of two that differ otherwise.
    #[test]
    fn names_are_hashed_without_their_follower() {
        fn hash(name: impl Hash) -> u64 {
            let mut hasher = std::hash::DefaultHasher::new();
            name.hash(&mut hasher);
            hasher.finish()
        }
        let (f1, f2) = (FollowerId(0), FollowerId(1));
        assert_eq!(hash(Incarnation::nth(f1, 3)), hash(Incarnation::nth(f2, 3)));
        assert_ne!(hash(Incarnation::nth(f1, 3)), hash(Incarnation::nth(f1, 4)));
        assert_eq!(hash(SnapshotId::nth(f1, 3)), hash(SnapshotId::nth(f2, 3)));
        assert_ne!(hash(SnapshotId::nth(f1, 3)), hash(SnapshotId::nth(f1, 4)));
    }
}
