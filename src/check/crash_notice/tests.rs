use super::*;
use crate::base::trace::Record;
use crate::check::testing::{Story, f};

const N1: NodeId = NodeId::FIRST_SERVER;

/// The notices after these records, of a cluster whose links take 1 ms.
fn after(records: &[Record]) -> CrashNotices {
    let mut notices = CrashNotices::new(&Story::new().facts);
    records.iter().for_each(|record| notices.follow(record));
    notices
}

fn fault(story: &mut Story, ms: u64, kind: Disturbance, nodes: &[NodeId]) {
    slow(story, ms, kind, nodes, None);
}

fn slow(story: &mut Story, ms: u64, kind: Disturbance, nodes: &[NodeId], latency_ms: Option<u64>) {
    let latency = latency_ms.map(|ms| Micros(ms * 1000));
    story.at(ms).event(NodeId::Network, Event::Fault { kind, nodes: nodes.to_vec(), latency, what: String::new() });
}

/// Asserts that a crash of f1 is unnoticed by n1 until this time, and for what reason, and not 1 µs longer.
#[track_caller]
fn is_unnoticed_until(story: &Story, crash_ms: u64, last: Micros, why: Excuse) {
    let notices = after(story.records());
    let excuse = |now| notices.excuse(N1, f(1), Micros(crash_ms * 1000), now);
    assert_eq!(excuse(last), Some(why));
    assert_eq!(excuse(Micros(last.0 + 1)), None);
}

fn ms(ms: u64) -> Micros {
    Micros(ms * 1000)
}

#[test]
fn a_notice_takes_the_latency_of_the_link_and_a_tick() {
    let mut story = Story::new();
    story.at(10).crash(f(1));
    is_unnoticed_until(&story, 10, ms(12), Excuse::LateNotice);
    let notices = after(story.records());
    assert_eq!(notices.excuse(N1, f(2), ms(10), ms(10)), None, "f2 has not crashed");
    assert_eq!(notices.excuse(N1, f(1), ms(9), ms(10)), None, "nor has f1 at another time");
}

#[test]
fn a_notice_takes_what_is_left_of_a_greater_latency() {
    let link = [f(1).into(), N1];
    let mut story = Story::new();
    slow(&mut story, 1, Disturbance::Latency, &link, Some(300));
    story.at(10).crash(f(1));
    is_unnoticed_until(&story, 10, ms(311), Excuse::LateNotice);
    // What was sent before the link became fast again arrives first, at 320 ms.
    let mut story = Story::new();
    slow(&mut story, 1, Disturbance::Latency, &link, Some(300));
    slow(&mut story, 20, Disturbance::Latency, &link, Some(1));
    story.at(30).crash(f(1));
    is_unnoticed_until(&story, 30, ms(321), Excuse::LateNotice);
    // By then nothing is left of it.
    let mut story = Story::new();
    slow(&mut story, 1, Disturbance::Latency, &link, Some(300));
    slow(&mut story, 20, Disturbance::Latency, &link, Some(1));
    story.at(400).crash(f(1));
    is_unnoticed_until(&story, 400, ms(402), Excuse::LateNotice);
    // Another link, and a link that becomes slow after the crash, make no difference.
    let mut story = Story::new();
    slow(&mut story, 1, Disturbance::Latency, &[f(2).into(), N1], Some(300));
    story.at(10).crash(f(1));
    slow(&mut story, 11, Disturbance::Latency, &link, Some(300));
    is_unnoticed_until(&story, 10, ms(12), Excuse::LateNotice);
}

#[test]
fn a_notice_waits_for_the_end_of_a_hold() {
    let mut story = Story::new();
    fault(&mut story, 5, Disturbance::Hold, &[f(1).into()]);
    story.at(10).crash(f(1));
    fault(&mut story, 20, Disturbance::Hold, &[N1]);
    fault(&mut story, 30, Disturbance::Release, &[f(1).into()]);
    assert_eq!(after(story.records()).excuse(N1, f(1), ms(10), ms(900_000)), Some(Excuse::LateNotice), "held still");
    fault(&mut story, 50, Disturbance::Release, &[N1]);
    is_unnoticed_until(&story, 10, ms(51), Excuse::LateNotice);
    // A hold that begins once it has arrived holds nothing back.
    let mut story = Story::new();
    story.at(10).crash(f(1));
    fault(&mut story, 13, Disturbance::Hold, &[f(1).into()]);
    is_unnoticed_until(&story, 10, ms(12), Excuse::LateNotice);
}

