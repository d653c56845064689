//! Random histories of a few operations on two keys, some of them right and some of them bent, for the check to be held
//! against other ways of deciding.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::base::history::{History, Kind, Moment, Operation};
use crate::base::trace::{Micros, Outcome};
use crate::base::{Key, NodeId};
use crate::check::testing;

/// The greatest version that occurs.
pub(super) const GREATEST: u64 = 7;

/// An operation to be generated: when it begins, takes effect and ends, relative to the others, and what of it is bent.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    moments: [u16; 3],
    key: bool,
    writes: bool,
    /// Whether the write deletes.
    deletes: bool,
    outcome: u8,
    /// Whether the write took effect, if that is not known.
    effective: bool,
    stamp_known: bool,
    bend: Bend,
}

#[derive(Debug, Clone, Copy)]
enum Bend {
    Not,
    /// It has this version instead.
    Version(u64),
    /// It reads what this operation writes.
    Sees(usize),
    /// It ends at once, whenever it took effect.
    EndsEarly,
}

pub(super) fn draft() -> impl Strategy<Value = Draft> {
    let bend = prop_oneof![
        4 => Just(Bend::Not),
        1 => (1..=GREATEST).prop_map(Bend::Version),
        1 => (0..6usize).prop_map(Bend::Sees),
        1 => Just(Bend::EndsEarly),
    ];
    let moments = any::<[u16; 3]>().prop_map(|mut moments| {
        moments.sort_unstable();
        moments
    });
    let flags = (prop::bool::weighted(0.2), any::<bool>(), prop::bool::weighted(0.3), any::<bool>(), any::<bool>());
    (moments, flags, 0..10u8, bend).prop_map(
        |(moments, (key, writes, deletes, effective, stamp_known), outcome, bend)| Draft {
            moments,
            key,
            writes,
            deletes,
            outcome,
            effective,
            stamp_known,
            bend,
        },
    )
}

/// The history of these operations on a right store, bent where they say so.
pub(super) fn history(drafts: &[Draft]) -> History {
    let key = |draft: &Draft| testing::key(if draft.key { "j" } else { "k" });
    let outcome = |draft: &Draft| match (draft.outcome, draft.writes) {
        (0..6, _) => Outcome::Ok,
        (6..9, true) => Outcome::Unknown,
        (6..9, false) => Outcome::Ok,
        _ => Outcome::Failed,
    };
    let mut order: Vec<usize> = (0..drafts.len()).collect();
    order.sort_by_key(|at| (drafts[*at].moments[1], *at));
    // A key that was deleted has a version and no value.
    let mut model: BTreeMap<Key, (u64, Option<String>)> = BTreeMap::new();
    let mut results: Vec<Option<(u64, Option<String>)>> = vec![None; drafts.len()];
    for at in order {
        let draft = &drafts[at];
        let takes_effect = match outcome(draft) {
            Outcome::Ok | Outcome::Absent => true,
            Outcome::Unknown => draft.effective,
            Outcome::Failed => false,
        };
        if draft.writes && takes_effect {
            let version = model.get(&key(draft)).map_or(0, |(version, _)| *version) + 1;
            model.insert(key(draft), (version, (!draft.deletes).then(|| at.to_string())));
        }
        results[at] = model.get(&key(draft)).cloned().filter(|(_, value)| draft.writes || value.is_some());
    }
    // Distinct moments: in the order of the draws, invocations before returns.
    let mut moments: Vec<(u16, bool, usize)> = Vec::new();
    for (at, draft) in drafts.iter().enumerate() {
        let end = if matches!(draft.bend, Bend::EndsEarly) { draft.moments[0] } else { draft.moments[2] };
        moments.push((draft.moments[0], false, at));
        moments.push((end, true, at));
    }
    moments.sort_unstable();
    let moment = |wanted: (bool, usize)| {
        let index = moments.iter().position(|(_, is_return, at)| (*is_return, *at) == wanted).expect("each is there");
        Moment { index, at: Micros(index as u64 * 1000) }
    };
    let mut operations: Vec<Operation> = drafts
        .iter()
        .enumerate()
        .map(|(at, draft)| {
            let mut outcome = outcome(draft);
            let mut result = results[at].clone();
            match draft.bend {
                Bend::Version(version) => result = result.map(|(_, value)| (version, value)),
                Bend::Sees(other) if !draft.writes && other < drafts.len() => {
                    result = Some((result.map_or(1, |(version, _)| version), Some(other.to_string())));
                }
                Bend::Not | Bend::Sees(_) | Bend::EndsEarly => {}
            }
            let told = match outcome {
                Outcome::Ok | Outcome::Absent => true,
                Outcome::Unknown => draft.stamp_known && draft.effective,
                Outcome::Failed => false,
            };
            let (stamp, value) = match result.filter(|_| told) {
                Some((version, value)) => (Some(testing::stamp(version)), value.map(|value| testing::value(&value))),
                None => (None, None),
            };
            if outcome == Outcome::Ok && !draft.writes && stamp.is_none() {
                outcome = Outcome::Absent;
            }
            let kind = match (draft.writes, draft.deletes) {
                (true, true) => Kind::Delete,
                (true, false) => Kind::Write(testing::value(&at.to_string())),
                (false, _) => Kind::Read(value),
            };
            Operation {
                mode: crate::base::ReadMode::Linearizable,
                client: testing::c(at as u16 + 1),
                number: 1,
                target: NodeId::FIRST_SERVER,
                key: key(draft),
                kind,
                invoked: moment((false, at)),
                returned: Some(moment((true, at))),
                outcome,
                stamp,
                confirmed: None,
                request: None,
                condition: None,
                min_version: None,
            }
        })
        .collect();
    operations.sort_by_key(|operation| operation.invoked);
    History { operations }
}

/// The operations of a history that say anything. A write that was refused has no effect, and a read that failed saw
/// nothing.
pub(super) fn telling(history: &History) -> Vec<&Operation> {
    let tells = |operation: &&Operation| match operation.kind {
        Kind::Write(_) | Kind::Delete => operation.outcome != Outcome::Failed,
        Kind::Read(_) => matches!(operation.outcome, Outcome::Ok | Outcome::Absent),
    };
    history.operations.iter().filter(tells).collect()
}

/// Whether it has a deletion that may have taken effect under a stamp that nobody knows: what found nothing is not held against anything
/// then, so that a history may be taken for right that is not.
pub(super) fn is_vague(history: &History) -> bool {
    let is_vague = |operation: &Operation| {
        operation.kind == Kind::Delete && operation.outcome == Outcome::Unknown && operation.stamp.is_none()
    };
    history.operations.iter().any(is_vague)
}
