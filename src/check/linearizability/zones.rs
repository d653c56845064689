//! The check of a key whose values are unique and were recorded without versions: each value names the write that it
//! comes from, so it is known which write each read saw. With this relation given, linearizability is decided in
//! O(n log n) (Gibbons and Korach, *Testing Shared Memories*, 1997, section 4).
//!
//! A write and the reads that saw it form a *cluster*. In any valid order the operations of a cluster stand together.
//! The *zone* of a cluster lies between the first return and the last invocation of its operations. Where the first
//! return comes first, the zone is *forward*: the register holds the value all that time. Otherwise it is *backward*:
//! the register holds the value at some point of the zone. There is a valid order if and only if
//!
//! 1. no read returned before the write that it saw was invoked,
//! 2. no two forward zones overlap, and
//! 3. no backward zone lies inside a forward zone.
//!
//! What was there before the history is a cluster whose write returned before everything else. A write of unknown outcome
//! never returned if a read saw it, and is left out otherwise.
//!
//! The value from before may be absence, or any value. If it is a value that a recorded write wrote, too, then a read of
//! it can belong to either. It is taken for the former if it was invoked before the first return of every other cluster
//! and of that write. This loses no order: such a read does not extend the first cluster beyond any other, and every
//! other zone stays as it is or, for the cluster that gives it up, gets less strict.

use std::collections::BTreeMap;

use super::describe::describe;
use super::register::{ABSENT, Action, Content, NEVER, Register, Step};
use crate::base::history::Moment;

/// Whether the check applies: no operation has a version or a condition, and no two writes wrote the same.
pub(super) fn apply_to(register: &Register<'_>) -> bool {
    let mut is_written = vec![false; register.contents()];
    register.steps.iter().all(|step| match step.action {
        Action::Read { stamp, .. } => stamp.is_none(),
        Action::Write { content, stamp, requires } => {
            let is_first = !std::mem::replace(&mut is_written[content as usize], true);
            is_first && stamp.is_none() && requires.is_none()
        }
    })
}

/// Checks it. `begins_empty` says that the key was absent before the history.
///
/// # Errors
/// A sentence that shows why there is no valid order.
pub(super) fn check(register: &Register<'_>, begins_empty: bool) -> Result<(), String> {
    let clusters = Clusters::of(register);
    if begins_empty {
        return clusters.check_from(ABSENT);
    }
    // What was read though it had not been written by then was there before.
    let mut early = clusters.by_content.iter().filter_map(|(content, cluster)| Some((*content, cluster.early()?)));
    match (early.next(), early.next()) {
        (None, _) => {}
        (Some((content, _)), None) => return clusters.check_from(content),
        (Some((_, one)), Some((_, other))) => {
            let (one, other) = (describe(one.operation), describe(other.operation));
            return Err(format!("{one}, and {other}, and both would have to be what was there before any write"));
        }
    }
    let from_absent = clusters.check_from(ABSENT);
    if from_absent.is_ok() {
        return from_absent;
    }
    let from_a_value = clusters.possible_beginnings().any(|content| clusters.check_from(content).is_ok());
    if from_a_value { Ok(()) } else { from_absent }
}

/// A write and the reads that saw it.
#[derive(Debug, Clone, Default)]
struct Cluster<'a> {
    write: Option<Step<'a>>,
    reads: Vec<Step<'a>>,
}

impl<'a> Cluster<'a> {
    /// A read that returned before the write was invoked.
    fn early(&self) -> Option<&Step<'a>> {
        let written = self.write.map_or(NEVER, |write| write.invoked());
        self.reads.iter().find(|read| read.returned < written)
    }

    /// Whether the write is known to have taken effect.
    fn took_effect(&self) -> bool {
        self.write.is_some_and(|write| write.is_required()) || !self.reads.is_empty()
    }

    fn members(&self) -> impl Iterator<Item = &Step<'a>> {
        self.write.iter().chain(&self.reads)
    }

    fn first_return(&self) -> Moment {
        self.members().map(|step| step.returned).min().unwrap_or(NEVER)
    }

    fn zone(&self) -> Option<Zone<'a>> {
        let first = *self.members().min_by_key(|step| step.returned)?;
        let last = *self.members().max_by_key(|step| step.invoked())?;
        Some(Zone { first: Some(first), last, finish: Some(first.returned), start: last.invoked() })
    }
}

struct Clusters<'a> {
    by_content: BTreeMap<Content, Cluster<'a>>,
}

/// The span of a cluster.
struct Zone<'a> {
    /// The operation that returned first; none where that is the write from before the history.
    first: Option<Step<'a>>,
    /// The operation that was invoked last.
    last: Step<'a>,
    /// The first return; none before everything else.
    finish: Option<Moment>,
    /// The last invocation.
    start: Moment,
}

impl Zone<'_> {
    fn is_forward(&self) -> bool {
        self.finish < Some(self.start)
    }
}

