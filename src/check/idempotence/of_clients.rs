//! Idempotence, where only clients were recorded.
//!
//! A write with a `request_id` took effect under each version that an answer to it told, and under each version with which
//! a read found its value, if no other request wrote that value. Two versions mean that it took effect twice.
//!
//! Nothing is accused where the second leader may have forgotten the first effect by right:
//!
//! - A key remembers the last [`Requests::MOST`] requests only, and none once it was deleted and the deletion was collected.
//! - A leader remembers what an earlier epoch knew if it recovered it. A client sees that if it reads the first version
//!   under the epoch of the second.
//! - In the first epoch, which leaders without recovery never leave, a leader may have restarted in between. Then it counts
//!   only that the first effect was acknowledged before the client repeated the request. A version without an epoch counts
//!   as one of the first.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::history::{History, Kind, Operation};
use crate::base::trace::Outcome;
use crate::base::{Epoch, Key, RequestName, Requests, Stamp};
use crate::check::coverage::Skips;
use crate::check::evidence::{At, count, not_applicable};
use crate::check::{Property, Verdict};

/// The attempts of one request, and the versions under which it took effect.
#[derive(Default)]
struct Attempts<'a> {
    operations: Vec<&'a Operation>,
    /// With the operation that shows each.
    effects: BTreeMap<Stamp, &'a Operation>,
}

pub(super) fn judge(history: &History) -> Verdict {
    let requests = requests(history);
    if requests.is_empty() {
        return not_applicable(Property::Idempotence, "no write has a request_id");
    }
    let (mut judged, mut judged_requests) = (0, 0);
    let mut skips = Skips::default();
    let mut evidence = Vec::new();
    for ((key, name), attempts) in &requests {
        let number = attempts.operations.len();
        if attempts.effects.is_empty() {
            skips.add(key, number, number > 1, "no version tells how often the request took effect");
            continue;
        }
        match twice(history, key, attempts) {
            Effects::Once => {}
            Effects::Twice(first, second) => {
                let tell = |(stamp, operation): (Stamp, &Operation)| format!("as {stamp} ({})", witness(operation));
                let (first, second) = (tell(first), tell(second));
                evidence.push(format!("request {name:?} took effect on {key} twice: {first} and {second}"));
            }
            Effects::Unclear(why) => {
                skips.add(key, number, true, why);
                continue;
            }
        }
        (judged, judged_requests) = (judged + number, judged_requests + 1);
    }
    let skipped = skips.into_vec();
    if judged == 0 {
        return not_applicable(Property::Idempotence, "no request could be judged").covering(0, skipped);
    }
    let verdict = Verdict::unless(Property::Idempotence, evidence, || {
        format!("{} in {}", count(judged_requests, "request"), count(judged, "attempt"))
    });
    verdict.covering(judged, skipped)
}

/// The requests by key and name, without the attempts that were refused.
fn requests(history: &History) -> BTreeMap<(&Key, &RequestName), Attempts<'_>> {
    let mut requests: BTreeMap<(&Key, &RequestName), Attempts<'_>> = BTreeMap::new();
    let mut writers: BTreeMap<(&Key, &str), BTreeSet<Option<&RequestName>>> = BTreeMap::new();
    for operation in history.operations.iter().filter(|operation| may_have_effect(operation)) {
        if let Kind::Write(value) = &operation.kind {
            writers.entry((&operation.key, value.as_json())).or_default().insert(operation.request.as_ref());
        }
        if let Some(name) = &operation.request {
            let attempts = requests.entry((&operation.key, name)).or_default();
            attempts.operations.push(operation);
            attempts.note(operation.stamp, operation);
        }
    }
    for read in &history.operations {
        let Kind::Read(Some(value)) = &read.kind else { continue };
        let only = writers.get(&(&read.key, value.as_json())).filter(|names| names.len() == 1);
        let Some(name) = only.and_then(|names| names.first().copied().flatten()) else { continue };
        if let Some(attempts) = requests.get_mut(&(&read.key, name)) {
            attempts.note(read.stamp, read);
        }
    }
    requests
}

