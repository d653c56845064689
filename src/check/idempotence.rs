//! Idempotence: what a client asks for once more, under the name that it gave to it, happens once (F11 of the project's
//! catalogue; Helland, *Idempotence Is Not a Medical Condition*, 2012).
//!
//! A leader takes no write on under a name that its key remembers. A key remembers the last [`Requests::MOST`] writes that
//! had a name, until it is deleted and the deletion collected. Of those,
//!
//! 1. what this incarnation of the leader took on or recovered in this epoch counts in any case;
//! 2. what another one did, or was in an earlier epoch, counts if it was acknowledged, or was recovered by a leader that
//!    served then: it is among what every later leader recovers. What was neither may be lost.
//!
//! A leader that recovers a version of a key recovers the names of the writes before it, as far as the leader that issued
//! the version knew them.
//!
//! Where only clients were recorded, the versions that they learned are compared: see `of_clients`.

mod of_clients;

use std::collections::{BTreeMap, VecDeque};

use super::evidence::{At, count};
use super::excuse::Excuses;
use super::prepared::Prepared;
use super::{Excuse, Property, Recorded, Verdict};
use crate::base::trace::{Disturbance, Event, Micros, Record, WriteId};
use crate::base::{Epoch, Key, RequestName, Requests, Stamp, Value, Version};

/// How many times the timeout of a write a deletion is kept that remembers names.
const KEPT: u32 = 12;

/// Checks it. O(n log n).
pub fn check(run: &Recorded<'_>) -> Verdict {
    judge(&Prepared::of(run))
}

pub(super) fn judge(prepared: &Prepared<'_>) -> Verdict {
    let Prepared { run, keys, .. } = prepared;
    let Some(facts) = run.facts else { return of_clients::judge(run.history) };
    let mut check = Check {
        kept: (KEPT * facts.repl_timeout).into(),
        promises: facts.write_quorum > 0,
        keys: BTreeMap::new(),
        clocks_are_right: true,
        open: BTreeMap::new(),
        taken_on: 0,
        retries: 0,
        evidence: Vec::new(),
        excuses: Excuses::default(),
    };
    for (place, record) in prepared.deeds() {
        if let Event::Fault { kind: Disturbance::ClockOff, .. } = &record.event {
            check.clocks_are_right = false;
        }
        if record.node.can_lead() {
            check.follow(record, || keys.stored_at(place));
        }
    }
    let Check { taken_on, retries, evidence, excuses, .. } = check;
    let holds = || format!("{}, and {retries} that came once more", count(taken_on, "named write"));
    Verdict::unless(Property::Idempotence, evidence, holds).excusing(excuses)
}

struct Check<'a> {
    /// How long a deletion must be kept that remembers names.
    kept: Micros,
    /// Whether an acknowledgement promises anything: without a quorum it does not.
    promises: bool,
    /// By the numbers of the keys.
    keys: BTreeMap<usize, OfKey<'a>>,
    /// Whether the clock of no leader was ever wrong: what a leader keeps for some time it may keep shorter otherwise.
    clocks_are_right: bool,
    /// The named writes and retries that leaders have not acknowledged, by their numbers: of which key, and under what name.
    open: BTreeMap<(u64, WriteId), (usize, &'a RequestName)>,
    taken_on: usize,
    retries: usize,
    evidence: Vec<String>,
    excuses: Excuses,
}

/// The named writes of one key.
#[derive(Default)]
struct OfKey<'a> {
    /// Those that the key remembers, oldest first.
    remembered: VecDeque<Named<'a>>,
    /// Those that it has forgotten since, with the reason.
    forgotten: BTreeMap<&'a RequestName, (Named<'a>, Excuse)>,
    /// By version: the terms that issued it, and its value, named or not.
    issued: BTreeMap<Version, Vec<(Term, Option<&'a Value>)>>,
    /// By incarnation of a leader: when it deleted the key, or recovered that it was deleted, last.
    deleted_at: BTreeMap<u64, Micros>,
}

/// An incarnation of a leader in one epoch. One that was deposed meanwhile has recovered what others had, and may have
/// forgotten its own.
type Term = (u64, Epoch);

/// A write that had a name.
#[derive(Debug, Clone)]
struct Named<'a> {
    name: &'a RequestName,
    stamp: Stamp,
    at: Micros,
    /// The terms that have it: the one that took it on, and those that recovered it.
    terms: Vec<Term>,
    /// Whether every later leader has it.
    stays: bool,
}

