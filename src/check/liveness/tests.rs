use super::*;
use crate::base::Epoch;
use crate::base::trace::Disturbance;
use crate::check::testing::{Story, c, f};

#[test]
fn a_right_run_is_not_accused() {
    let mut story = Story::new();
    story.at(1).invoke_set(c(1), 1, "k", "1").at(2).accept(1, "k", 1, "1").at(5002).complete(1, false, 0);
    story.at(5003).wrote(c(1), 1, Outcome::Unknown, 1).invoke_set(c(1), 2, "k", "2").accept(2, "k", 2, "2");
    story.at(6000).crash(NodeId::FIRST_SERVER).wrote(c(1), 2, Outcome::Unknown, 0).restart(NodeId::FIRST_SERVER);
    story.at(12_000);
    story.facts.healed_at = Some(story.len());
    story.invoke_set(c(2), 1, "k", "3").accept(1, "k", 1, "3").complete(1, true, 2).wrote(c(2), 1, Outcome::Ok, 1);
    story.invoke_get(c(2), 2, f(1).into(), "k");
    assert_eq!(story.holds(check), "4 operations returned; 1 write after the network was healed");
}

#[test]
fn an_operation_that_never_returns() {
    let mut story = Story::new();
    story
        .at(1)
        .invoke_set(c(1), 1, "k", "1")
        .invoke_get(c(2), 1, f(2).into(), "k")
        .at(6000)
        .crash(NodeId::FIRST_SERVER);
    assert_eq!(story.evidence(check), ["c2#1, a read of k at f2, was invoked at 1 ms and never returned"]);
}

#[test]
fn an_operation_that_returns_late() {
    let read = |down: bool| {
        let mut story = Story::new();
        if down {
            story.at(1).crash(f(2)).at(9).restart(f(2)).at(10).crash(f(2));
        }
        story.at(20).invoke_get(c(2), 1, f(2).into(), "k").at(60_020).found(c(2), 1, 1, "1");
        story
    };
    assert_eq!(
        read(false).evidence(check),
        ["c2#1, a read of k at f2, was invoked at 20 ms and returned at 60020 ms only"]
    );
    assert_eq!(read(true).holds(check), "1 operation returned", "nobody was there to answer");
}

fn disturb(story: &mut Story, at: u64, kind: Disturbance, node: impl Into<NodeId>) {
    let fault = Event::Fault { kind, nodes: vec![node.into()], latency: None, what: String::new() };
    story.at(at).event(NodeId::Network, fault);
}

/// A late write and a late read of f1; what is done to whom, and when.
fn late(disturbances: &[(u64, Disturbance, NodeId)]) -> Story {
    let mut story = Story::new();
    story.at(10).invoke_set(c(1), 1, "k", "1").at(11).accept(1, "k", 1, "1").invoke_get(c(2), 1, f(1).into(), "k");
    for (at, kind, node) in disturbances {
        disturb(&mut story, *at, *kind, *node);
    }
    story.at(9000).found(c(2), 1, 0, "").complete(1, false, 0).wrote(c(1), 1, Outcome::Unknown, 1);
    story.in_order_of_time();
    story
}

const LATE_READ: &str = "c2#1, a read of k at f1, was invoked at 11 ms and returned at 9000 ms only";
const LATE_WRITE: &str = "c1#1, a write of k at n1, was invoked at 10 ms and returned at 9000 ms only";
const LATE_ANSWER: &str = "n1 accepted k v1 (c1#1) at 11 ms and answered it at 9000 ms only; the timeout is 5000 ms";