impl<'a> Attempts<'a> {
    /// Whether the leader of the second effect must have known of the first.
    fn must_be_known(&self, first: Stamp, second: Stamp) -> bool {
        if first.epoch != second.epoch {
            let recovered = self.effects.get(&Stamp { version: first.version, ..second });
            return recovered.is_some_and(|operation| !operation.is_write());
        }
        first.epoch > Epoch::FIRST || self.was_acknowledged_before(first, second)
    }

    /// Whether one of two effects was acknowledged before an attempt began that was given the other.
    fn was_acknowledged_before(&self, first: Stamp, second: Stamp) -> bool {
        let with = |stamp| self.operations.iter().filter(move |operation| operation.stamp == Some(stamp));
        let comes_before = |one, other| {
            let acknowledged = with(one).filter(|operation| operation.outcome == Outcome::Ok);
            let acknowledged = acknowledged.filter_map(|operation| operation.returned).min();
            acknowledged.is_some_and(|moment| with(other).any(|operation| operation.invoked > moment))
        };
        comes_before(first, second) || comes_before(second, first)
    }

    /// Notes an effect. Under a later epoch it is the same.
    fn note(&mut self, stamp: Option<Stamp>, shown_by: &'a Operation) {
        if let Some(stamp) = stamp {
            self.effects.entry(stamp).or_insert(shown_by);
        }
    }
}

/// How often a request took effect.
enum Effects<'a> {
    Once,
    Twice((Stamp, &'a Operation), (Stamp, &'a Operation)),
    /// It did so more than once, and perhaps by right.
    Unclear(&'static str),
}

fn twice<'a>(history: &History, key: &Key, attempts: &Attempts<'a>) -> Effects<'a> {
    let effects: Vec<(Stamp, &Operation)> = attempts.effects.iter().map(|(stamp, of)| (*stamp, *of)).collect();
    let mut unclear = None;
    for (place, second) in effects.iter().enumerate() {
        for first in effects[..place].iter().filter(|first| first.0.version != second.0.version) {
            if !attempts.must_be_known(first.0, second.0) {
                unclear = Some("nothing shows that the leader of the second effect knew of the first");
            } else if may_be_forgotten(history, key, attempts) {
                unclear = Some("its key was deleted, or had too many other requests to remember it");
            } else {
                return Effects::Twice(*first, *second);
            }
        }
    }
    unclear.map_or(Effects::Once, Effects::Unclear)
}

/// Whether the key may have forgotten a request between its attempts.
fn may_be_forgotten(history: &History, key: &Key, attempts: &Attempts<'_>) -> bool {
    let first = attempts.operations.iter().map(|operation| operation.invoked).min();
    let last = attempts.operations.iter().filter_map(|operation| operation.returned).max();
    let name = attempts.operations.first().and_then(|operation| operation.request.as_ref());
    let between = history.operations.iter().filter(|other| {
        let is_before = other.outcome == Outcome::Ok && other.returned < first;
        let is_after = last.is_some_and(|last| other.invoked > last);
        other.key == *key && may_have_effect(other) && !is_before && !is_after && other.request.as_ref() != name
    });
    let mut others = BTreeSet::new();
    for other in between {
        if other.kind == Kind::Delete {
            return true;
        }
        others.extend(&other.request);
    }
    others.len() >= Requests::MOST
}

fn may_have_effect(operation: &Operation) -> bool {
    operation.is_write() && operation.outcome != Outcome::Failed
}