impl<'a> Check<'a> {
    fn follow(&mut self, record: &'a Record, key_number: impl Fn() -> usize) {
        let life = record.incarnation;
        match &record.event {
            Event::Accept { write, key, stamp, value, request_id, .. } => {
                let term = (life, stamp.epoch);
                let number = key_number();
                if let Some(name) = request_id {
                    self.taken_on += 1;
                    self.open.insert((life, *write), (number, name));
                    let (stamp, at) = (*stamp, record.at);
                    self.take_on(record, (key, number), Named { name, stamp, at, terms: vec![term], stays: false });
                }
                let of_key = self.keys.entry(number).or_default();
                of_key.issued.entry(stamp.version).or_default().push((term, value.as_ref()));
                if value.is_none() {
                    of_key.deleted_at.insert(life, record.at);
                }
            }
            Event::Retry { write, request_id, .. } => {
                self.retries += 1;
                self.open.extend(request_id.as_ref().map(|name| ((life, *write), (key_number(), name))));
            }
            Event::Recover { stamp, value, .. } => self.recover(record, key_number(), *stamp, value.as_ref()),
            Event::Recovered { epoch, anew: true, .. } => self.begin_with_less((life, *epoch)),
            Event::Serve { epoch } => {
                let all = self.keys.values_mut().flat_map(|of_key| &mut of_key.remembered);
                all.filter(|named| named.terms.contains(&(life, *epoch))).for_each(|named| named.stays = true);
            }
            Event::Complete { write, ok: true, .. } if self.promises => {
                let answered = self.open.remove(&(life, *write));
                let of_key = answered.and_then(|(key, name)| Some((self.keys.get_mut(&key)?, name)));
                if let Some((of_key, name)) = of_key {
                    of_key
                        .remembered
                        .iter_mut()
                        .filter(|named| named.name == name)
                        .for_each(|named| named.stays = true);
                }
            }
            Event::Collect { .. } => self.collect(record, key_number()),
            _ => {}
        }
    }

