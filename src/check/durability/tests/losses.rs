//! What is gone is lost if more failed than a quorum of 2 of 3 tolerates, which is one memory, and violated otherwise.

use crate::base::Member;
use crate::base::trace::Disturbance;
use crate::check::durability::*;
use crate::check::testing::{Story, c, dump, f, key, stamp, value};

const N1: NodeId = NodeId::FIRST_SERVER;
const N2: NodeId = NodeId::Server(1);

/// Three followers with their memory; f1 and f2 store an acknowledged write.
fn acknowledged() -> Story {
    let mut story = Story::new();
    for id in 1..=3 {
        story.event(f(id).into(), Event::Install { epoch: Epoch::FIRST });
    }
    story.event(N1, Event::Serve { epoch: Epoch::FIRST });
    story.at(1).invoke_set(c(3), 2, "k1", "\"a\"").accept(1, "k1", 1, "\"a\"");
    story.at(5).apply(f(1), "k1", 1, "\"a\"").apply(f(2), "k1", 1, "\"a\"");
    story.at(9).complete(1, true, 2).wrote(c(3), 2, Outcome::Ok, 1);
    story
}

/// These followers and the leader restart.
fn restart(story: &mut Story, followers: &[u8]) {
    for id in followers {
        story.at(20).crash(f(*id)).restart(f(*id));
    }
    story.at(21).crash(N1).at(22).restart(N1);
}

/// A leader recovers, with the write or without, and serves.
fn serve(story: &mut Story, leader: NodeId, epoch: u64, has_it: bool) {
    serve_from(story, leader, epoch, has_it, &[]);
}

/// The same, after it has read what these followers store.
fn serve_from(story: &mut Story, leader: NodeId, epoch: u64, has_it: bool, from: &[u8]) {
    let from = from.iter().copied().map(f).collect();
    let epoch = Epoch::new(epoch);
    story.at(30);
    if has_it {
        let stamp = Stamp { epoch, ..stamp(1) };
        story.event(leader, Event::Recover { key: key("k1"), stamp, value: Some(value("\"a\"")) });
    }
    story.event(leader, Event::Recovered { epoch, from, anew: !has_it });
    story.event(leader, Event::Serve { epoch });
}

fn accept_loss(story: &mut Story, ms: u64) {
    let (kind, nodes) = (Disturbance::AcceptLoss, vec![N1]);
    story.at(ms).event(NodeId::Network, Event::Fault { kind, nodes, latency: None, what: String::new() });
}

/// These followers promise the next leader its epoch.
fn promise(story: &mut Story, ms: u64, by: &[u8]) {
    for id in by {
        story.at(ms).event(f(*id).into(), Event::Promise { epoch: Epoch::new(2), leader: 1 });
    }
}

fn misdirect(story: &mut Story, ms: u64, name: u8, to: u8) {
    let (kind, nodes) = (Disturbance::Misdirect, vec![f(name).into(), f(to).into()]);
    story.at(ms).event(NodeId::Network, Event::Fault { kind, nodes, latency: None, what: String::new() });
}

/// Every name leads to its own follower again.
fn healed() -> Event {
    Event::Fault { kind: Disturbance::Heal, nodes: Vec::new(), latency: None, what: String::new() }
}

const GONE: &str =
    "n1 acknowledged k1 v1 (c3#2) at 9 ms; n1 crashed at 21 ms, and at 30 ms n1 serves with nothing instead";

/// Asserts that a run is violated, with this sentence.
#[track_caller]
fn is_violated(story: &Story, sentence: &str) {
    assert_eq!(story.evidence(check), [sentence]);
}

#[test]
fn what_only_lost_memories_had_is_lost_if_no_follower_has_its_memory() {
    let restarted = |followers: &[u8]| {
        let mut story = acknowledged();
        restart(&mut story, followers);
        serve(&mut story, N1, 2, false);
        story
    };
    let because = "no follower had its memory, where a recovery takes 2, and the cluster began anew";
    assert_eq!(restarted(&[1, 2, 3]).losses(check), [format!("{GONE}: {because}")]);
    // The leader had to wait for an operator, or did not find what it had to find.
    is_violated(&restarted(&[1, 2]), GONE);
    is_violated(&restarted(&[1]), GONE);
    is_violated(&restarted(&[]), GONE);
}

#[test]
fn what_an_operator_gives_up_is_lost_if_too_few_followers_were_asked() {
    let accepted = |restarted: &[u8], at, asked: &[u8]| {
        let mut story = acknowledged();
        restart(&mut story, restarted);
        accept_loss(&mut story, at);
        story.in_order_of_time();
        serve_from(&mut story, N1, 2, false, asked);
        story
    };
    let because = "an operator accepted the loss at 25 ms, and the leader went on with 1 of the 2 followers that a recovery takes";
    assert_eq!(accepted(&[1, 2], 25, &[3]).losses(check), [format!("{GONE}: {because}")]);
    // f2 has its memory and the write, but was not reached.
    assert_eq!(accepted(&[1], 25, &[3]).losses(check), [format!("{GONE}: {because}")]);
    is_violated(&accepted(&[1], 25, &[2, 3]), GONE);
    is_violated(&accepted(&[1, 2], 15, &[3]), GONE);
}

