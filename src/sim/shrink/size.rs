use std::collections::BTreeSet;

use super::parts;
use super::times::{disorder, first_ms, roughness};
use crate::base::Key;
use crate::sim::scenario::{ClusterSpec, FaultKind, Scenario};
use crate::sim::spell::USUAL_DELAY_MS;

/// How large a scenario is. Sizes are compared field by field, so the fields stand in the order of
/// their importance to a reader.
///
/// Shrinking only ever replaces a scenario with a smaller one. Every field is a count, so this
/// cannot go on for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size {
    /// Operations and faults that depend on the seed.
    drawn: usize,
    /// Operations and faults. Drawn delays count as one: they stand for at least one message that
    /// takes a time of its own.
    pub(super) events: usize,
    drawn_delays: usize,
    followers: usize,
    write_quorum: usize,
    /// The sum of the numbers of all clients, so that fewer and lower ones are smaller.
    clients: u64,
    keys: usize,
    /// Settings that differ from their defaults, and pauses, which only one engine can play.
    unusual: usize,
    /// The sum of the limits that differ from their defaults: a lower one is reached by fewer writes.
    limits: usize,
    /// Milliseconds until the first event.
    first_ms: u64,
    /// Digits that a reader has to look at in times.
    roughness: usize,
    /// Operations and faults that stand behind one that happens later.
    disorder: usize,
    /// Bytes of the scenario file.
    text: usize,
}

impl Size {
    /// Measures a scenario whose file has this text.
    pub(super) fn of(scenario: &Scenario, text: &str) -> Self {
        let usual = ClusterSpec::default();
        let ClusterSpec { write_quorum, window, part_keys, delay_ms, .. } = &scenario.cluster;
        let explicit = &scenario.workload.explicit;
        let clients: BTreeSet<u16> = explicit.iter().map(|operation| operation.client).collect();
        let keys: BTreeSet<&Key> = explicit.iter().map(|operation| &operation.key).collect();
        let limits = [(*window, usual.window), (*part_keys, usual.part_keys)];
        let settings = [*window != usual.window, *part_keys != usual.part_keys, *delay_ms != [USUAL_DELAY_MS; 2]];
        let drawn_delays = usize::from(delay_ms[0] != delay_ms[1]);
        let is_pause = |kind: &FaultKind| matches!(kind, FaultKind::Pause(_) | FaultKind::Resume(_));
        Self {
            drawn: parts::drawn(scenario),
            events: parts::count(scenario) + drawn_delays,
            drawn_delays,
            followers: scenario.cluster.all_followers(),
            write_quorum: *write_quorum,
            clients: clients.into_iter().map(u64::from).sum(),
            keys: keys.len(),
            unusual: settings.into_iter().filter(|differs| *differs).count()
                + scenario.faults.iter().filter(|fault| is_pause(&fault.kind)).count(),
            limits: limits.into_iter().filter(|(limit, usual)| limit != usual).map(|(limit, _)| limit).sum(),
            first_ms: first_ms(scenario),
            roughness: roughness(scenario),
            disorder: disorder(scenario),
            text: text.len(),
        }
    }
}