#[test]
fn a_stopped_leader_notices_when_it_goes_on() {
    let mut story = Story::new();
    fault(&mut story, 5, Disturbance::Pause, &[N1]);
    story.at(10).crash(f(1));
    assert_eq!(after(story.records()).excuse(N1, f(1), ms(10), ms(900_000)), Some(Excuse::LateNotice));
    fault(&mut story, 50, Disturbance::Resume, &[N1]);
    is_unnoticed_until(&story, 10, ms(51), Excuse::LateNotice);
    // A follower that is stopped holds nothing back: its system ends the connections.
    let mut story = Story::new();
    fault(&mut story, 5, Disturbance::Pause, &[f(1).into()]);
    story.at(10).crash(f(1));
    is_unnoticed_until(&story, 10, ms(12), Excuse::LateNotice);
    // Healing ends both kinds of delay.
    let mut story = Story::new();
    fault(&mut story, 5, Disturbance::Pause, &[N1]);
    fault(&mut story, 6, Disturbance::Hold, &[f(1).into()]);
    story.at(10).crash(f(1));
    fault(&mut story, 60, Disturbance::Heal, &[]);
    is_unnoticed_until(&story, 10, ms(61), Excuse::LateNotice);
}

/// Twice the timeout of a write, 5 s, then 1 s, and six latencies of 1 ms.
const SILENCE_MS: u64 = 2 * 5000 + 1000 + 6;

/// By then the leader has asked the follower something and had no answer, whether or not the partition has ended.
#[test]
fn a_notice_that_a_partition_loses_is_made_up_for_by_a_question_without_an_answer() {
    let cut = [f(1).into(), N1];
    let mut story = Story::new();
    fault(&mut story, 5, Disturbance::Cut, &cut);
    story.at(10).crash(f(1)).at(15).restart(f(1));
    is_unnoticed_until(&story, 10, ms(11 + SILENCE_MS), Excuse::LostNotice);
    fault(&mut story, 20, Disturbance::Mend, &cut);
    is_unnoticed_until(&story, 10, ms(11 + SILENCE_MS), Excuse::LostNotice);
    // The leader has noticed it.
    story.at(30).event(N1, Event::Forgot { follower: f(1) });
    assert_eq!(after(story.records()).excuse(N1, f(1), ms(10), ms(30)), None);
}

#[test]
fn a_partition_loses_what_is_on_its_way_to_the_leader_and_nothing_else() {
    let cut_at = |cut_ms, from, to| {
        let mut story = Story::new();
        story.at(10).crash(f(1)).restart(f(1));
        fault(&mut story, cut_ms, Disturbance::Cut, &[from, to]);
        fault(&mut story, 40, Disturbance::Mend, &[from, to]);
        story
    };
    is_unnoticed_until(&cut_at(11, f(1).into(), N1), 10, ms(11 + SILENCE_MS), Excuse::LostNotice);
    is_unnoticed_until(&cut_at(12, f(1).into(), N1), 10, ms(12), Excuse::LateNotice);
    is_unnoticed_until(&cut_at(11, N1, f(1).into()), 10, ms(12), Excuse::LateNotice);
    is_unnoticed_until(&cut_at(11, f(2).into(), N1), 10, ms(12), Excuse::LateNotice);
    // What is held back is on its way.
    let mut story = Story::new();
    fault(&mut story, 5, Disturbance::Hold, &[f(1).into()]);
    story.at(10).crash(f(1)).restart(f(1));
    fault(&mut story, 20, Disturbance::Cut, &[f(1).into(), N1]);
    fault(&mut story, 30, Disturbance::Release, &[f(1).into()]);
    is_unnoticed_until(&story, 10, ms(11 + SILENCE_MS), Excuse::LostNotice);
}