/// The name of f3 leads to f2, which is no member under its own name, and confirms the write; then the name leads to f3 again.
#[test]
fn what_is_counted_under_a_name_that_leads_elsewhere_then_is_lost() {
    let counted = |is_misdirected: bool, confirmed_by: &[u8], crashes: bool| {
        let mut story = Story::new();
        for id in 1..=3 {
            story.event(f(id).into(), Event::Install { epoch: Epoch::FIRST });
        }
        if is_misdirected {
            misdirect(&mut story, 0, 3, 2);
        }
        story.at(1).invoke_set(c(3), 2, "k1", "\"a\"").accept(1, "k1", 1, "\"a\"").at(5);
        for id in confirmed_by {
            story.apply(f(*id), "k1", 1, "\"a\"");
        }
        story.at(9).complete(1, true, 1).at(10).event(NodeId::Network, healed());
        if crashes {
            story.at(20).crash(f(2)).restart(f(2));
        }
        story.at(21).crash(N1).at(22).restart(N1);
        let members: Vec<Member> = [1, 3].map(|id| Member::from(f(id))).to_vec();
        story.facts.members.extend([(0, members.clone()), (1, members)]);
        story.facts.write_quorum = 1;
        promise(&mut story, 25, &[1, 3]);
        serve_from(&mut story, N1, 2, false, &[1, 3]);
        story
    };
    let because = "f2, which confirmed it, was counted under the name of another follower";
    assert_eq!(counted(true, &[2], false).losses(check), [format!("{GONE}: {because}")]);
    assert_eq!(counted(true, &[2], true).losses(check), [format!("{GONE}: {because}")]);
    is_violated(&counted(false, &[2], false), GONE);
    // It took nobody else's name to acknowledge it.
    is_violated(&counted(true, &[1, 2], false), GONE);
}

/// The name of f2, which has the write, leads to f3 when the next leader asks what is stored.
#[test]
fn what_is_not_found_because_a_name_leads_elsewhere_is_lost() {
    let asked = |moved: u64, until: u64, from: &[u8]| {
        let mut story = acknowledged();
        misdirect(&mut story, moved, 2, 3);
        story.at(until).event(NodeId::Network, healed());
        restart(&mut story, &[1]);
        promise(&mut story, 25, &[2, 3]);
        story.in_order_of_time();
        serve_from(&mut story, N1, 2, false, from);
        story
    };
    let because = "the name of f2 led to another follower when the leader asked what is stored";
    assert_eq!(asked(15, 29, &[2, 3]).losses(check), [format!("{GONE}: {because}")]);
    assert_eq!(asked(15, 25, &[2, 3]).losses(check), [format!("{GONE}: {because}")]);
    is_violated(&asked(15, 29, &[2]), GONE);
    // By the time of the promise the name leads to f2 again.
    is_violated(&asked(15, 24, &[2, 3]), GONE);
    is_violated(&asked(15, 29, &[1, 3]), GONE);
}

/// What is given up at one start is not given up at the next.
#[test]
fn a_loss_is_accepted_for_one_start() {
    let mut story = acknowledged();
    restart(&mut story, &[1, 2]);
    accept_loss(&mut story, 25);
    story.at(26).crash(N1).restart(N1);
    serve(&mut story, N1, 2, false);
    is_violated(&story, GONE);
}

#[test]
fn what_a_follower_lost_without_noticing_may_be_lost_with_one_memory_more() {
    let lost = |is_repaired: bool, restarted: &[u8]| {
        let mut story = acknowledged();
        story.at(10).event(f(1).into(), Event::LoseKey { key: key("k1"), stamp: stamp(1) });
        if is_repaired {
            story.at(11).apply(f(1), "k1", 1, "\"a\"");
        }
        restart(&mut story, restarted);
        serve(&mut story, N1, 2, false);
        story
    };
    let because = "only 1 of the 2 followers that a recovery takes had their memory, but for those that had lost the key \
                   without noticing";
    assert_eq!(lost(false, &[2]).losses(check), [format!("{GONE}: {because}")]);
    is_violated(&lost(true, &[2]), GONE);
    is_violated(&lost(false, &[]), GONE);
}

/// A leader that recovers with less crashes before it serves; the next one finds enough memories, and none that has it.
#[test]
fn a_loss_stands_when_the_leader_that_found_it_never_serves() {
    let mut story = acknowledged();
    restart(&mut story, &[1, 2, 3]);
    story.at(25).event(N1, Event::Recovered { epoch: Epoch::new(2), from: Vec::new(), anew: true });
    for id in 1..=3 {
        story.event(f(id).into(), Event::Install { epoch: Epoch::new(2) });
    }
    story.at(27).crash(N1).restart(N1);
    serve(&mut story, N1, 3, false);
    assert_eq!(story.losses(check).len(), 1);
}

