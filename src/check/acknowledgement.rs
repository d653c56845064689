//! Acknowledgement: what a client is told of a write's replication is true.
//!
//! Whenever the leader answers a write:
//!
//! 1. `ok` means that at least W, the configured quorum, distinct followers had stored the write.
//! 2. The confirmations that are told are at most as many as the distinct followers that had stored it, hence never more
//!    than there are followers; with `ok` they are at least W.
//! 3. A client is told `ok` only of a write that the leader completed so, and is told W as what was required.
//!
//! A follower had stored a write if in its present life it applied the write, or a later one of the key that the same life
//! of the leader issued: a greater stamp of an earlier leader says nothing. One that stored it and has crashed counts until
//! the leader can have noticed that, which is excused ([`Excuse::LateNotice`] and the like). So is one that lost the key
//! without noticing and therefore took the write for one that had been deleted ([`Excuse::LostKey`]).
//!
//! This is the contract of semi-synchronous replication as MySQL words it: the source waits until replicas "have received
//! and logged" the events (MySQL Reference Manual, "Semisynchronous Replication"); the failures that it rules out are
//! F8 and F13 to F15 of the project's catalogue.
//!
//! Where only clients were recorded, what they were told is held against itself: `ok` comes with as many confirmations as
//! are said to be required, and that is the same number for all writes of an epoch.

mod answers;

use std::collections::BTreeMap;

use answers::mistaken;

use super::evidence::{At, count, names, not_applicable};
use super::excuse::Excuses;
use super::prepared::Prepared;
use super::replay::Replay;
use super::verdict::MOST_EVIDENCE;
use super::writes::Write;
use super::{Excuse, Facts, Property, Recorded, Verdict};
use crate::base::history::{Kind, Operation};
use crate::base::trace::{Event, Micros, Outcome, Record, WriteId};
use crate::base::{Epoch, Key, RequestName};

/// Checks it. O(n log n), times the number of followers and of their crashes that a leader has not noticed.
pub fn check(run: &Recorded<'_>) -> Verdict {
    judge(&Prepared::of(run))
}

pub(super) fn judge(prepared: &Prepared<'_>) -> Verdict {
    let Prepared { run, keys, writes, .. } = prepared;
    let Some(facts) = run.facts else { return of_clients(run) };
    let mut replay = Replay::new(facts);
    // Whether the leader had the quorum for what it answered, by what the write says.
    let mut completed: Vec<Option<bool>> = vec![None; writes.len()];
    let (mut evidence, mut excuses) = (Vec::new(), Excuses::default());
    let mut answers = 0;
    for (index, record) in prepared.deeds() {
        replay.follow(keys, writes, index, record);
        match &record.event {
            Event::Complete { write: number, ok, confirmations } => {
                let Some(write) = writes.numbered(record.incarnation, *number) else { continue };
                answers += 1;
                // A retry may be answered otherwise than the write was, but cannot take that back.
                let told = &mut completed[writes.saying(write)];
                *told = Some(*ok || *told == Some(true));
                let answer =
                    Answer { number: *number, write, ok: *ok, confirmations: *confirmations, at: At(record.at) };
                // Only the first pieces of evidence are shown, so only they are explained.
                let before = if evidence.len() < MOST_EVIDENCE { &run.records[..index] } else { &[] };
                evidence.extend(answer.check(facts, &replay, before, &mut excuses));
            }
            Event::Return { .. } => {
                let Some(operation) = prepared.operation_at(index) else { continue };
                let untrue = told(facts, prepared, &completed, operation);
                evidence.extend(untrue.map(|what| accuse(operation, record.at, &what)));
            }
            _ => {}
        }
    }
    Verdict::unless(Property::Acknowledgement, evidence, || count(answers, "answered write")).excusing(excuses)
}

