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
    (moments, prop::bool::weighted(0.2), any::<bool>(), 0..10u8, any::<bool>(), any::<bool>(), bend).prop_map(
        |(moments, key, writes, outcome, effective, stamp_known, bend)| Draft {
            moments,
            key,
            writes,
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
    let mut model: BTreeMap<Key, (u64, String)> = BTreeMap::new();
    let mut results: Vec<Option<(u64, String)>> = vec![None; drafts.len()];
    for at in order {
        let draft = &drafts[at];
        let takes_effect = match outcome(draft) {
            Outcome::Ok | Outcome::Absent => true,
            Outcome::Unknown => draft.effective,
            Outcome::Failed => false,
        };
        if draft.writes && takes_effect {
            let version = model.get(&key(draft)).map_or(0, |(version, _)| *version) + 1;
            model.insert(key(draft), (version, at.to_string()));
        }
        results[at] = model.get(&key(draft)).cloned();
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
                    result = Some((result.map_or(1, |(version, _)| version), other.to_string()));
                }
                Bend::Not | Bend::Sees(_) | Bend::EndsEarly => {}
            }
            let told = match outcome {
                Outcome::Ok | Outcome::Absent => true,
                Outcome::Unknown => draft.stamp_known && draft.effective,
                Outcome::Failed => false,
            };
            let (stamp, value) = match result.filter(|_| told) {
                Some((version, value)) => (Some(testing::stamp(version)), Some(testing::value(&value))),
                None => (None, None),
            };
            if outcome == Outcome::Ok && !draft.writes && stamp.is_none() {
                outcome = Outcome::Absent;
            }
            let kind = if draft.writes { Kind::Write(testing::value(&at.to_string())) } else { Kind::Read(value) };
            Operation {
                mode: crate::base::ReadMode::Linearizable,
                client: testing::c(at as u16 + 1),
                number: 1,
                target: NodeId::Leader,
                key: key(draft),
                kind,
                invoked: moment((false, at)),
                returned: Some(moment((true, at))),
                outcome,
                stamp,
                confirmed: None,
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
        Kind::Write(_) => operation.outcome != Outcome::Failed,
        Kind::Read(_) => matches!(operation.outcome, Outcome::Ok | Outcome::Absent),
    };
    history.operations.iter().filter(tells).collect()
}