/// Who is stopped, or a leader whose clock is wrong, is not blamed; everybody else is.
#[test]
fn a_pause_and_a_wrong_clock_excuse_their_node() {
    use Disturbance::{ClockOff, ClockRight, Heal, Pause, Resume};
    let (leader, f1) = (NodeId::FIRST_SERVER, NodeId::from(f(1)));
    let all = [LATE_WRITE, LATE_READ, LATE_ANSWER];
    let of_leader = [LATE_WRITE, LATE_ANSWER];
    for (disturbances, blamed) in [
        (&[][..], &all[..]),
        (&[(20, Pause, leader), (8000, Resume, leader)], &[LATE_READ]),
        (&[(20, Pause, leader)], &[LATE_READ]),
        (&[(20, Pause, f1), (8000, Resume, f1)], &of_leader),
        (&[(20, Pause, f(2).into()), (8000, Resume, f(2).into())], &all),
        (&[(20, ClockOff, leader), (8000, ClockRight, leader)], &[LATE_READ]),
        // A follower has no timers.
        (&[(20, ClockOff, f1), (8000, ClockRight, f1)], &all),
        // What was over before, or by healing, excuses nothing.
        (&[(1, Pause, leader), (2, Resume, leader), (3, ClockOff, leader), (4, ClockRight, leader)], &all),
        (&[(1, Pause, leader), (2, ClockOff, leader), (3, Pause, f1), (5, Heal, NodeId::Network)], &all),
    ] {
        assert_eq!(late(disturbances).evidence(check), blamed, "{disturbances:?}");
    }
}

/// Who was stopped and is killed is not stopped in its next life, unless it is stopped while it is down.
#[test]
fn a_pause_ends_with_the_life_of_its_node() {
    let read = |stopped_at: u64, killed_at: u64| {
        let mut story = Story::new();
        disturb(&mut story, stopped_at, Disturbance::Pause, f(2));
        story.at(killed_at).crash(f(2)).at(9).restart(f(2));
        story.at(20).invoke_get(c(2), 1, f(2).into(), "k").at(60_020).found(c(2), 1, 1, "1");
        story.in_order_of_time();
        story
    };
    assert_eq!(read(1, 3).evidence(check).len(), 1);
    assert_eq!(read(3, 1).holds(check), "1 operation returned");
}

#[test]
fn a_write_that_fails_though_nothing_is_wrong() {
    let mut story = Story::new();
    story.facts.faulty = false;
    story.at(1).invoke_set(c(1), 1, "k", "1").at(5002).wrote(c(1), 1, Outcome::Unknown, 1);
    assert_eq!(
        story.evidence(check),
        ["c1#1, a write of k at 1 ms, without any fault, was not acknowledged at 5002 ms"]
    );
    story.at(6000).accept(2, "k", 2, "2").send(2, f(1), 1).at(6001);
    assert_eq!(story.holds(check), "1 operation returned", "a window was full");
}

#[test]
fn a_late_answer_and_none_at_all() {
    let mut story = Story::new();
    story.at(1).accept(1, "k", 1, "1").at(2).accept(2, "k", 2, "2").at(5100).complete(1, false, 0);
    assert_eq!(
        story.evidence(check),
        [
            "n1 accepted k v1 at 1 ms and answered it at 5100 ms only; the timeout is 5000 ms",
            "n1 accepted k v2 at 2 ms and had not answered it when the run ended at 5100 ms"
        ]
    );
}

#[test]
fn a_write_that_fails_after_all_was_healed() {
    let mut story = Story::new();
    story.facts.healed_at = Some(0);
    story.at(1).invoke_set(c(1), 1, "k", "1").at(5002).wrote(c(1), 1, Outcome::Unknown, 1);
    assert_eq!(
        story.evidence(check),
        ["c1#1, a write of k at 1 ms, after all was healed, was not acknowledged at 5002 ms"]
    );
    story.facts.delay.1 = Duration::from_secs(6);
    assert_eq!(story.holds(check), "1 operation returned; the timeout is too short to promise more");
}

const LEADER: NodeId = NodeId::FIRST_SERVER;

/// The deadline of an operation: the timeout of 5 s, six latencies of 1 ms, and 5 ms.
const DEADLINE_MS: u64 = 5011;

/// An operation at f2 that is invoked at 20 ms; what is done to f2; and when it returns.
fn read_at_f2(returned_us: u64, happens: impl Fn(&mut Story)) -> Story {
    let mut story = Story::new();
    story.at(20).invoke_get(c(2), 1, f(2).into(), "k");
    happens(&mut story);
    story.at_us(returned_us).found(c(2), 1, 1, "1");
    story.in_order_of_time();
    story
}

