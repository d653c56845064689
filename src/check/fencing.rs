//! Fencing: an epoch belongs to one leader, and who has promised one takes nothing of an earlier.
//!
//! 1. Within one epoch, all writes are given their versions by one life of one leader.
//! 2. A follower never promises an epoch below the one that it has promised in its present life, nor the same one to another
//!    leader.
//! 3. A follower applies no write below the epoch that it has promised, nor of that epoch but from the leader that it
//!    has promised it to.
//!
//! The failures F23 to F25 of the project's catalogue, and F5. (Fencing a deposed writer by the readers' promises, before its
//! successor writes: Junqueira, Kelly and Reed, *Durability with BookKeeper*, 2013; the promise itself: Lamport, *The Part-Time
//! Parliament*, 1998.)

use std::collections::BTreeMap;

use super::evidence::{At, count, without_trace};
use super::excuse::Excuses;
use super::nodes::Nodes;
use super::prepared::Prepared;
use super::{Excuse, Property, Recorded, Verdict};
use crate::base::trace::{Event, Micros, Record};
use crate::base::{Epoch, NodeId};

/// Checks it. O(n log n).
pub fn check(run: &Recorded<'_>) -> Verdict {
    judge(&Prepared::of(run))
}

pub(super) fn judge(prepared: &Prepared<'_>) -> Verdict {
    if prepared.run.facts.is_none() {
        return without_trace(Property::Fencing);
    }
    let mut check = Check::default();
    for (_, record) in prepared.deeds() {
        check.follow(record);
    }
    let Check { issuers, promises, evidence, excuses, .. } = check;
    let epochs = issuers.len();
    Verdict::unless(Property::Fencing, evidence, || {
        format!("{} with writes, {}", count(epochs, "epoch"), count(promises, "promise"))
    })
    .excusing(excuses)
}

#[derive(Default)]
struct Check {
    /// By the epochs in which writes were accepted: who did, and when first.
    issuers: BTreeMap<Epoch, Issuer>,
    /// What each follower has promised last.
    promised: Nodes<Promised>,
    promises: usize,
    evidence: Vec<String>,
    excuses: Excuses,
}

struct Issuer {
    node: NodeId,
    life: u64,
    since: Micros,
    /// One complaint about an epoch is enough.
    accused: bool,
}

#[derive(Debug, Clone, Copy)]
struct Promised {
    epoch: Epoch,
    leader: u64,
    at: Micros,
    /// Whether the follower has crashed since.
    forgotten: bool,
}

impl Check {
    fn follow(&mut self, record: &Record) {
        match &record.event {
            Event::Accept { key, stamp, .. } => {
                let life = record.incarnation;
                let new = Issuer { node: record.node, life, since: record.at, accused: false };
                let issuer = self.issuers.entry(stamp.epoch).or_insert(new);
                if issuer.life != life && !issuer.accused {
                    issuer.accused = true;
                    self.evidence.push(format!(
                        "{} (life {}) gave {key} {stamp} at {}, in an epoch in which {} (life {}) has given versions since {}",
                        record.node,
                        life + 1,
                        At(record.at),
                        issuer.node,
                        issuer.life + 1,
                        At(issuer.since)
                    ));
                }
            }
            Event::Promise { epoch, leader } => self.promise(record, *epoch, *leader),
            Event::Apply { request: Some(request), key, stamp, .. } => {
                let Some(promised) = self.promised.get(record.node) else { return };
                let is_promised = stamp.epoch == promised.epoch && request.incarnation == promised.leader;
                if stamp.epoch < promised.epoch || (stamp.epoch == promised.epoch && !is_promised) {
                    let sentence = format!(
                        "{} applied {key} {stamp} of life {} of the leader at {}, though it had promised epoch {} to life {} \
                         at {}",
                        record.node,
                        request.incarnation + 1,
                        At(record.at),
                        promised.epoch.get(),
                        promised.leader + 1,
                        At(promised.at)
                    );
                    let forgotten = promised.forgotten;
                    self.report(sentence, forgotten);
                }
            }
            Event::Crash => {
                if let Some(promised) = self.promised.get_mut(record.node) {
                    promised.forgotten = true;
                }
            }
            _ => {}
        }
    }