/// Nothing remembers anything but the leader, which steps down and begins anew.
#[test]
fn what_a_leader_that_served_gives_up_is_no_documented_loss() {
    let begins = |has_served: bool| {
        let mut story = acknowledged();
        if !has_served {
            story.at(19).crash(N1).restart(N1);
        }
        for id in 1..=3 {
            story.at(20).crash(f(id)).restart(f(id));
        }
        story.at(25).event(N1, Event::StepDown { promised: Epoch::new(2) });
        serve(&mut story, N1, 3, false);
        story.verdict(check)
    };
    assert!(begins(true).is_violated());
    assert!(begins(false).is_lost());
}

/// f1 never had the write, f2 lost it without noticing, and f3 has it and is not asked.
#[test]
fn what_those_that_were_asked_lost_without_noticing_is_lost() {
    let asked = |is_lost: bool, from: &[u8]| {
        let mut story = Story::new();
        for id in 1..=3 {
            story.event(f(id).into(), Event::Install { epoch: Epoch::FIRST });
        }
        story.at(1).invoke_set(c(3), 2, "k1", "\"a\"").accept(1, "k1", 1, "\"a\"");
        story.at(5).apply(f(2), "k1", 1, "\"a\"").apply(f(3), "k1", 1, "\"a\"").at(9).complete(1, true, 2);
        if is_lost {
            story.at(10).event(f(2).into(), Event::LoseKey { key: key("k1"), stamp: stamp(1) });
        }
        restart(&mut story, &[]);
        serve_from(&mut story, N1, 2, false, from);
        story.verdict(check)
    };
    assert!(asked(true, &[1, 2]).is_lost());
    assert!(asked(false, &[1, 2]).is_violated());
    assert!(asked(true, &[1, 3]).is_violated());
}

/// What is found again is protected again.
#[test]
fn a_loss_is_forgotten_when_a_later_leader_has_it() {
    let mut story = acknowledged();
    restart(&mut story, &[1, 2]);
    accept_loss(&mut story, 25);
    story
        .event(N1, Event::Recovered { epoch: Epoch::new(2), from: Vec::new(), anew: true })
        .at(27)
        .crash(N1)
        .restart(N1);
    serve(&mut story, N1, 3, true);
    story.at(40).crash(N1).restart(N1);
    for id in 1..=3 {
        story.event(f(id).into(), Event::Install { epoch: Epoch::new(3) });
    }
    serve(&mut story, N1, 4, false);
    assert_eq!(story.evidence(check).len(), 2, "f1 was brought up to date without it, and n1 serves without it");
}

/// Two leaders, n1 and n2, both of which have the write; all followers lose their memory, and in the end n2 has nothing.
#[test]
fn what_one_of_two_leaders_has_is_lost_if_no_follower_knows_which_is_the_later() {
    let two_leaders = |ended: Option<u64>, restarted: &[u8]| {
        let mut story = acknowledged();
        story.at(15).restart(N2);
        serve(&mut story, N2, 2, true);
        for id in restarted {
            story.at(40).crash(f(*id)).restart(f(*id));
        }
        if let Some(at) = ended {
            story.at(at).crash(N1);
        }
        story.in_order_of_time().ends_with(N2, dump(&[]));
        story
    };
    let gone = "n1 acknowledged k1 v1 (c3#2) at 9 ms, and in the end it has nothing for k1";
    let crashed = "n1 acknowledged k1 v1 (c3#2) at 9 ms; n1 crashed at 39 ms, and in the end it has nothing for k1";
    let because = "all followers had lost their memory by 40 ms while two leaders ran, and none of them could tell which one \
                   is the later";
    assert_eq!(two_leaders(None, &[1, 2, 3]).losses(check), [format!("{gone}: {because}")]);
    is_violated(&two_leaders(None, &[1, 2]), gone);
    is_violated(&two_leaders(Some(39), &[1, 2, 3]), crashed);
    // The conflict is over when one of them is, and the other has it.
    is_violated(&two_leaders(Some(50), &[1, 2, 3]), &crashed.replace("39", "50"));
}

#[test]
fn what_no_node_stores_is_lost_while_the_leader_waits() {
    let waits = |restarted: &[u8], gives_up: bool| {
        let mut story = acknowledged();
        restart(&mut story, restarted);
        if gives_up {
            story.at(25).event(f(2).into(), Event::Discard { key: key("k1"), stamp: stamp(1) });
        }
        story
    };
    let gone = "n1 acknowledged k1 v1 (c3#2) at 9 ms; n1 crashed at 21 ms, and in the end no node stores that of k1";
    let because =
        "only 1 of the 2 followers that a recovery takes had their memory, and the leader waits for an operator";
    assert_eq!(waits(&[1, 2], false).losses(check), [format!("{gone}: {because}")]);
    assert_eq!(waits(&[1, 3], false).holds(check), "1 acknowledged write, 3 crashes", "f2 stores it");
    let evidence = waits(&[1], true).evidence(check);
    assert_eq!(evidence.len(), 2, "f2 gave it up: {evidence:?}");
    assert_eq!(evidence[1], gone);
}