#[test]
fn an_isolated_node_is_cut_off_in_both_directions() {
    let crashed = |reconnects: bool| {
        let mut story = Story::new();
        fault(&mut story, 5, Disturbance::Isolate, &[f(1).into()]);
        if reconnects {
            fault(&mut story, 7, Disturbance::Reconnect, &[f(1).into()]);
        }
        story.at(10).crash(f(1)).restart(f(1));
        story
    };
    is_unnoticed_until(&crashed(false), 10, ms(11 + SILENCE_MS), Excuse::LostNotice);
    is_unnoticed_until(&crashed(true), 10, ms(12), Excuse::LateNotice);
}

/// A leader that is stopped asks nothing, and one with a wrong clock asks at a wrong time.
#[test]
fn the_time_to_the_next_question_begins_when_the_leader_runs_with_a_right_clock() {
    let (cut, off, right) = ([f(1).into(), N1], Disturbance::ClockOff, Disturbance::ClockRight);
    for (wrong, right) in [(Disturbance::Pause, Disturbance::Resume), (off, right), (off, Disturbance::Heal)] {
        let mut story = Story::new();
        fault(&mut story, 4, wrong, &[N1]);
        fault(&mut story, 5, Disturbance::Cut, &cut);
        story.at(10).crash(f(1)).at(15).restart(f(1));
        assert_eq!(after(story.records()).excuse(N1, f(1), ms(10), ms(900_000)), Some(Excuse::LostNotice), "{wrong:?}");
        fault(&mut story, 30, right, &[N1]);
        is_unnoticed_until(&story, 10, ms(30 + SILENCE_MS), Excuse::LostNotice);
    }
}

/// What a leader must have noticed is not excused because it is stopped or its clock is wrong later.
#[test]
fn an_excuse_that_is_over_does_not_come_back() {
    for (wrong, right) in [(Disturbance::Pause, Disturbance::Resume), (Disturbance::ClockOff, Disturbance::ClockRight)]
    {
        for (stopped_at, excuse) in [(11 + SILENCE_MS, Some(Excuse::LostNotice)), (12 + SILENCE_MS, None)] {
            let mut story = Story::new();
            fault(&mut story, 5, Disturbance::Cut, &[f(1).into(), N1]);
            story.at(10).crash(f(1)).at(15).restart(f(1));
            fault(&mut story, stopped_at, wrong, &[N1]);
            fault(&mut story, stopped_at + 5, right, &[N1]);
            let notices = after(story.records());
            assert_eq!(notices.excuse(N1, f(1), ms(10), ms(stopped_at + 5)), excuse, "{wrong:?}");
        }
    }
}

/// A leader that closes connections because names lead to other nodes doubts whom they led to.
#[test]
fn names_that_lead_elsewhere_excuse_nothing() {
    let mut story = Story::new();
    fault(&mut story, 5, Disturbance::Misdirect, &[f(1).into(), f(2).into()]);
    story.at(8).event(N1, Event::Astray { follower: f(1), by: f(2) });
    story.at(10).crash(f(1)).restart(f(1));
    is_unnoticed_until(&story, 10, ms(12), Excuse::LateNotice);
}

/// A second leader has links of its own.
#[test]
fn each_leader_has_links_of_its_own() {
    let n2 = NodeId::Server(1);
    let mut story = Story::new();
    fault(&mut story, 5, Disturbance::Hold, &[f(1).into()]);
    story.at(6).restart(n2).at(10).crash(f(1));
    let notices = after(story.records());
    assert_eq!(notices.excuse(N1, f(1), ms(10), ms(900_000)), Some(Excuse::LateNotice));
    assert_eq!(notices.excuse(n2, f(1), ms(10), ms(12)), Some(Excuse::LateNotice));
    assert_eq!(notices.excuse(n2, f(1), ms(10), ms(13)), None);
}