/// Asserts that an operation which returns at this time is excused, and 1 µs later it is not.
#[track_caller]
fn is_excused_until(last_ms: u64, excuse: Excuse, story: impl Fn(u64) -> Story) {
    assert_eq!(story(last_ms * 1000).excuses(check), [(excuse, 1)]);
    assert!(story(last_ms * 1000 + 1).verdict(check).is_violated());
}

#[test]
fn without_an_outage_the_deadline_holds() {
    let read = |us| read_at_f2(us, |_| ());
    assert_eq!(read((20 + DEADLINE_MS) * 1000).excuses(check), []);
    assert!(read((20 + DEADLINE_MS) * 1000 + 1).verdict(check).is_violated());
}

#[test]
fn a_node_that_was_down_has_its_deadline_after_the_restart() {
    let restarted = |us| {
        read_at_f2(us, |story| {
            story.at(30).crash(f(2)).at(9000).restart(f(2));
        })
    };
    is_excused_until(9000 + DEADLINE_MS, Excuse::NodeDown, restarted);
    // A client waits 60 s, the timeout and ten latencies; 5 ms are for ticks.
    let down = |us| {
        read_at_f2(us, |story| {
            story.at(30).crash(f(2));
        })
    };
    is_excused_until(20 + 65_015, Excuse::NodeDown, down);
    let long = |us| {
        read_at_f2(us, |story| {
            story.at(30).crash(f(2)).at(64_000).restart(f(2));
        })
    };
    is_excused_until(20 + 65_015, Excuse::NodeDown, long);
}

/// What is lost on a link that is cut is lost; the client notices by its own timeout. A link that carries again excuses
/// nothing that begins then.
#[test]
fn an_operation_over_a_link_that_is_cut_lasts_as_long_as_its_client_waits() {
    let read = |us, client, cut: u64, mended: u64| {
        read_at_f2(us, |story| {
            let link =
                |kind| Event::Fault { kind, nodes: vec![f(2).into(), client], latency: None, what: String::new() };
            story.at(cut).event(NodeId::Network, link(Disturbance::Cut));
            story.at(mended).event(NodeId::Network, link(Disturbance::Mend));
        })
    };
    let late = (20 + DEADLINE_MS) * 1000 + 1;
    is_excused_until(20 + 65_015, Excuse::ClientLink, |us| read(us, c(2), 10, 25));
    assert!(read(late, c(2), 10, 15).verdict(check).is_violated(), "the link carries again");
    assert!(read(late, c(3), 10, 25).verdict(check).is_violated(), "the link of another client");
}

#[test]
fn a_node_that_was_stopped_has_its_deadline_after_it_went_on() {
    let paused = |us| {
        read_at_f2(us, |story| {
            disturb(story, 30, Disturbance::Pause, f(2));
            disturb(story, 9000, Disturbance::Resume, f(2));
        })
    };
    is_excused_until(9000 + DEADLINE_MS, Excuse::NodePaused, paused);
}

#[test]
fn a_leader_whose_clock_was_wrong_has_its_deadline_after_it_was_right() {
    let read = |us| {
        let mut story = Story::new();
        story.at(20).invoke_get(c(2), 1, LEADER, "k");
        disturb(&mut story, 30, Disturbance::ClockOff, LEADER);
        disturb(&mut story, 9000, Disturbance::ClockRight, LEADER);
        story.at_us(us).found(c(2), 1, 1, "1");
        story
    };
    is_excused_until(9000 + DEADLINE_MS, Excuse::WrongClock, read);
}

/// A leader that recovers keeps a request for a second, or until it serves.
#[test]
fn a_leader_that_recovers_has_its_deadline_a_second_later() {
    let read = |serves_at: Option<u64>| {
        move |us| {
            let mut story = Story::new();
            story.at(1).event(LEADER, Event::Serve { epoch: Epoch::FIRST }).at(5).crash(LEADER).at(10).restart(LEADER);
            story.at(20).invoke_get(c(2), 1, LEADER, "k");
            if let Some(at) = serves_at {
                story.at(at).event(LEADER, Event::Serve { epoch: Epoch::new(2) });
            }
            story.at_us(us).found(c(2), 1, 1, "1");
            story
        }
    };
    is_excused_until(20 + 1000 + DEADLINE_MS, Excuse::LeaderStarting, read(None));
    is_excused_until(300 + DEADLINE_MS, Excuse::LeaderStarting, read(Some(300)));
    is_excused_until(20 + 1000 + DEADLINE_MS, Excuse::LeaderStarting, read(Some(3000)));
}