/// Checks what clients were told, where nothing else was recorded. A leader keeps its quorum for its epoch, which is that of
/// the stamps that it gives. The first epoch stands for any where epochs were not recorded, and a retry can be answered with
/// the stamp of an earlier leader.
fn of_clients(run: &Recorded<'_>) -> Verdict {
    let operations = run.history.operations.iter();
    let told = operations.filter_map(|operation| Some((operation.returned?, operation.confirmed?, operation)));
    let mut told: Vec<_> = told.collect();
    told.sort_by_key(|(returned, ..)| *returned);
    let Some((_, (_, usual), first)) = told.first() else {
        return not_applicable(Property::Acknowledgement, "no client was told of confirmations");
    };
    let mut asked: BTreeMap<(&Key, &RequestName), usize> = BTreeMap::new();
    let requests =
        run.history.operations.iter().filter_map(|operation| Some((&operation.key, operation.request.as_ref()?)));
    requests.for_each(|request| *asked.entry(request).or_default() += 1);
    let is_retried = |operation: &Operation| {
        let request = operation.request.as_ref().map(|request| (&operation.key, request));
        request.is_some_and(|request| asked.get(&request).is_some_and(|times| *times > 1))
    };
    let mut of_epoch: BTreeMap<Epoch, (usize, &Operation)> = BTreeMap::new();
    let (mut evidence, mut excuses) = (Vec::new(), Excuses::default());
    for (returned, (confirmations, required), operation) in &told {
        let epoch = operation.stamp.map(|stamp| stamp.epoch);
        let epoch = epoch.filter(|epoch| *epoch > Epoch::FIRST && !is_retried(operation));
        let (known, by) = match epoch {
            Some(epoch) => *of_epoch.entry(epoch).or_insert((*required, operation)),
            None => (*required, *operation),
        };
        let quorum = Quorum { required: known, first: Some(by) };
        let untrue = contradiction(&quorum, None, operation, (*confirmations, *required));
        if untrue.is_none() && required != usual {
            excuses.add(Excuse::ChangedQuorum, || {
                let what =
                    format!("that it takes {}; {} was told {usual}", count(*required, "confirmation"), first.name());
                accuse(operation, returned.at, &what)
            });
        }
        evidence.extend(untrue.map(|what| accuse(operation, returned.at, &what)));
    }
    let holds =
        || format!("{}, each with at least the required confirmations if ok", count(told.len(), "answered write"));
    Verdict::unless(Property::Acknowledgement, evidence, holds).excusing(excuses)
}

fn accuse(operation: &Operation, at: Micros, what: &str) -> String {
    format!("{} ({}) was told at {} {what}", operation.name(), operation.key, At(at))
}

/// What the leader says of a write.
struct Answer<'a> {
    number: WriteId,
    write: &'a Write<'a>,
    ok: bool,
    confirmations: usize,
    at: At,
}

impl Answer<'_> {
    /// What is wrong with it, after these records.
    fn check(&self, facts: &Facts, replay: &Replay<'_>, before: &[Record], excuses: &mut Excuses) -> Option<String> {
        let Self { number, write, ok, confirmations, at } = self;
        let quorum = facts.quorum_of(write.life);
        let counted = replay.reached(write, at.0);
        let stored = counted.all();
        let told = || {
            let did = if *ok { "acknowledged" } else { "answered without the quorum for" };
            format!("{} {did} {write} at {at} with {}", write.leader, count(*confirmations, "confirmation"))
        };
        if *confirmations > stored.len() || (*ok && stored.len() < quorum) {
            let only = if stored.is_empty() { "" } else { "only " };
            let forgot = replay.forgot(write);
            let crashed = forgot.iter().map(|(id, crash)| format!("{id} had, but crashed at {}", At(*crash)));
            let why: Vec<String> = crashed.chain(mistaken(before, *number, write, &stored, &forgot)).collect();
            let why: Vec<String> = why.into_iter().map(|clause| format!("; {clause}")).collect();
            let must = if *ok { format!(", where {quorum} must have") } else { String::new() };
            return Some(format!("{}, but {only}{} had stored it{must}{}", told(), names(&stored), why.concat()));
        }
        for (id, excuse) in counted.excuses(if *ok { quorum.max(*confirmations) } else { *confirmations }) {
            let why = if excuse == Excuse::LostKey { "lost the key and refused the write" } else { "crashed" };
            excuses.add(excuse, || format!("{}, one of them of {id}, which had {why}", told()));
        }
        (*ok && *confirmations < quorum).then(|| format!("{}, but {quorum} are required", told()))
    }
}