impl<'a> Clusters<'a> {
    fn of(register: &Register<'a>) -> Self {
        let mut by_content: BTreeMap<Content, Cluster<'a>> = BTreeMap::new();
        for step in &register.steps {
            match step.action {
                Action::Read { content, .. } => by_content.entry(content).or_default().reads.push(*step),
                Action::Write { content, .. } => by_content.entry(content).or_default().write = Some(*step),
            }
        }
        // A write of unknown outcome that no read saw says nothing.
        by_content.retain(|_, cluster| cluster.took_effect());
        Self { by_content }
    }

    /// The values that may have been there before, judged by the operations that returned first.
    fn possible_beginnings(&self) -> impl Iterator<Item = Content> {
        self.by_content.keys().copied().filter(|content| {
            let before = self.first_return_of_others(*content);
            *content != ABSENT && self.by_content[content].reads.iter().any(|read| read.invoked() < before)
        })
    }

    /// The first return of a cluster other than this, or of the write of this.
    fn first_return_of_others(&self, content: Content) -> Moment {
        let others = self.by_content.iter().filter(|(other, _)| **other != content);
        let others = others.map(|(_, cluster)| cluster.first_return());
        let own_write = self.by_content.get(&content).and_then(|cluster| cluster.write).map(|write| write.returned);
        others.chain(own_write).min().unwrap_or(NEVER)
    }

    /// Checks it, where this content was there before.
    fn check_from(&self, beginning: Content) -> Result<(), String> {
        let before = self.first_return_of_others(beginning);
        let mut zones = Vec::new();
        for (content, cluster) in &self.by_content {
            if *content != beginning {
                if let Some(early) = cluster.early() {
                    return Err(not_written(early, cluster));
                }
                zones.extend(cluster.zone());
                continue;
            }
            let written = cluster.write.map_or(NEVER, |write| write.invoked());
            let is_from_before =
                |read: &Step<'_>| cluster.write.is_none() || read.invoked() < before || read.returned < written;
            let (first, later): (Vec<Step<'_>>, Vec<Step<'_>>) =
                cluster.reads.iter().copied().partition(|read| is_from_before(read));
            zones.extend(first.iter().copied().max_by_key(Step::invoked).map(|last| Zone {
                first: None,
                last,
                finish: None,
                start: last.invoked(),
            }));
            let rest = Cluster { write: cluster.write, reads: later };
            zones.extend(rest.zone().filter(|_| rest.took_effect()));
        }
        check_zones(zones)
    }
}

fn check_zones(zones: Vec<Zone<'_>>) -> Result<(), String> {
    let (mut forward, backward): (Vec<Zone<'_>>, Vec<Zone<'_>>) = zones.into_iter().partition(Zone::is_forward);
    forward.sort_by_key(|zone| zone.finish);
    for pair in forward.windows(2) {
        if pair[1].finish < Some(pair[0].start) {
            return Err(contradiction(&pair[0], &pair[1]));
        }
    }
    for inner in &backward {
        // Forward zones do not overlap, so only the last that begins before it can contain it.
        let before = forward.partition_point(|outer| outer.finish < Some(inner.start));
        if let Some(outer) =
            before.checked_sub(1).map(|last| &forward[last]).filter(|outer| inner.finish < Some(outer.start))
        {
            return Err(contradiction(outer, inner));
        }
    }
    Ok(())
}

fn not_written(read: &Step<'_>, cluster: &Cluster<'_>) -> String {
    let read = describe(read.operation);
    match &cluster.write {
        Some(write) => format!("{read}, before {}", describe(write.operation)),
        None => format!("{read}, which no recorded operation wrote"),
    }
}

/// Two clusters of which each has an operation that ended before one of the other began.
fn contradiction(one: &Zone<'_>, other: &Zone<'_>) -> String {
    // The sentence begins with a read, if there is one.
    let is_read = |zone: &Zone<'_>| matches!(zone.last.action, Action::Read { .. });
    let (accused, other) = if is_read(one) || !is_read(other) { (one, other) } else { (other, one) };
    let Some(between) = &other.first else {
        return contradiction_with_the_beginning(accused, other);
    };
    let mut text = format!("{}, though before that {}", describe(accused.last.operation), describe(between.operation));
    if let Some(earlier) = &accused.first {
        let (last, earlier) = (describe(other.last.operation), describe(earlier.operation));
        if other.last.invoked() == between.invoked() {
            text.push_str(&format!(", which came after {earlier}"));
        } else {
            text.push_str(&format!("; and {last}, though before that {earlier}"));
        }
    }
    text
}

fn contradiction_with_the_beginning(later: &Zone<'_>, beginning: &Zone<'_>) -> String {
    let last = describe(beginning.last.operation);
    match &later.first {
        Some(first) => format!("{last}, though before that {}", describe(first.operation)),
        None => last,
    }
}