    fn promise(&mut self, record: &Record, epoch: Epoch, leader: u64) {
        self.promises += 1;
        let new = Promised { epoch, leader, at: record.at, forgotten: false };
        let before = self.promised.replace(record.node, new);
        let Some(before) =
            before.filter(|before| epoch <= before.epoch && (epoch, leader) != (before.epoch, before.leader))
        else {
            return;
        };
        let sentence = format!(
            "{} promised epoch {} to life {} of the leader at {}, though it had promised epoch {} to life {} at {}",
            record.node,
            epoch.get(),
            leader + 1,
            At(record.at),
            before.epoch.get(),
            before.leader + 1,
            At(before.at)
        );
        self.report(sentence, before.forgotten);
    }

    /// A promise was not kept. A follower that has crashed since has forgotten it.
    fn report(&mut self, sentence: String, forgotten: bool) {
        match forgotten {
            true => self.excuses.add(Excuse::LostMemory, || sentence),
            false => self.evidence.push(sentence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::trace::RequestId;
    use crate::base::{Key, Stamp, Value, Version};
    use crate::check::testing::{Story, f};

    fn promise(story: &mut Story, ms: u64, epoch: u64, leader: u64) {
        story.at(ms).event(f(1).into(), Event::Promise { epoch: Epoch::new(epoch), leader });
    }

    /// f1 applies v2 of this epoch, which this life of the leader sent.
    fn apply(story: &mut Story, epoch: u64, life: u64) {
        let stamp = Stamp { epoch: Epoch::new(epoch), version: Version::FIRST.next().unwrap() };
        let (key, value) = (Key::new("k").unwrap(), Some(Value::from_json("1").unwrap()));
        let request = Some(RequestId { incarnation: life, number: 1 });
        story.at(20).event(f(1).into(), Event::Apply { request, key, stamp, value });
    }

    #[test]
    fn a_right_run_is_not_accused() {
        let mut story = Story::new();
        promise(&mut story, 1, 1, 0);
        story.at(2).accept(1, "k", 1, "1").accept(2, "k", 2, "1");
        apply(&mut story, 1, 0);
        promise(&mut story, 30, 2, 1);
        story.at(40).crash(f(1)).restart(f(1));
        promise(&mut story, 50, 1, 0);
        assert_eq!(story.holds(check), "1 epoch with writes, 3 promises", "with its memory it lost its promise");
        let excused = &story.verdict(check).excuses[0];
        assert_eq!((excused.excuse, excused.cases), (Excuse::LostMemory, 1));
        promise(&mut story, 60, 3, 2);
        promise(&mut story, 70, 1, 0);
        let evidence =
            "f1 promised epoch 1 to life 1 of the leader at 70 ms, though it had promised epoch 3 to life 3 at 60 ms";
        assert_eq!(story.evidence(check), [evidence], "it has not crashed since it promised epoch 3");
    }

    #[test]
    fn two_lives_in_one_epoch() {
        let mut story = Story::new();
        story
            .at(1)
            .accept(1, "k", 1, "1")
            .crash(NodeId::FIRST_SERVER)
            .restart(NodeId::FIRST_SERVER)
            .at(9)
            .accept(1, "k", 1, "2");
        story.at(10).accept(2, "k", 2, "3");
        let evidence = "n1 (life 2) gave k v1 at 9 ms, in an epoch in which n1 (life 1) has given versions since 1 ms";
        assert_eq!(story.evidence(check), [evidence]);
    }

    #[test]
    fn what_was_promised_is_broken() {
        for (epoch, life, right) in [(1, 0, false), (2, 0, false), (2, 1, true), (3, 2, true)] {
            let mut story = Story::new();
            promise(&mut story, 10, 2, 1);
            apply(&mut story, epoch, life);
            assert_eq!(!story.verdict(check).is_violated(), right, "epoch {epoch} of life {life}");
        }
        for (epoch, leader, right) in [(1, 0, false), (2, 2, false), (2, 1, true), (3, 0, true)] {
            let mut story = Story::new();
            promise(&mut story, 10, 2, 1);
            promise(&mut story, 11, epoch, leader);
            assert_eq!(!story.verdict(check).is_violated(), right, "epoch {epoch} to life {leader}");
        }
    }
}
