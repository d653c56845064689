//! Idempotence: what a client asks for once more, under the name that it gave to it, happens once (F11 of the project's
//! catalogue; Helland, *Idempotence Is Not a Medical Condition*, 2012).
//!
//! A leader takes no write on under a name that its key remembers. A key remembers the last [`Requests::MOST`] writes that had
//! a name, until it is deleted and the deletion forgotten. Of those,
//!
//! 1. what this life of the leader took on in this epoch counts in any case;
//! 2. what another one did, or was in an earlier epoch, if it was acknowledged: then it is among what was recovered. What was not may be lost.
//!
//! Where only clients were recorded, the versions that they learned are compared: see [`of_clients`].

mod of_clients;

use std::collections::{BTreeMap, VecDeque};

use super::evidence::{At, count};
use super::prepared::Prepared;
use super::{Property, Recorded, Verdict};
use crate::base::trace::{Event, Micros, Record, WriteId};
use crate::base::{RequestName, Requests, Stamp};

/// Checks it. O(n log n).
pub fn check(run: &Recorded<'_>) -> Verdict {
    judge(&Prepared::of(run))
}

pub(super) fn judge(prepared: &Prepared<'_>) -> Verdict {
    let Prepared { run, keys, .. } = prepared;
    let Some(facts) = run.facts else { return of_clients::judge(run.history) };
    let mut remembered: BTreeMap<usize, VecDeque<Named<'_>>> = BTreeMap::new();
    // The keys of the writes that had a name and were not acknowledged yet.
    let mut key_of: BTreeMap<(u64, WriteId), usize> = BTreeMap::new();
    let (mut taken_on, mut retries) = (0, 0);
    let mut evidence = Vec::new();
    for (place, record) in prepared.deeds().filter(|(_, record)| record.node.can_lead()) {
        match &record.event {
            Event::Accept { write, key, stamp, request_id: Some(name), .. } => {
                taken_on += 1;
                let named = Named::new(record, *write, name, *stamp);
                let of_key = remembered.entry(keys.stored_at(place)).or_default();
                // A leader that another has deposed does not know what that one took on.
                let is_known = |first: &Named<'_>| first.stays && first.stamp.epoch <= named.stamp.epoch;
                let counts =
                    |first: &&Named<'_>| first.name == name && (first.is_of_the_same_term(&named) || is_known(first));
                if let Some(first) = of_key.iter().find(counts) {
                    let (first, before, version) = (first.stamp.version, At(first.at), stamp.version);
                    evidence.push(format!(
                        "{} took {name:?} on {key} on twice: as v{first} at {before} and as v{version} at {}",
                        record.node,
                        At(record.at)
                    ));
                }
                of_key.retain(|first| first.name != name);
                key_of.insert((named.life, named.write), keys.stored_at(place));
                of_key.push_back(named);
                if of_key.len() > Requests::MOST {
                    of_key.pop_front();
                }
            }
            Event::Retry { .. } => retries += 1,
            // Without a quorum an acknowledgement promises nothing.
            Event::Complete { write, ok: true, .. } if facts.write_quorum > 0 => {
                let write = (record.incarnation, *write);
                let of_key = key_of.remove(&write).and_then(|key| remembered.get_mut(&key));
                let it = of_key.into_iter().flatten().find(|named| (named.life, named.write) == write);
                it.into_iter().for_each(|named| named.stays = true);
            }
            Event::Recovered { anew: true, .. } => remembered.clear(),
            Event::Collect { .. } => drop(remembered.remove(&keys.stored_at(place))),
            _ => {}
        }
    }
    Verdict::unless(Property::Idempotence, evidence, || {
        format!("{}, and {retries} that came once more", count(taken_on, "named write"))
    })
}

/// A write that had a name.
struct Named<'a> {
    name: &'a RequestName,
    life: u64,
    write: WriteId,
    stamp: Stamp,
    at: Micros,
    /// Whether it was acknowledged.
    stays: bool,
}

impl<'a> Named<'a> {
    fn new(record: &Record, write: WriteId, name: &'a RequestName, stamp: Stamp) -> Self {
        Self { name, life: record.incarnation, write, stamp, at: record.at, stays: false }
    }

    /// A leader that was deposed meanwhile has recovered what others had, and may have forgotten its own.
    fn is_of_the_same_term(&self, other: &Self) -> bool {
        (self.life, self.stamp.epoch) == (other.life, other.stamp.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::NodeId;
    use crate::check::testing::Story;

    fn twice(between: impl Fn(&mut Story)) -> Story {
        let mut story = Story::new();
        story.at(1).accept_named(1, "k", 1, "r").at(2);
        between(&mut story);
        story.at(9).accept_named(2, "k", 9, "r");
        story
    }

    #[test]
    fn a_retry_that_is_a_new_write() {
        let evidence = ["n1 took \"r\" on k on twice: as v1 at 1 ms and as v9 at 9 ms"];
        assert_eq!(twice(|_| ()).evidence(check), evidence);
        let seven = |story: &mut Story| {
            for n in 2..9 {
                story.accept_named(n, "k", n, &format!("s{n}"));
            }
            story.accept_named(9, "x", 1, "s9");
        };
        assert_eq!(twice(seven).evidence(check), evidence, "seven more of this key, and one of another");
        let acknowledged = |story: &mut Story| {
            story.complete(1, true, 2).crash(NodeId::FIRST_SERVER).restart(NodeId::FIRST_SERVER);
        };
        assert_eq!(twice(acknowledged).evidence(check), evidence);
    }

    #[test]
    fn what_need_not_be_remembered() {
        let eight = |story: &mut Story| {
            for n in 1..9 {
                story.accept_named(n, "k", n, &format!("s{n}"));
            }
        };
        assert_eq!(twice(eight).holds(check), "10 named writes, and 0 that came once more");
        let lost = |story: &mut Story| {
            story.complete(1, false, 1).crash(NodeId::FIRST_SERVER).restart(NodeId::FIRST_SERVER);
        };
        twice(lost).holds(check);
        let collected = |story: &mut Story| {
            story.collect(NodeId::FIRST_SERVER, "k", 5);
        };
        twice(collected).holds(check);
        let mut other = Story::new();
        other.accept_named(1, "k", 1, "r").accept_named(2, "x", 1, "r");
        other.holds(check);
    }
}