/// What is wrong with what a client was told.
fn told(
    facts: &Facts,
    Prepared { keys, writes, .. }: &Prepared<'_>,
    completed: &[Option<bool>],
    operation: &Operation,
) -> Option<String> {
    let value = match &operation.kind {
        Kind::Write(value) => Some(value),
        Kind::Delete => None,
        Kind::Read(_) => return None,
    };
    let stamp = operation.stamp;
    let write = || writes.that_says(keys.number(&operation.key)?, stamp?, value);
    let required = write().map_or(facts.write_quorum, |write| facts.quorum_of(write.life));
    let quorum = Quorum { required, first: None };
    let contradiction = |confirmed| contradiction(&quorum, Some(facts.all_followers()), operation, confirmed);
    if let Some(what) = operation.confirmed.and_then(contradiction) {
        return Some(what);
    }
    let stamp = operation.stamp.filter(|_| operation.outcome == Outcome::Ok)?;
    // Where no node was recorded, nothing is known of its side.
    let write = writes.that_says(keys.number(&operation.key)?, stamp, value)?;
    match completed[writes.saying(write)] {
        Some(true) => None,
        Some(false) => Some("ok, but the leader had not reached the quorum".into()),
        None => Some("ok, but the leader had not completed the write".into()),
    }
}

/// How many confirmations a write takes, and how that is known.
struct Quorum<'a> {
    required: usize,
    /// Who was the first to be told so; nobody where it is known by itself.
    first: Option<&'a Operation>,
}

impl Quorum<'_> {
    fn source(&self) -> String {
        let required = self.required;
        match self.first {
            Some(first) => format!("{} was told {required}", first.name()),
            None => format!("the quorum is {required}"),
        }
    }
}

