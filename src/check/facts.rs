use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::trace::{Disturbance, Event, Micros, Record};
use crate::base::{FollowerId, Member};

/// What a checker must know of the cluster and of the run, besides what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The number of followers.
    pub followers: usize,
    /// The configured quorum in the beginning.
    pub write_quorum: usize,
    /// The quorums of those lives of leaders that had another one.
    pub quorums: BTreeMap<u64, usize>,
    /// The configured deadline of a write.
    pub repl_timeout: Duration,
    /// The range of the emulated delays.
    pub delay: (Duration, Duration),
    /// The latency of a link, one way.
    pub link_latency: Duration,
    /// Whether anything was done to the network, the nodes or the messages: the latency law holds without only.
    pub faulty: bool,
    /// The first record after everything was healed; none if there was nothing to heal and nobody probed.
    pub healed_at: Option<usize>,
    /// How many first deliveries to one follower may be unanswered.
    pub window: usize,
    /// How many followers there are besides that are no members in the beginning.
    pub spares: usize,
    /// The members of those incarnations of leaders that had others than in the beginning.
    pub members: BTreeMap<u64, Vec<Member>>,
}

/// How much later than it is due something may happen: timers fire at the tick after they are due, and wake tasks that take
/// turns.
pub(super) const TICK_ROUNDING: Duration = Duration::from_millis(5);

impl Facts {
    /// What a trace says of itself: its first record describes the cluster. `None` if it does not, as in a trace whose
    /// beginning is missing, of which nothing can be told.
    pub fn from_records(records: &[Record]) -> Option<Self> {
        let Event::Cluster { followers, write_quorum, repl_timeout, delay, link, window, spares } =
            &records.first()?.event
        else {
            return None;
        };
        let delay = *delay;
        Some(Self {
            followers: *followers,
            write_quorum: *write_quorum,
            quorums: records.iter().filter_map(quorum).collect(),
            repl_timeout: (*repl_timeout).into(),
            delay: (delay.0.into(), delay.1.into()),
            link_latency: (*link).into(),
            faulty: records.iter().any(|record| is_fault(&record.event, delay)),
            healed_at: records.iter().position(|record| is_probe(&record.event)),
            window: *window,
            spares: *spares,
            members: records.iter().filter_map(members).collect(),
        })
    }
}

impl Facts {
    /// Whether a request over links of the usual latency is answered by its deadline: connecting takes two latencies, and the
    /// request and its response take two more.
    pub(super) fn is_answered_in_time(&self) -> bool {
        4 * self.link_latency + 2 * TICK_ROUNDING <= self.repl_timeout
    }

    /// How many followers must confirm what this life of a leader accepts.
    pub fn quorum_of(&self, life: u64) -> usize {
        self.quorums.get(&life).copied().unwrap_or(self.write_quorum)
    }

    /// How many followers there are, members or not.
    pub fn all_followers(&self) -> usize {
        self.followers + self.spares
    }

    /// The members that this incarnation of a leader replicates to.
    pub fn members_of(&self, incarnation: u64) -> Vec<Member> {
        let of_beginning = || FollowerId::first(self.followers).map(Member::from).collect();
        self.members.get(&incarnation).cloned().unwrap_or_else(of_beginning)
    }
}

fn quorum(record: &Record) -> Option<(u64, usize)> {
    match record.event {
        Event::Require { write_quorum, .. } => Some((record.incarnation, write_quorum)),
        _ => None,
    }
}

fn members(record: &Record) -> Option<(u64, Vec<Member>)> {
    match &record.event {
        Event::Require { members, .. } if !members.is_empty() => Some((record.incarnation, members.clone())),
        _ => None,
    }
}

fn is_probe(event: &Event) -> bool {
    matches!(event, Event::Fault { kind: Disturbance::Probe, .. })
}

/// Whether this does not happen by itself. A probe is recorded like a fault and does no harm.
fn is_fault(event: &Event, (shortest, longest): (Micros, Micros)) -> bool {
    match event {
        Event::Fault { .. } => !is_probe(event),
        Event::Crash | Event::Restart | Event::Rpc { .. } => true,
        Event::Send { delay, lost, copy, .. } => {
            lost.is_some() || copy.is_some() || !(shortest..=longest).contains(delay)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::NodeId;
    use crate::base::trace::{LostPart, MessageId, Micros, Rpc};
    use crate::check::testing::f;

    fn cluster() -> Event {
        Event::Cluster {
            followers: 3,
            write_quorum: 2,
            repl_timeout: Micros(5000),
            delay: (Micros(10), Micros(20)),
            link: Micros(1),
            window: 7,
            spares: 0,
        }
    }

    fn facts(events: &[Event]) -> Option<Facts> {
        let record =
            |event: &Event| Record { at: Micros(0), node: NodeId::Network, incarnation: 0, event: event.clone() };
        Facts::from_records(&events.iter().map(record).collect::<Vec<_>>())
    }

    fn send(delay: u64, lost: Option<LostPart>, copy: Option<Micros>) -> Event {
        Event::Send { message: MessageId { write: 1, to: f(1), attempt: 1 }, delay: Micros(delay), lost, copy }
    }

    fn fault(kind: Disturbance) -> Event {
        Event::Fault { kind, nodes: Vec::new(), latency: None, what: String::new() }
    }

    #[test]
    fn the_first_record_says_what_was_run() {
        let found = facts(&[cluster(), send(10, None, None), send(20, None, None)]).unwrap();
        let expected = Facts {
            followers: 3,
            write_quorum: 2,
            quorums: BTreeMap::new(),
            repl_timeout: Duration::from_millis(5),
            delay: (Duration::from_micros(10), Duration::from_micros(20)),
            link_latency: Duration::from_micros(1),
            faulty: false,
            healed_at: None,
            window: 7,
            spares: 0,
            members: BTreeMap::new(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_trace_without_its_beginning_says_nothing() {
        assert_eq!(facts(&[]), None);
        assert_eq!(facts(&[Event::Crash, cluster()]), None);
    }

    #[test]
    fn whatever_does_not_happen_by_itself_is_a_fault() {
        for event in [
            fault(Disturbance::Hold),
            fault(Disturbance::Heal),
            Event::Crash,
            Event::Rpc {
                to: f(1),
                rpc: Rpc::State,
                number: 1,
                delay: Micros(0),
                lost: Some(LostPart::Reply),
                copy: None,
            },
            send(15, Some(LostPart::Reply), None),
            send(15, None, Some(Micros(15))),
            send(9, None, None),
            send(21, None, None),
        ] {
            assert!(facts(&[cluster(), event.clone()]).unwrap().faulty, "{event:?}");
        }
    }

    #[test]
    fn probing_is_found_and_is_no_fault() {
        let found = facts(&[cluster(), send(15, None, None), fault(Disturbance::Probe), Event::Crash]).unwrap();
        assert_eq!(found.healed_at, Some(2));
        assert!(!facts(&[cluster(), fault(Disturbance::Probe)]).unwrap().faulty);
    }
}
