//! Durability: what was acknowledged stays.
//!
//! A write is acknowledged when the leader completes it with `ok`, or when its client is told so. It stays if
//!
//! 1. *at the acknowledgement* at least W distinct followers store the write or a later one of its key: they are its
//!    holders;
//! 2. *ever after* at least W followers hold it, less those that crashed since they did. "Every n − W + 1 followers have
//!    a holder among them", which is what a recovery needs, is the same;
//! 3. *after each restart of the leader* it has not forgotten what was acknowledged, nor what it gave out to a reader,
//!    before: it gives no stamp of the key to a new write that is not greater, and a read at the leader that is invoked
//!    then finds the write or a later one;
//! 4. *in the end* the leader stores, for every key, the greatest acknowledged stamp or a greater one.
//!
//! Stamps that are equal must have the same value: a leader that starts anew issues its stamps anew, and v1 of its second
//! life is not v1 of its first. A holder that crashed less than a link's latency before the acknowledgement counts as
//! one that crashed after it, for no news of the crash can have reached the leader.
//!
//! (Any quorum of W and any of n − W + 1 followers intersect: Gifford, *Weighted Voting for Replicated Data*, 1979.)

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::{At, count, names, without_trace};
use super::replay::{Held, Replay, Write, Writes};
use super::{Facts, Property, Recorded, Verdict};
use crate::base::history::{Kind, Operation};
use crate::base::trace::{Event, Micros, Outcome, Record};
use crate::base::{FollowerSet, Key, NodeId, Stamp, Value};