/// What cannot be in an answer with these confirmations of so many that are said to be required.
fn contradiction(
    quorum: &Quorum<'_>,
    followers: Option<usize>,
    operation: &Operation,
    (confirmations, required): (usize, usize),
) -> Option<String> {
    if required != quorum.required {
        return Some(format!("that it takes {}; {}", count(required, "confirmation"), quorum.source()));
    }
    if let Some(followers) = followers.filter(|followers| confirmations > *followers) {
        return Some(format!("of {confirmations} confirmations; there are {}", count(followers, "follower")));
    }
    let ok_too_early = operation.outcome == Outcome::Ok && confirmations < required;
    ok_too_early.then(|| format!("ok with {confirmations} of {required} confirmations"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::trace::{Disturbance, LossReason, MessageId};
    use crate::base::{NodeId, Stamp};
    use crate::check::Finding;
    use crate::check::testing::{Story, c, f};

    /// A quorum of 2 of 3, and a write that only f1 stores.
    fn stored_once() -> Story {
        let mut story = Story::new();
        story.at(1).invoke_set(c(3), 2, "k1", "\"a\"").accept(1, "k1", 1, "\"a\"").at(5).apply(f(1), "k1", 1, "\"a\"");
        story
    }

    #[test]
    fn a_right_run_is_not_accused() {
        let mut story = stored_once();
        story.at(7).invoke_set(c(1), 1, "k1", "\"b\"").accept(2, "k1", 2, "\"b\"").apply(f(3), "k1", 2, "\"b\"");
        story.at(9).complete(1, true, 2).wrote(c(3), 2, Outcome::Ok, 1).complete(2, false, 1);
        assert_eq!(story.holds(check), "2 answered writes", "the later write of f3 counts for the first");
    }

    #[test]
    fn an_acknowledgement_of_what_was_not_stored() {
        let mut story = stored_once();
        story.at(1512).complete(1, true, 3);
        assert_eq!(
            story.evidence(check),
            [
                "n1 acknowledged k1 v1 (c3#2) at 1512 ms with 3 confirmations, but only f1 had stored it, where 2 must have"
            ]
        );
        let mut story = stored_once();
        story.at(9).complete(1, false, 2);
        assert_eq!(
            story.evidence(check),
            ["n1 answered without the quorum for k1 v1 (c3#2) at 9 ms with 2 confirmations, but only f1 had stored it"]
        );
    }

    #[test]
    fn a_lowered_quorum() {
        let mut story = stored_once();
        story.at(9).apply(f(2), "k1", 1, "\"a\"").complete(1, true, 1);
        assert_eq!(
            story.evidence(check),
            ["n1 acknowledged k1 v1 (c3#2) at 9 ms with 1 confirmation, but 2 are required"]
        );
    }

    #[test]
    fn what_was_taken_for_a_confirmation() {
        let message = |to: crate::base::FollowerId| MessageId { write: 1, to, attempt: 1 };
        let stored = |version| crate::check::testing::stamp(version);
        let mut story = stored_once();
        story.at(6).event(NodeId::FIRST_SERVER, Event::Ack { message: message(f(1)), stored: stored(1) });
        story.at(7).event(NodeId::FIRST_SERVER, Event::Ack { message: message(f(1)), stored: stored(1) });
        story.event(NodeId::FIRST_SERVER, Event::Lost { message: message(f(2)), reason: LossReason::Disconnect });
        story.at(8).event(NodeId::FIRST_SERVER, Event::Ack { message: message(f(3)), stored: stored(4) });
        story.at(9).complete(1, true, 4);
        let evidence = story.evidence(check).concat();
        assert!(
            evidence.ends_with(
                "but only f1 had stored it, where 2 must have; f1 answered 2 times, at 6 ms and 7 ms; the message to f2 came \
                 to nothing at 7 ms: the connection was lost; f3 answered at 8 ms that it has v4"
            ),
            "{evidence}"
        );
    }

    /// The greater stamp of a leader that was forgotten does not contain the write of its successor.
    #[test]
    fn a_stale_answer_counted() {
        let mut story = Story::new();
        for n in 1..=2 {
            let value = n.to_string();
            story.at(n).invoke_set(c(1), n, "k", &value).accept(n, "k", n, &value);
            story.apply(f(1), "k", n, &value).apply(f(2), "k", n, &value).complete(n, true, 2);
        }
        story.at(5).crash(NodeId::FIRST_SERVER).restart(NodeId::FIRST_SERVER);
        story.at(7).invoke_set(c(1), 3, "k", "3").accept(1, "k", 1, "3").at(8).complete(1, true, 2);
        assert_eq!(
            story.evidence(check),
            ["n1 acknowledged k v1 (c1#3) at 8 ms with 2 confirmations, but nobody had stored it, where 2 must have"]
        );
    }

    #[test]
    fn a_follower_that_forgot() {
        let crashed_at = |ms| {
            let mut story = stored_once();
            story.apply(f(2), "k1", 1, "\"a\"").at(ms).crash(f(2)).at(20).complete(1, true, 2);
            story
        };
        assert_eq!(
            crashed_at(10).evidence(check),
            ["n1 acknowledged k1 v1 (c3#2) at 20 ms with 2 confirmations, but only f1 had stored it, where 2 \
              must have; f2 had, but crashed at 10 ms"]
        );
        assert_eq!(crashed_at(19).holds(check), "1 answered write", "nobody could know");
    }

    /// A link latency of 1 ms, and a tick.
    #[test]
    fn a_confirmation_of_a_follower_that_crashed_within_a_link_latency() {
        let crashed_at = |us, ok| {
            let mut story = stored_once();
            story.apply(f(2), "k1", 1, "\"a\"").at_us(us).crash(f(2)).at(20).complete(1, ok, 2);
            story
        };
        for ok in [true, false] {
            assert_eq!(crashed_at(18_000, ok).excuses(check), [(Excuse::LateNotice, 1)]);
            assert!(crashed_at(17_999, ok).verdict(check).is_violated());
        }
        // Where enough others confirmed, nothing is excused.
        let mut story = stored_once();
        story
            .apply(f(2), "k1", 1, "\"a\"")
            .apply(f(3), "k1", 1, "\"a\"")
            .at(19)
            .crash(f(3))
            .at(20)
            .complete(1, true, 2);
        assert_eq!(story.excuses(check), []);
    }

    #[test]
    fn a_confirmation_of_a_follower_whose_crash_a_partition_hid() {
        let crashed = |is_noticed: bool| {
            let mut story = stored_once();
            let (kind, nodes) = (Disturbance::Cut, vec![f(2).into(), NodeId::FIRST_SERVER]);
            story.apply(f(2), "k1", 1, "\"a\"");
            story.at(6).event(NodeId::Network, Event::Fault { kind, nodes, latency: None, what: String::new() });
            story.at(8).crash(f(2));
            if is_noticed {
                story.at(19).event(NodeId::FIRST_SERVER, Event::Forgot { follower: f(2) });
            }
            story.at(20).complete(1, true, 2);
            story
        };
        assert_eq!(crashed(false).excuses(check), [(Excuse::LostNotice, 1)]);
        assert!(crashed(true).verdict(check).is_violated());
    }

    /// f1 alone has it, twice.
    #[test]
    fn a_confirmation_of_a_follower_that_is_found_again_under_another_name() {
        let restarted_at = |us: u64, name_leads_to: u8| {
            let mut story = Story::new();
            let (kind, nodes) = (Disturbance::Misdirect, vec![f(3).into(), f(name_leads_to).into()]);
            story.event(NodeId::Network, Event::Fault { kind, nodes, latency: None, what: String::new() });
            story.at(1).invoke_set(c(3), 2, "k1", "1").accept(1, "k1", 1, "1").at(5).apply(f(1), "k1", 1, "1");
            story.at_us(us).crash(f(1)).restart(f(1)).apply(f(1), "k1", 1, "1").at(20).complete(1, true, 2);
            story
        };
        assert_eq!(restarted_at(18_000, 1).excuses(check), [(Excuse::TwoNames, 1)]);
        assert!(restarted_at(17_999, 1).verdict(check).is_violated());
        assert!(restarted_at(18_000, 2).verdict(check).is_violated());
    }

    #[test]
    fn a_client_that_is_told_something_else() {
        let told = |outcome, confirmed| {
            let mut story = stored_once();
            story.at(8).apply(f(2), "k1", 1, "\"a\"").complete(1, false, 2);
            let (stamp, value) = (Some(crate::check::testing::stamp(1)), None);
            story.at(9).event(c(3), Event::Return { operation: 2, outcome, stamp, value, confirmed: Some(confirmed) });
            story.evidence(check).concat()
        };
        assert_eq!(
            told(Outcome::Ok, (2, 2)),
            "c3#2 (k1) was told at 9 ms ok, but the leader had not reached the quorum"
        );
        assert_eq!(told(Outcome::Ok, (1, 2)), "c3#2 (k1) was told at 9 ms ok with 1 of 2 confirmations");
        assert!(told(Outcome::Unknown, (0, 1)).ends_with("that it takes 1 confirmation; the quorum is 2"));
        assert!(told(Outcome::Unknown, (4, 2)).ends_with("of 4 confirmations; there are 3 followers"));
    }

    /// Of clients alone nothing is known but what they were told. Each answer: its epoch, how it ended, and its confirmations.
    fn of_clients(answers: &[(u64, Outcome, (usize, usize))]) -> Verdict {
        let mut story = Story::new();
        for (number, (epoch, outcome, confirmed)) in (1..).zip(answers) {
            let (outcome, confirmed) = (*outcome, Some(*confirmed));
            let stamp = Some(Stamp { epoch: Epoch::new(*epoch), ..crate::check::testing::stamp(number) });
            story.at(number).invoke_set(c(1), number, "k", "1");
            story.event(c(1), Event::Return { operation: number, outcome, stamp, value: None, confirmed });
        }
        story.verdict_of_clients(check)
    }

    #[test]
    fn what_clients_were_told_is_held_against_itself() {
        let right = of_clients(&[(2, Outcome::Ok, (2, 2)), (2, Outcome::Unknown, (1, 2)), (2, Outcome::Ok, (9, 2))]);
        let says = "3 answered writes, each with at least the required confirmations if ok";
        assert_eq!((right.finding, right.excuses), (Finding::Holds(says.into()), Vec::new()));
        let wrong = of_clients(&[(2, Outcome::Ok, (2, 2)), (2, Outcome::Ok, (1, 2)), (2, Outcome::Ok, (3, 3))]);
        let evidence = [
            "c1#2 (k) was told at 2 ms ok with 1 of 2 confirmations",
            "c1#3 (k) was told at 3 ms that it takes 3 confirmations; c1#1 was told 2",
        ];
        assert_eq!(wrong.finding, Finding::Violated(evidence.map(str::to_owned).into()));
        assert!(matches!(of_clients(&[]).finding, Finding::NotApplicable(_)));
    }

    /// A retry may be answered with the stamp of an earlier leader.
    #[test]
    fn another_quorum_is_excused_for_a_retry() {
        let named = |second: &str| {
            let mut story = Story::new();
            for (number, request, required) in [(1, "r", 2), (2, second, 3), (3, second, 3)] {
                let request_id = Some(RequestName::new(request).unwrap());
                let (key, value) = (crate::check::testing::key("k"), crate::check::testing::value("1"));
                let (operation, target) = (number, NodeId::FIRST_SERVER);
                story
                    .at(number)
                    .event(c(1), Event::InvokeSet { operation, target, key, value, request_id, if_version: None });
                let stamp = Some(Stamp { epoch: Epoch::new(2), ..crate::check::testing::stamp(number) });
                let (outcome, value, confirmed) = (Outcome::Ok, None, Some((required, required)));
                story.event(c(1), Event::Return { operation, outcome, stamp, value, confirmed });
            }
            story.verdict_of_clients(check)
        };
        assert!(!named("s").is_violated());
        let mut story = Story::new();
        for number in 1..=2 {
            let stamp = Some(Stamp { epoch: Epoch::new(2), ..crate::check::testing::stamp(number) });
            let confirmed = Some((number as usize + 1, number as usize + 1));
            story.at(number).invoke_set(c(1), number, "k", "1");
            let (operation, outcome, value) = (number, Outcome::Ok, None);
            story.event(c(1), Event::Return { operation, outcome, stamp, value, confirmed });
        }
        assert!(story.verdict_of_clients(check).is_violated(), "each was asked for once");
    }

    /// A later leader may have another quorum, and so may a leader of which no epoch was recorded. One leader keeps its own.
    #[test]
    fn another_quorum_is_excused_in_another_epoch() {
        for (epochs, excused) in [([2, 3], true), ([1, 1], true), ([2, 2], false)] {
            let verdict = of_clients(&[(epochs[0], Outcome::Ok, (2, 2)), (epochs[1], Outcome::Ok, (3, 3))]);
            assert_eq!(!verdict.is_violated(), excused, "{epochs:?}");
            let cases = verdict.excuses.iter().map(|excused| (excused.excuse, excused.cases)).collect::<Vec<_>>();
            let expected = if excused { vec![(Excuse::ChangedQuorum, 1)] } else { Vec::new() };
            assert_eq!(cases, expected, "{epochs:?}");
        }
    }
}
