//! Integrity: what is stored or read is what somebody wrote, and a stamp names one write for ever.
//!
//! Three things, over everything that was accepted, applied, answered and read, and over what the nodes store in the end:
//!
//! 1. One key and stamp have one value.
//! 2. A value of a key was the value of a set of that key that was invoked before. (No creation: the *integrity* of
//!    reliable broadcast; Cachin, Guerraoui and Rodrigues, *Introduction to Reliable and Secure Distributed Programming*,
//!    2011, chapter 3.)
//! 3. Within one life of the leader the versions of a key step by one, and the first life begins with 1.
//!
//! What a node stores in the end is known by its version, without the epoch, so it is held against epoch 0.

use std::collections::BTreeMap;

use super::evidence::{At, count};
use super::{Property, Recorded, Verdict};
use crate::base::history::{Kind, Operation};
use crate::base::trace::Event;
use crate::base::{Key, NodeId, Stamp, Value, Version};

/// Checks it. O(n log n).
pub fn check(run: &Recorded<'_>) -> Verdict {
    let mut check = Check::default();
    let returns: BTreeMap<usize, &Operation> =
        run.history.operations.iter().filter_map(|operation| Some((operation.returned?.index, operation))).collect();
    for (index, record) in run.records.iter().enumerate() {
        let (node, at) = (record.node, At(record.at));
        match &record.event {
            Event::InvokeSet { key, value, .. } => drop(check.invoked.insert((key, value.as_json()), ())),
            Event::Accept { key, stamp, value, .. } => {
                check.claim(key, *stamp, value, || format!("{node} accepted it at {at}"));
                check.step(record.incarnation, key, *stamp, &at);
            }
            Event::Apply { key, stamp, value, .. } => {
                check.claim(key, *stamp, value, || format!("{node} applied it at {at}"));
            }
            Event::Return { stamp: Some(stamp), .. } => {
                let Some(operation) = returns.get(&index) else { continue };
                let who = || match operation.kind {
                    Kind::Write(_) => format!("{} was told so at {at}", operation.name()),
                    Kind::Read(_) => format!("{} read it from {} at {at}", operation.name(), operation.target),
                };
                if let Kind::Write(value) | Kind::Read(Some(value)) = &operation.kind {
                    check.claim(&operation.key, *stamp, value, who);
                }
            }
            _ => {}
        }
    }
    for (node, dump) in run.states {
        for (key, entry) in dump {
            check.claim(key, Stamp::of_version(entry.version), &entry.value, || format!("{node} has it in the end"));
        }
    }
    let Check { claims, claimed, evidence, .. } = check;
    Verdict::unless(Property::Integrity, evidence, || {
        format!(
            "{} of {}, seen {claimed} times",
            count(claims.len(), "stamp"),
            count(run.history.operations.len(), "operation")
        )
    })
}

#[derive(Default)]
struct Check<'a> {
    /// The values that were to be written up to here.
    invoked: BTreeMap<(&'a Key, &'a str), ()>,
    /// The values of each stamp, with who was the first to say so. More than one is a violation.
    claims: BTreeMap<(&'a Key, Stamp), Vec<(&'a Value, String)>>,
    claimed: usize,
    /// The life of the leader that accepted the key's last write, and its stamp.
    last: BTreeMap<&'a Key, (u64, Stamp)>,
    evidence: Vec<String>,
}

impl<'a> Check<'a> {
    fn claim(&mut self, key: &'a Key, stamp: Stamp, value: &'a Value, who: impl Fn() -> String) {
        self.claimed += 1;
        let values = self.claims.entry((key, stamp)).or_default();
        if values.iter().any(|(known, _)| *known == value) {
            return;
        }
        if let Some((known, first)) = values.first() {
            let who = who();
            self.evidence.push(format!("{key} {stamp} has two values: {known} ({first}) and {value} ({who})"));
        }
        if !self.invoked.contains_key(&(key, value.as_json())) {
            let who = who();
            self.evidence.push(format!("{key} {stamp} has the value {value} ({who}), which nobody had written before"));
        }
        values.push((value, who()));
    }

    fn step(&mut self, life: u64, key: &'a Key, stamp: Stamp, at: &At) {
        let before = self.last.insert(key, (life, stamp));
        let is_next = match before {
            Some((same, last)) if same == life => {
                last.epoch == stamp.epoch && last.version.next() == Some(stamp.version)
            }
            _ => life > 0 || stamp.version == Version::FIRST,
        };
        if !is_next {
            let before = match before {
                Some((_, last)) => format!("came after {last}"),
                None => "was the key's first write".into(),
            };
            self.evidence.push(format!("{} accepted {key} {stamp} at {at}, which {before}", NodeId::Leader));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::trace::Outcome;
    use crate::check::testing::{Story, c, dump, f};

    fn written() -> Story {
        let mut story = Story::new();
        story.at(1).invoke_set(c(1), 1, "k", "1").at(2).accept(1, "k", 1, "1");
        story
    }

    #[test]
    fn a_right_run_is_not_accused() {
        let mut story = written();
        story.apply(f(1), "k", 1, "1").wrote(c(1), 1, Outcome::Ok, 1);
        story.at(5).invoke_set(c(1), 2, "k", "2").accept(2, "k", 2, "2").apply(f(1), "k", 2, "2");
        story.invoke_get(c(2), 1, f(1).into(), "k").found(c(2), 1, 2, "2").invoke_get(c(2), 2, f(1).into(), "none");
        story.found(c(2), 2, 0, "").ends_with(NodeId::Leader, dump(&[("k", 2, "2")]));
        assert_eq!(story.holds(check), "2 stamps of 4 operations, seen 7 times");
    }

    #[test]
    fn one_stamp_with_two_values() {
        let mut story = written();
        story.crash(NodeId::Leader).restart(NodeId::Leader);
        story.at(9).invoke_set(c(1), 2, "k", "2").accept(1, "k", 1, "2");
        assert_eq!(
            story.evidence(check),
            ["k v1 has two values: 1 (leader accepted it at 2 ms) and 2 (leader accepted it at 9 ms)"]
        );
        let mut story = written();
        story.at(3).invoke_set(c(1), 2, "k", "2").ends_with(f(2), dump(&[("k", 1, "2")]));
        assert!(story.evidence(check)[0].ends_with("and 2 (f2 has it in the end)"));
    }

    #[test]
    fn a_value_from_nowhere() {
        let mut story = written();
        story.at(4).apply(f(2), "k", 2, "7").at(5).invoke_set(c(1), 2, "k", "7");
        assert_eq!(
            story.evidence(check),
            ["k v2 has the value 7 (f2 applied it at 4 ms), which nobody had written before"]
        );
        let mut story = written();
        story.at(4).invoke_get(c(2), 1, f(1).into(), "j").found(c(2), 1, 1, "1");
        assert!(
            story.evidence(check)[0].contains("c2#1 read it from f1 at 4 ms"),
            "another key's value is from nowhere"
        );
    }

    #[test]
    fn versions_that_skip_or_stand_still() {
        for (version, ok) in [(1, false), (2, true), (3, false)] {
            let mut story = written();
            story.at(3).invoke_set(c(1), 2, "k", "2").accept(2, "k", version, "2");
            assert_eq!(!story.verdict(check).is_violated(), ok, "{version}");
        }
        let mut story = written();
        story.at(3).invoke_set(c(1), 2, "k", "2").accept(2, "k", 3, "2");
        assert_eq!(story.evidence(check), ["leader accepted k v3 at 3 ms, which came after v1"]);
    }
}