    /// A leader takes on a write under a name.
    fn take_on(&mut self, record: &Record, (key, number): (&Key, usize), named: Named<'a>) {
        let of_key = self.keys.entry(number).or_default();
        let (node, at, version) = (record.node, At(record.at), named.stamp.version);
        let twice = |first: &Named<'_>| {
            let (name, first_version, before) = (first.name, first.stamp.version, At(first.at));
            format!("{node} took {name:?} on {key} on twice: as v{first_version} at {before} and as v{version} at {at}")
        };
        if let Some(first) = of_key.remembered.iter().find(|first| first.name == named.name) {
            // A leader that another has deposed does not know what that one took on.
            let is_later = first.stamp.epoch <= named.stamp.epoch;
            if first.terms.contains(&named.terms[0]) || (first.stays && is_later) {
                self.evidence.push(twice(first));
            } else {
                let excuse = if first.stays { Excuse::DeposedLeader } else { Excuse::UncertainRequest };
                self.excuses.add(excuse, || twice(first));
            }
        } else if let Some((first, excuse)) = of_key.forgotten.remove(named.name) {
            self.excuses.add(excuse, || twice(&first));
        }
        of_key.remembered.retain(|first| first.name != named.name);
        of_key.remembered.push_back(named);
        if of_key.remembered.len() > Requests::MOST
            && let Some(oldest) = of_key.remembered.pop_front()
        {
            of_key.forgotten.insert(oldest.name, (oldest, Excuse::ManyRequests));
        }
    }

    /// A leader has recovered a version of a key, and the names of the writes before it that its issuer knew.
    fn recover(&mut self, record: &Record, number: usize, stamp: Stamp, value: Option<&Value>) {
        let of_key = self.keys.entry(number).or_default();
        if value.is_none() {
            of_key.deleted_at.insert(record.incarnation, record.at);
        }
        let issued = of_key.issued.get(&stamp.version).into_iter().flatten();
        let is_it = |((_, epoch), content): &&(Term, Option<&Value>)| *epoch <= stamp.epoch && *content == value;
        let mut issuers = issued.filter(is_it).map(|(term, _)| *term);
        // Where several leaders issued the same, it is not known whose it is.
        let (Some(issuer), None) = (issuers.next(), issuers.next()) else { return };
        let term = (record.incarnation, stamp.epoch);
        for named in &mut of_key.remembered {
            if named.terms.contains(&issuer) && named.stamp.version <= stamp.version {
                named.terms.push(term);
            }
        }
    }

    /// A leader bootstrapped, or began with what an operator had left to it. What it did not recover is gone.
    fn begin_with_less(&mut self, term: Term) {
        for of_key in self.keys.values_mut() {
            let all = std::mem::take(&mut of_key.remembered);
            let (kept, lost): (Vec<Named<'_>>, Vec<Named<'_>>) =
                all.into_iter().partition(|named| named.terms.contains(&term));
            of_key.remembered = kept.into();
            of_key.forgotten.extend(lost.into_iter().map(|named| (named.name, (named, Excuse::LostRequest))));
        }
    }

    /// A node collects the tombstone of a key, and the names with it.
    fn collect(&mut self, record: &Record, number: usize) {
        let Some(of_key) = self.keys.get_mut(&number) else { return };
        let deleted_at = of_key.deleted_at.get(&record.incarnation).copied().unwrap_or_default();
        if record.at.0 >= deleted_at.0 + self.kept.0 || !self.clocks_are_right {
            let all = of_key.remembered.drain(..).map(|named| (named.name, (named, Excuse::CollectedRequest)));
            of_key.forgotten.extend(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::NodeId;
    use crate::check::testing::{Story, f, key, stamp, value};

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
        let served = |story: &mut Story| {
            lost(story);
            story.event(NodeId::FIRST_SERVER, Event::Serve { epoch: Epoch::new(2) });
        };
        assert_eq!(twice(served).excuses(check), [(Excuse::UncertainRequest, 1)], "the next leader did not recover it");
        let mut other = Story::new();
        other.accept_named(1, "k", 1, "r").accept_named(2, "x", 1, "r");
        other.holds(check);
    }

    const LEADER: NodeId = NodeId::FIRST_SERVER;

    fn of_epoch(epoch: u64, version: u64) -> Stamp {
        Stamp { epoch: Epoch::new(epoch), ..stamp(version) }
    }

    /// A leader takes on a write of k under the name r.
    fn take_on(story: &mut Story, write: WriteId, stamp: Stamp) {
        let request_id = Some(RequestName::new("r").unwrap());
        let (key, value) = (key("k"), Some(value("1")));
        story.event(LEADER, Event::Accept { write, key, stamp, value, operation: None, request_id });
    }

    /// A leader finds that version of k, and serves if it comes to that.
    fn recover(story: &mut Story, stamp: Stamp, json: &str, serves: bool) {
        let value = Some(value(json));
        story.event(LEADER, Event::Recover { key: key("k"), stamp, value });
        story.event(LEADER, Event::Recovered { epoch: stamp.epoch, from: vec![f(1)], anew: false });
        if serves {
            story.event(LEADER, Event::Serve { epoch: stamp.epoch });
        }
    }

    /// Not acknowledged, and recovered by the leader that takes it on once more, or by one before that, which served or did not.
    #[test]
    fn what_a_later_leader_recovered_counts() {
        let begin = || {
            let mut story = Story::new();
            story.at(1);
            take_on(&mut story, 1, of_epoch(1, 1));
            story.at(2).crash(LEADER).restart(LEADER);
            story
        };
        let evidence = ["n1 took \"r\" on k on twice: as v1 at 1 ms and as v2 at 9 ms"];
        let mut story = begin();
        recover(&mut story, of_epoch(2, 1), "1", true);
        story.at(9);
        take_on(&mut story, 2, of_epoch(2, 2));
        assert_eq!(story.evidence(check), evidence);
        for (serves, is_accused) in [(true, true), (false, false)] {
            let mut story = begin();
            recover(&mut story, of_epoch(2, 1), "1", serves);
            story.at(8).crash(LEADER).restart(LEADER).at(9);
            take_on(&mut story, 1, of_epoch(3, 2));
            assert_eq!(story.verdict(check).is_violated(), is_accused, "the second leader served: {serves}");
        }
        // Another value of that version is another write.
        let mut story = begin();
        recover(&mut story, of_epoch(2, 1), "7", true);
        story.at(9);
        take_on(&mut story, 2, of_epoch(2, 2));
        assert_eq!(story.excuses(check), [(Excuse::UncertainRequest, 1)]);
    }

    /// A later write of the same leader to the key carries the name.
    #[test]
    fn a_name_is_recovered_with_a_later_version() {
        let recovered = |next_life: bool| {
            let mut story = Story::new();
            story.at(1);
            take_on(&mut story, 1, of_epoch(1, 1));
            if next_life {
                story.crash(LEADER).restart(LEADER);
            }
            let (key_of, value_of, stamp) = (key("k"), Some(value("2")), of_epoch(1 + u64::from(next_life), 2));
            let (operation, request_id) = (None, None);
            story.event(LEADER, Event::Accept { write: 2, key: key_of, stamp, value: value_of, operation, request_id });
            story.at(2).crash(LEADER).restart(LEADER);
            recover(&mut story, of_epoch(3, 2), "2", true);
            story.at(9);
            take_on(&mut story, 3, of_epoch(3, 3));
            story
        };
        assert!(recovered(false).verdict(check).is_violated());
        assert_eq!(
            recovered(true).excuses(check),
            [(Excuse::UncertainRequest, 1)],
            "that leader did not know the name"
        );
    }

    #[test]
    fn eight_later_names_and_no_fewer_are_an_excuse() {
        let later = |names: u64| {
            twice(move |story: &mut Story| {
                for n in 1..=names {
                    story.accept_named(n + 1, "k", n + 1, &format!("s{n}"));
                }
            })
        };
        assert!(later(7).verdict(check).is_violated());
        assert_eq!(later(8).excuses(check), [(Excuse::ManyRequests, 1)]);
    }

    /// Twelve timeouts of 5 s after the deletion.
    #[test]
    fn a_deletion_that_was_collected_is_an_excuse_when_it_was_kept_long_enough() {
        let collected_at = |ms: u64, is_clock_wrong: bool| {
            twice(move |story: &mut Story| {
                story.at(10).accept_delete(2, "k", 2, (crate::check::testing::c(1), 2));
                if is_clock_wrong {
                    let kind = Disturbance::ClockOff;
                    let fault = Event::Fault { kind, nodes: vec![LEADER], latency: None, what: String::new() };
                    story.event(NodeId::Network, fault);
                }
                story.at(ms).collect(LEADER, "k", 2);
            })
        };
        assert!(collected_at(60_009, false).verdict(check).is_violated());
        assert_eq!(collected_at(60_010, false).excuses(check), [(Excuse::CollectedRequest, 1)]);
        assert_eq!(collected_at(20, true).excuses(check), [(Excuse::CollectedRequest, 1)]);
    }

    #[test]
    fn a_loss_is_an_excuse_for_what_was_lost() {
        let lost = |recovers: bool| {
            let mut story = Story::new();
            story.at(1);
            take_on(&mut story, 1, of_epoch(1, 1));
            story.complete(1, true, 2).at(2).crash(LEADER).restart(LEADER);
            if recovers {
                story.event(LEADER, Event::Recover { key: key("k"), stamp: of_epoch(2, 1), value: Some(value("1")) });
            }
            story.event(LEADER, Event::Recovered { epoch: Epoch::new(2), from: Vec::new(), anew: true });
            story.event(LEADER, Event::Serve { epoch: Epoch::new(2) }).at(9);
            take_on(&mut story, 2, of_epoch(2, 2));
            story
        };
        assert_eq!(lost(false).excuses(check), [(Excuse::LostRequest, 1)]);
        assert!(lost(true).verdict(check).is_violated(), "it was among what was left");
    }

    #[test]
    fn only_an_earlier_leader_is_excused_for_not_knowing_its_successor() {
        for (epoch, is_accused) in [(1, false), (3, true)] {
            let mut story = Story::new();
            story.at(1);
            take_on(&mut story, 1, of_epoch(2, 1));
            story.complete(1, true, 2);
            let request_id = Some(RequestName::new("r").unwrap());
            let (key, value, stamp) = (key("k"), Some(value("1")), of_epoch(epoch, 7));
            let record = Event::Accept { write: 1, key, stamp, value, operation: None, request_id };
            story.at(9).restart(NodeId::Server(1)).event(NodeId::Server(1), record);
            match is_accused {
                true => assert!(story.verdict(check).is_violated()),
                false => assert_eq!(story.excuses(check), [(Excuse::DeposedLeader, 1)]),
            }
        }
    }

    /// A client that was told of its retry was told of the write.
    #[test]
    fn an_acknowledged_retry_acknowledges_the_write() {
        let retried = |ok| {
            let mut story = Story::new();
            story.at(1);
            take_on(&mut story, 1, of_epoch(1, 1));
            let (key, value, request_id) = (key("k"), Some(value("1")), Some(RequestName::new("r").unwrap()));
            let retry = Event::Retry { write: 2, key, stamp: of_epoch(1, 1), value, operation: None, request_id };
            story.event(LEADER, retry).complete(2, ok, 2).at(5).crash(LEADER).restart(LEADER).at(9);
            take_on(&mut story, 1, of_epoch(2, 1));
            story
        };
        assert!(retried(true).verdict(check).is_violated());
        assert_eq!(retried(false).excuses(check), [(Excuse::UncertainRequest, 1)]);
    }
}