/// A timeout of less than four latencies of 1 ms and 10 ms: the leader may not serve yet when the records begin.
#[test]
fn a_leader_that_cannot_ask_anyone_in_time_keeps_what_comes_for_a_second() {
    let read = |timeout_ms: u64, is_written: bool, returned_ms: u64| {
        let mut story = Story::new();
        story.facts.repl_timeout = Duration::from_millis(timeout_ms);
        if is_written {
            story.accept(1, "k", 1, "1").complete(1, true, 2);
        }
        story.at(20).invoke_get(c(2), 1, LEADER, "k").at(returned_ms).found(c(2), 1, 0, "");
        story
    };
    let last = 20 + 1000 + 13 + 11;
    assert_eq!(read(13, false, last).excuses(check), [(Excuse::LeaderStarting, 1)]);
    assert_eq!(read(13, false, last + 1).evidence(check).len(), 1, "it refuses what it has kept for a second");
    assert_eq!(read(14, false, last).evidence(check).len(), 1, "it has been asked and answered by then");
    assert_eq!(read(13, true, last).evidence(check).len(), 1, "it serves");
}

/// The leader has the timeout of 5 s, two latencies and 5 ms to answer a write.
#[test]
fn a_leader_that_was_stopped_answers_a_write_in_time_after_it_went_on() {
    let write = |us| {
        let mut story = Story::new();
        story.at(20).accept(1, "k", 1, "1");
        disturb(&mut story, 30, Disturbance::Pause, LEADER);
        disturb(&mut story, 9000, Disturbance::Resume, LEADER);
        story.at_us(us).complete(1, false, 0);
        story
    };
    is_excused_until(9000 + 5007, Excuse::NodePaused, write);
}

/// A write that is not acknowledged after everything was healed.
fn refused() -> Story {
    let mut story = Story::new();
    story.facts.healed_at = Some(0);
    story.at(1).invoke_set(c(1), 1, "k", "1").at(5002).wrote(c(1), 1, Outcome::Unknown, 1);
    story
}

/// Six latencies of 1 ms and 10 ms below the timeout of 5 s.
#[test]
fn a_timeout_that_is_not_above_the_longest_delay_is_an_excuse() {
    let mut story = refused();
    story.facts.delay.1 = Duration::from_micros(4_984_000);
    assert!(story.verdict(check).is_violated());
    story.facts.delay.1 = Duration::from_micros(4_984_001);
    assert_eq!(story.excuses(check), [(Excuse::ShortTimeout, 1)]);
}

/// Three followers and a quorum of 2: two must have their memory.
#[test]
fn a_leader_that_waits_for_an_operator_is_an_excuse() {
    let with_memories_lost = |lost: u8| {
        let mut story = Story::new();
        story.at(0).event(LEADER, Event::Serve { epoch: Epoch::FIRST });
        for id in 1..=lost {
            story.crash(f(id)).restart(f(id));
        }
        story.crash(LEADER).restart(LEADER);
        story.facts.healed_at = Some(story.len());
        story.at(1).invoke_set(c(1), 1, "k", "1").at(1002).wrote(c(1), 1, Outcome::Failed, 0);
        story
    };
    assert!(with_memories_lost(1).verdict(check).is_violated());
    assert_eq!(with_memories_lost(2).excuses(check), [(Excuse::LeaderWaits, 1)]);
}

#[test]
fn a_full_window_is_an_excuse_without_faults() {
    let write = |sent: u8, is_healed: bool| {
        let mut story = refused();
        story.facts.faulty = false;
        story.facts.healed_at = is_healed.then_some(0);
        story.at(6000).accept(2, "k", 2, "2");
        (1..=sent).for_each(|id| {
            story.send(2, f(id), 1);
        });
        story.at(6001);
        story
    };
    assert!(write(3, false).verdict(check).is_violated(), "it was sent to all three");
    assert_eq!(write(2, false).excuses(check), [(Excuse::FullWindow, 1)]);
    assert!(write(2, true).verdict(check).is_violated(), "after healing, resends have had their time");
}