/// Checks it. O(n log n), times the number of followers, and for each crash once through what was acknowledged before. A
/// follower that goes back takes as long as there were writes between what it had and what it has.
pub fn check(run: &Recorded<'_>) -> Verdict {
    let Some(facts) = run.facts else { return without_trace(Property::Durability) };
    let writes = Writes::of(run);
    let mut check = Check {
        run,
        facts,
        replay: Replay::new(facts),
        acknowledged: Vec::new(),
        of_key: BTreeMap::new(),
        known: BTreeMap::new(),
        life: 0,
        lives: BTreeSet::new(),
        crashes: Vec::new(),
        evidence: Vec::new(),
    };
    let (mut invocations, mut returns) = (BTreeMap::new(), BTreeMap::new());
    for operation in &run.history.operations {
        invocations.insert(operation.invoked.index, operation);
        returns.extend(operation.returned.map(|moment| (moment.index, operation)));
    }
    // What each read at the leader must find at least, as of its invocation.
    let mut floors: BTreeMap<usize, Known<'_>> = BTreeMap::new();
    for (index, record) in run.records.iter().enumerate() {
        let replaced = check.replay.follow(&writes, record);
        match &record.event {
            Event::Accept { key, stamp, value, .. } => check.not_reused(record, key, *stamp, value),
            Event::Apply { key, stamp, value, .. } => check.not_replaced(record, key, replaced, *stamp, value),
            Event::Crash => check.crashed(record),
            Event::Restart if record.node == NodeId::Leader => check.life = record.incarnation,
            Event::Complete { write, ok: true, .. } => {
                let Some(write) = writes.numbered(record.incarnation, *write) else { continue };
                check.acknowledged(*write, record.at, "leader acknowledged".into());
            }
            Event::InvokeGet { target: NodeId::Leader, key, .. } => {
                let operation = invocations.get(&index);
                let floor = check.known.get(key).filter(|known| known.life < check.life);
                floors.extend(operation.zip(floor).map(|(_, floor)| (index, floor.clone())));
            }
            Event::Return { outcome, .. } => {
                let Some(operation) = returns.get(&index) else { continue };
                match (&operation.kind, operation.stamp) {
                    (Kind::Write(value), Some(stamp)) if *outcome == Outcome::Ok => {
                        let Some(write) = writes.that_says(&operation.key, stamp, value) else { continue };
                        check.acknowledged(*write, record.at, format!("{} was told of", operation.client));
                    }
                    (Kind::Read(found), stamp) if operation.target == NodeId::Leader => {
                        check.read(operation, record.at, found.as_ref(), stamp, floors.get(&operation.invoked.index));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    check.kept_to_the_end();
    let (acknowledged, crashes) = (check.acknowledged.len(), check.crashes.len());
    Verdict::unless(Property::Durability, check.evidence, || {
        format!(
            "{}, {}",
            count(acknowledged, "acknowledged write"),
            count(crashes, "crash").replace("crashs", "crashes")
        )
    })
}

/// A write that was acknowledged.
struct Acknowledged<'a> {
    write: Write<'a>,
    /// `leader acknowledged k1 v7 (c3#2) at 1512 ms`
    how: String,
    /// Holders that crashed since they held it.
    crashed: FollowerSet,
    /// One complaint about a write is enough.
    accused: bool,
}

/// The greatest stamp of a key that the leader must not forget.
#[derive(Clone)]
struct Known<'a> {
    stamp: Stamp,
    value: &'a Value,
    /// The life of the leader in which it became known.
    life: u64,
    how: String,
}

struct Check<'a, 'r> {
    run: &'r Recorded<'a>,
    facts: &'a Facts,
    replay: Replay<'a>,
    acknowledged: Vec<Acknowledged<'a>>,
    /// The acknowledged writes of each key, by their places in `acknowledged`.
    of_key: BTreeMap<&'a Key, BTreeMap<(u64, Stamp), usize>>,
    known: BTreeMap<&'a Key, Known<'a>>,
    life: u64,
    /// The lives of the leader that had writes acknowledged.
    lives: BTreeSet<u64>,
    /// When the leader or a follower crashed.
    crashes: Vec<(NodeId, Micros)>,
    evidence: Vec<String>,
}

impl<'a> Check<'a, '_> {
    fn acknowledged(&mut self, write: Write<'a>, now: Micros, how: String) {
        let of_key = self.of_key.entry(write.key).or_default();
        if of_key.contains_key(&(write.life, write.stamp)) {
            return;
        }
        of_key.insert((write.life, write.stamp), self.acknowledged.len());
        self.lives.insert(write.life);
        let how = format!("{how} {write} at {}", At(now));
        let (holders, mourned) = (self.replay.holders(&write), self.replay.mourned(&write, now));
        let mut crashed = FollowerSet::default();
        for id in mourned.into_iter().filter(|id| !holders.contains(id)) {
            crashed.insert(id);
        }
        let accused = holders.len() + crashed.len() < self.facts.write_quorum;
        if accused {
            let only = if holders.is_empty() { "" } else { "only " };
            let forgot = self.replay.forgot(&write);
            let forgot: Vec<String> =
                forgot.iter().map(|(id, crash)| format!("; {id} had, but crashed at {}", At(*crash))).collect();
            let quorum = self.facts.write_quorum;
            self.evidence.push(format!(
                "{how}, when {only}{} stored it, where {quorum} must{}",
                names(&holders),
                forgot.concat()
            ));
        }
        self.know(write.key, write.stamp, write.value, &how);
        self.acknowledged.push(Acknowledged { write, how, crashed, accused });
    }

    fn know(&mut self, key: &'a Key, stamp: Stamp, value: &'a Value, how: &str) {
        if self.known.get(key).is_none_or(|known| known.stamp < stamp) {
            self.known.insert(key, Known { stamp, value, life: self.life, how: how.to_owned() });
        }
    }

    fn crashed(&mut self, record: &Record) {
        self.crashes.push((record.node, record.at));
        let NodeId::Follower(id) = record.node else { return };
        // It is forgotten already, and what it lost is what it held.
        for acknowledged in &mut self.acknowledged {
            if self.replay.forgot(&acknowledged.write).contains(&(id, record.at)) {
                acknowledged.crashed.insert(id);
            }
        }
    }

    /// A follower stores something else for a key than before. Nothing is lost unless it is older, or another's.
    fn not_replaced(&mut self, record: &Record, key: &'a Key, replaced: Option<Held<'a>>, stamp: Stamp, value: &Value) {
        let Some(before) = replaced else { return };
        if before.stamp < stamp || (before.stamp == stamp && before.value == value) {
            return;
        }
        let quorum = self.facts.write_quorum;
        let Some(of_key) = self.of_key.get(key) else { return };
        // If both are of one life, what is before the later one still covers what is before the earlier.
        let one_life =
            before.life.is_some() && self.replay.held(record.node, key).is_some_and(|now| now.life == before.life);
        let lost: Vec<usize> = if one_life {
            let between = |life| of_key.range((life, stamp)..=(life, before.stamp));
            self.lives.iter().copied().flat_map(between).map(|(_, at)| *at).collect()
        } else {
            of_key.values().copied().collect()
        };
        for at in lost {
            let Acknowledged { write, how, crashed, accused } = &mut self.acknowledged[at];
            let holders = self.replay.holders(write);
            if !*accused && holders.len() + crashed.len() < quorum {
                *accused = true;
                self.evidence.push(format!(
                    "{how}, but {} replaced it by {stamp} = {value} at {}, and {} still stored it, where {quorum} must",
                    record.node,
                    At(record.at),
                    names(holders)
                ));
            }
        }
    }

    /// The leader gives a stamp to a write. If it remembers what was acknowledged, that is a greater one.
    fn not_reused(&mut self, record: &Record, key: &Key, stamp: Stamp, value: &Value) {
        let Some(known) = self.known.get(key).filter(|known| known.life < record.incarnation && known.stamp >= stamp)
        else {
            return;
        };
        let restart = self.restart_since(known);
        self.evidence.push(format!("{}{restart}, and at {} gave {key} {stamp} to {value}", known.how, At(record.at)));
        // What follows from it is not told again.
        self.known.remove(key);
    }

    fn read(
        &mut self,
        operation: &'a Operation,
        at: Micros,
        found: Option<&'a Value>,
        stamp: Option<Stamp>,
        floor: Option<&Known<'a>>,
    ) {
        let key = &operation.key;
        match (operation.outcome, stamp, found) {
            (Outcome::Ok, Some(stamp), Some(value)) => {
                let how = format!("{} read {key} {stamp} at the leader at {}", operation.name(), At(at));
                if let Some(floor) = floor.filter(|floor| !kept(floor, stamp, value)) {
                    let restart = self.restart_since(floor);
                    self.evidence.push(format!("{}{restart}, and {how}, which is {value}", floor.how));
                } else {
                    self.know(key, stamp, value, &how);
                }
            }
            (Outcome::Absent, ..) => {
                if let Some(floor) = floor {
                    let restart = self.restart_since(floor);
                    let name = operation.name();
                    self.evidence.push(format!(
                        "{}{restart}, and {name} found no {key} there at {}",
                        floor.how,
                        At(at)
                    ));
                }
            }
            _ => {}
        }
    }

    fn kept_to_the_end(&mut self) {
        let Some((_, dump)) = self.run.states.iter().find(|(node, _)| *node == NodeId::Leader) else { return };
        for (key, known) in &self.known {
            let entry = dump.get(*key);
            if entry.is_some_and(|entry| kept(known, Stamp::of_version(entry.version), &entry.value)) {
                continue;
            }
            let has = match entry {
                None => "nothing".into(),
                Some(entry) => format!("v{} = {}", entry.version, entry.value),
            };
            let restart = self.restart_since(known);
            self.evidence.push(format!("{}{restart}, and in the end it has {has} for {key}", known.how));
        }
    }

    /// `; the leader crashed at 2000 ms`, if it did after this became known.
    fn restart_since(&self, known: &Known<'_>) -> String {
        let mut lives = self.crashes.iter().filter(|(node, _)| *node == NodeId::Leader);
        // Its nth crash ended its nth life.
        let crash = usize::try_from(known.life).ok().and_then(|life| lives.nth(life));
        crash.map(|(_, at)| format!("; the leader crashed at {}", At(*at))).unwrap_or_default()
    }
}

/// Whether this is what was known, or later.
fn kept(known: &Known<'_>, stamp: Stamp, value: &Value) -> bool {
    stamp > known.stamp || (stamp == known.stamp && value == known.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Story, c, dump, f};

    /// A quorum of 2 of 3; f1 and f2 store the write.
    fn acknowledged() -> Story {
        let mut story = Story::new();
        story.at(1).invoke_set(c(3), 2, "k1", "\"a\"").accept(1, "k1", 1, "\"a\"");
        story.at(5).apply(f(1), "k1", 1, "\"a\"").apply(f(2), "k1", 1, "\"a\"");
        story.at(9).complete(1, true, 2).wrote(c(3), 2, Outcome::Ok, 1);
        story
    }

    #[test]
    fn a_right_run_is_not_accused() {
        let mut story = acknowledged();
        story.at(20).crash(f(1)).at(30).restart(f(1)).apply(f(1), "k1", 1, "\"a\"").apply(f(2), "k1", 2, "\"b\"");
        story.invoke_get(c(1), 1, NodeId::Leader, "k1").found(c(1), 1, 1, "\"a\"");
        story.ends_with(NodeId::Leader, dump(&[("k1", 1, "\"a\"")]));
        assert_eq!(story.holds(check), "1 acknowledged write, 1 crash");
    }

    #[test]
    fn too_few_holders_at_the_acknowledgement() {
        let mut story = Story::new();
        story.at(1).invoke_set(c(3), 2, "k1", "\"a\"").accept(1, "k1", 1, "\"a\"");
        story.apply(f(1), "k1", 1, "\"a\"").apply(f(2), "k1", 1, "\"a\"").at(4).crash(f(2)).at(9).complete(1, true, 2);
        assert_eq!(
            story.evidence(check),
            [
                "leader acknowledged k1 v1 (c3#2) at 9 ms, when only f1 stored it, where 2 must; f2 had, but crashed at 4 ms"
            ]
        );
    }

    #[test]
    fn a_holder_that_crashes_later_is_not_the_stores_fault_but_one_that_goes_back_is() {
        let mut story = acknowledged();
        story.at(20).invoke_set(c(1), 1, "k1", "\"b\"").accept(2, "k1", 2, "\"b\"").apply(f(1), "k1", 2, "\"b\"");
        story.apply(f(2), "k1", 2, "\"b\"").at(25).complete(2, true, 2).at(30).apply(f(1), "k1", 1, "\"a\"");
        assert_eq!(
            story.evidence(check),
            ["leader acknowledged k1 v2 (c1#1) at 25 ms, but f1 replaced it by v1 = \"a\" at 30 ms, \
              and f2 still stored it, where 2 must"]
        );
    }

    #[test]
    fn a_leader_that_forgets() {
        let restarted = || {
            let mut story = acknowledged();
            story.at(20).crash(NodeId::Leader).at(30).restart(NodeId::Leader);
            story
        };
        let how = "leader acknowledged k1 v1 (c3#2) at 9 ms; the leader crashed at 20 ms, and";
        let mut story = restarted();
        story.ends_with(NodeId::Leader, dump(&[]));
        assert_eq!(story.evidence(check), [format!("{how} in the end it has nothing for k1")]);
        let mut story = restarted();
        story.at(40).invoke_set(c(1), 1, "k1", "\"b\"").accept(1, "k1", 1, "\"b\"");
        story.ends_with(NodeId::Leader, dump(&[("k1", 1, "\"b\"")]));
        assert_eq!(story.evidence(check), [format!("{how} at 40 ms gave k1 v1 to \"b\"")]);
        let mut story = restarted();
        story.at(40).invoke_get(c(1), 1, NodeId::Leader, "k1").found(c(1), 1, 0, "");
        assert_eq!(story.evidence(check), [format!("{how} c1#1 found no k1 there at 40 ms")]);
    }

    #[test]
    fn the_same_stamp_with_another_value_is_a_loss() {
        let mut story = acknowledged();
        story.ends_with(NodeId::Leader, dump(&[("k1", 1, "\"b\"")]));
        assert_eq!(
            story.evidence(check),
            ["leader acknowledged k1 v1 (c3#2) at 9 ms, and in the end it has v1 = \"b\" for k1"]
        );
    }

    #[test]
    fn what_the_leader_gave_out_may_not_vanish_with_it() {
        let mut story = Story::new();
        story.at(1).invoke_set(c(3), 2, "k1", "\"a\"").accept(1, "k1", 1, "\"a\"");
        story.at(2).invoke_get(c(1), 1, NodeId::Leader, "k1").found(c(1), 1, 1, "\"a\"");
        story.at(3).crash(NodeId::Leader).restart(NodeId::Leader).ends_with(NodeId::Leader, dump(&[]));
        assert_eq!(
            story.evidence(check),
            ["c1#1 read k1 v1 at the leader at 2 ms; the leader crashed at 3 ms, and in the end it has nothing for k1"]
        );
    }
}