/// `c1#2 read it at 5 ms`
fn witness(operation: &Operation) -> String {
    let at = operation.returned.map(|returned| format!(" at {}", At(returned.at))).unwrap_or_default();
    let did = if operation.is_write() { "was answered so" } else { "read it" };
    format!("{} {did}{at}", operation.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Version;
    use crate::base::history::{Call, HistoryBuilder, Reply};
    use crate::base::trace::Micros;
    use crate::check::testing::{key, stamp, value};
    use crate::check::{Finding, Recorded};

    /// A history in which each call returns before the next begins, 1 ms later.
    fn history(calls: Vec<(Call, Reply)>) -> History {
        let mut builder = HistoryBuilder::new();
        for (number, (call, reply)) in (1..).zip(calls) {
            let operation = builder.invoke(Micros(2000 * number), 0, call).unwrap();
            builder.complete(Micros(2000 * number + 1000), 0, operation, reply).unwrap();
        }
        builder.build()
    }

    fn set(name: &str) -> Call {
        Call::set(key("k"), value("1")).request(RequestName::new(name).unwrap())
    }

    fn version(number: u64) -> Version {
        Version::new(number).unwrap()
    }

    fn later(number: u64) -> Stamp {
        Stamp { epoch: Epoch::new(2), ..stamp(number) }
    }

    fn finding(calls: Vec<(Call, Reply)>) -> Finding {
        crate::check::check(Property::Idempotence, &Recorded::of_clients(&history(calls))).finding
    }

    #[test]
    fn a_request_that_took_effect_twice() {
        let first = || (set("r"), Reply::ok().version(version(1)));
        let other = || (Call::set(key("k"), value("2")), Reply::ok().version(version(2)));
        let again = |number| (set("r"), Reply::ok().version(version(number)));
        assert_eq!(finding(vec![first(), other(), again(1)]), Finding::Holds("1 request in 2 attempts".into()));
        let evidence = "request \"r\" took effect on k twice: as v1 (c1#1 was answered so at 3 ms) and as v3 (c1#3 was \
                        answered so at 7 ms)";
        assert_eq!(finding(vec![first(), other(), again(3)]), Finding::Violated(vec![evidence.into()]));
        let seen = |read: &str, epoch| {
            let stamp = |number| Stamp { epoch: Epoch::new(epoch), ..stamp(number) };
            let read = (Call::get(key("k")), Reply::ok().value(value(read)).stamp(stamp(1)));
            let other = (Call::set(key("k"), value("2")), Reply::ok().stamp(stamp(2)));
            finding(vec![(set("r"), Reply::unknown()), read, other, (set("r"), Reply::ok().stamp(stamp(3)))])
        };
        assert!(matches!(seen("1", 2), Finding::Violated(evidence) if evidence[0].contains("(c1#2 read it at 5 ms)")));
        assert!(matches!(seen("1", 1), Finding::NotApplicable(_)), "the leader may have restarted empty");
        assert!(matches!(seen("7", 2), Finding::Holds(_)), "another value was read");
        let two_names = finding(vec![first(), other(), (set("s"), Reply::ok().version(version(3)))]);
        assert_eq!(two_names, Finding::Holds("2 requests in 2 attempts".into()));
    }

    #[test]
    fn a_request_that_may_be_forgotten_is_not_judged() {
        let not_judged = Finding::NotApplicable("no request could be judged".into());
        let first = || (set("r"), Reply::ok().version(version(1)));
        let again = || (set("r"), Reply::ok().version(version(20)));
        let deletion = |reply| (Call::delete(key("k")), reply);
        assert_eq!(finding(vec![first(), deletion(Reply::unknown()), again()]), not_judged);
        assert!(matches!(finding(vec![first(), deletion(Reply::failed()), again()]), Finding::Violated(_)));
        assert!(matches!(finding(vec![deletion(Reply::ok()), first(), again()]), Finding::Violated(_)));
        let others = |number| {
            let others = (1..=number).map(|n| {
                let call = Call::set(key("k"), value("2")).request(RequestName::new(&format!("s{n}")).unwrap());
                (call, Reply::unknown())
            });
            finding([first()].into_iter().chain(others).chain([again()]).collect())
        };
        assert!(matches!(others(7), Finding::Violated(_)));
        assert_eq!(others(8), not_judged);
        let epochs = |read: Option<Stamp>| {
            let read = read.map(|stamp| (Call::get(key("k")), Reply::ok().value(value("1")).stamp(stamp)));
            finding([first()].into_iter().chain(read).chain([(set("r"), Reply::ok().stamp(later(20)))]).collect())
        };
        assert_eq!((epochs(None), epochs(Some(stamp(1)))), (not_judged.clone(), not_judged.clone()));
        assert!(matches!(epochs(Some(later(1))), Finding::Violated(_)), "the later leader knew the first");
        let without_versions = finding(vec![(set("r"), Reply::ok()), (set("r"), Reply::ok())]);
        assert_eq!(without_versions, not_judged);
    }

    #[test]
    fn without_names_there_is_nothing_to_judge() {
        let unnamed = vec![(Call::set(key("k"), value("2")), Reply::ok().version(version(2)))];
        assert_eq!(finding(unnamed), Finding::NotApplicable("no write has a request_id".into()));
    }
}
