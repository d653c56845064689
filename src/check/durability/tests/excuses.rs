//! Each excuse just inside its bound and just past it.

use super::acknowledged;
use crate::base::ReadMode;
use crate::base::trace::{Disturbance, RequestId};
use crate::check::acknowledgement;
use crate::check::durability::*;
use crate::check::testing::{Story, c, dump, f, key, stamp, value};

const N1: NodeId = NodeId::FIRST_SERVER;

fn fault(story: &mut Story, ms: u64, kind: Disturbance, nodes: &[NodeId]) {
    let nodes = nodes.to_vec();
    story.at(ms).event(NodeId::Network, Event::Fault { kind, nodes, latency: None, what: String::new() });
}

/// f1 and f2 store the write, something happens, and n1 acknowledges it at 20 ms.
fn acknowledged_after(happens: impl Fn(&mut Story)) -> Story {
    let mut story = Story::new();
    story.at(1).invoke_set(c(3), 2, "k1", "\"a\"").accept(1, "k1", 1, "\"a\"");
    story.at(5).apply(f(1), "k1", 1, "\"a\"").apply(f(2), "k1", 1, "\"a\"");
    happens(&mut story);
    story.at(20).complete(1, true, 2);
    story
}

/// A link latency of 1 ms, and a tick.
#[test]
fn a_holder_that_crashed_within_a_link_latency() {
    let crashed_at = |us| {
        acknowledged_after(|story| {
            story.at_us(us).crash(f(2));
        })
    };
    assert_eq!(crashed_at(18_000).excuses(check), [(Excuse::LateNotice, 1)]);
    assert!(crashed_at(17_999).verdict(check).is_violated());
}

#[test]
fn a_holder_whose_crash_a_partition_hid() {
    let crashed = |is_cut: bool, is_noticed: bool| {
        acknowledged_after(|story| {
            if is_cut {
                fault(story, 6, Disturbance::Cut, &[f(2).into(), N1]);
            }
            story.at(8).crash(f(2));
            if is_noticed {
                story.at(19).event(N1, Event::Forgot { follower: f(2) });
            }
        })
    };
    assert_eq!(crashed(true, false).excuses(check), [(Excuse::LostNotice, 1)]);
    assert!(crashed(true, true).verdict(check).is_violated());
    assert!(crashed(false, false).verdict(check).is_violated());
}

/// f2 alone has it, twice.
#[test]
fn a_holder_that_is_found_again_under_another_name() {
    let restarted_at = |us: u64, name_leads_to: u8| {
        let mut story = Story::new();
        fault(&mut story, 0, Disturbance::Misdirect, &[f(3).into(), f(name_leads_to).into()]);
        story.at(1).invoke_set(c(3), 2, "k1", "\"a\"").accept(1, "k1", 1, "\"a\"").at(5).apply(f(2), "k1", 1, "\"a\"");
        story.at_us(us).crash(f(2)).restart(f(2)).apply(f(2), "k1", 1, "\"a\"").at(20).complete(1, true, 2);
        story
    };
    assert_eq!(restarted_at(18_000, 2).excuses(check), [(Excuse::TwoNames, 1)]);
    assert!(restarted_at(17_999, 2).verdict(check).is_violated());
    assert!(restarted_at(18_000, 1).verdict(check).is_violated());
}

/// Three followers that have been brought up to date, of which f1 and f2 hold an acknowledged write.
fn held() -> Story {
    let mut story = Story::new();
    for id in 1..=3 {
        story.event(f(id).into(), Event::Install { epoch: Epoch::FIRST });
    }
    story.at(1).invoke_set(c(3), 2, "k1", "\"a\"").accept(1, "k1", 1, "\"a\"");
    story.at(5).apply(f(1), "k1", 1, "\"a\"").apply(f(2), "k1", 1, "\"a\"").at(9).complete(1, true, 2);
    story
}

#[test]
fn a_holder_that_crashes_later_until_it_is_brought_up_to_date() {
    let crashed = |is_up_to_date: bool, has_it: bool| {
        let mut story = held();
        story.at(20).crash(f(1)).at(30).restart(f(1));
        if has_it {
            story.apply(f(1), "k1", 1, "\"a\"");
        }
        if is_up_to_date {
            story.at(31).event(f(1).into(), Event::Install { epoch: Epoch::FIRST });
        }
        story
    };
    assert_eq!(crashed(false, false).excuses(check), [(Excuse::CrashedHolder, 1)]);
    assert_eq!(crashed(true, true).excuses(check), [(Excuse::CrashedHolder, 1)]);
    assert_eq!(
        crashed(true, false).evidence(check),
        [
            "n1 acknowledged k1 v1 (c3#2) at 9 ms, but f1 was brought up to date at 31 ms without it, and f2 stored it, where 2 \
          must"
        ]
    );
}

#[test]
fn a_holder_that_loses_the_key_until_it_has_another_chance() {
    let lose = |story: &mut Story, ms, id: u8| {
        story.at(ms).event(f(id).into(), Event::LoseKey { key: key("k1"), stamp: stamp(1) });
    };
    let mut story = held();
    lose(&mut story, 20, 1);
    assert_eq!(story.excuses(check), [(Excuse::LostKey, 1)]);
    // What is acknowledged afterwards counts on it, too: the leader cannot know.
    let lost_before = |is_repaired: bool| {
        acknowledged_after(|story| {
            lose(story, 10, 1);
            if is_repaired {
                story.at(11).apply(f(1), "k1", 1, "\"a\"").at(12).crash(f(1));
            }
        })
    };
    assert_eq!(lost_before(false).excuses(check), [(Excuse::LostKey, 1)]);
    assert!(lost_before(true).verdict(check).is_violated(), "it had it again, and crashed");
    // Brought up to date without it, it does not hold it.
    story.at(30).event(f(1).into(), Event::Install { epoch: Epoch::FIRST });
    assert!(story.verdict(check).is_violated());
}

/// f2 never stored k1. It stored a later version of another key, and lost that one.
#[test]
fn the_loss_of_another_key_excuses_nothing() {
    let mut story = Story::new();
    story.at(1).invoke_set(c(2), 1, "k2", "\"b\"").accept(1, "k2", 2, "\"b\"").at(2).apply(f(2), "k2", 2, "\"b\"");
    story.at(3).event(f(2).into(), Event::LoseKey { key: key("k2"), stamp: stamp(2) });
    story.at(4).invoke_set(c(3), 2, "k1", "\"a\"").accept(2, "k1", 1, "\"a\"");
    story.at(5).apply(f(1), "k1", 1, "\"a\"").at(9).complete(2, true, 2);
    assert_eq!(story.evidence(check), ["n1 acknowledged k1 v1 (c3#2) at 9 ms, when only f1 stored it, where 2 must"]);
}

/// f2 lost v1 and takes v2, which is not above a floor, for a write whose deletion was collected.
#[test]
fn a_write_that_is_refused_because_the_key_was_lost() {
    let refused = |is_lost: bool, has_another_chance: fn(&mut Story)| {
        let mut story = held();
        let (key, request) = (key("k1"), Some(RequestId { incarnation: 0, number: 2 }));
        if is_lost {
            story.at(10).event(f(2).into(), Event::LoseKey { key: key.clone(), stamp: stamp(1) });
        }
        has_another_chance(story.at(11));
        story.at(12).invoke_set(c(1), 1, "k1", "\"b\"").accept(2, "k1", 2, "\"b\"").at(13).apply(
            f(1),
            "k1",
            2,
            "\"b\"",
        );
        story.at(14).event(f(2).into(), Event::Reject { request, key, stamp: stamp(2), stored: stamp(2) });
        story.at(20).complete(2, true, 2);
        story
    };
    let nothing: fn(&mut Story) = |_| {};
    let excused = refused(true, nothing);
    assert_eq!(excused.excuses(check).last(), Some(&(Excuse::LostKey, 2)), "v1, which it lost, and v2");
    assert_eq!(excused.excuses(acknowledgement::check), [(Excuse::LostKey, 1)]);
    let stored_again: fn(&mut Story) = |story| {
        story.apply(f(2), "k1", 1, "\"a\"");
    };
    let up_to_date: fn(&mut Story) = |story| {
        story.event(f(2).into(), Event::Install { epoch: Epoch::new(2) });
    };
    for story in [refused(false, nothing), refused(true, stored_again), refused(true, up_to_date)] {
        assert!(story.verdict(acknowledgement::check).is_violated());
        assert!(story.verdict(check).is_violated());
    }
}

/// A repair in the same epoch brings no deletions, which readers cannot miss; a leader of a later epoch brings all.
#[test]
fn a_lost_deletion_is_excused_until_a_later_epoch() {
    let lost = |epoch: u64| {
        let mut story = held();
        story.at(11).invoke_delete(c(1), 1, "k1").accept_delete(2, "k1", 2, (c(1), 1));
        story.at(15).apply_delete(f(1), "k1", 2).apply_delete(f(2), "k1", 2).complete(2, true, 2);
        story.at(16).event(f(2).into(), Event::LoseKey { key: key("k1"), stamp: stamp(2) });
        story.at(17).event(f(2).into(), Event::Install { epoch: Epoch::new(epoch) });
        story
    };
    assert_eq!(lost(1).excuses(check), [(Excuse::LostKey, 2)], "the write and its deletion");
    assert!(lost(2).verdict(check).is_violated());
}

#[test]
fn a_write_that_a_collected_deletion_covers() {
    let given_up = |is_collected: bool| {
        let mut story = acknowledged();
        story.at(11).invoke_delete(c(1), 1, "k1").accept_delete(2, "k1", 2, (c(1), 1));
        story.at(15).apply_delete(f(1), "k1", 2).apply_delete(f(2), "k1", 2).complete(2, true, 2);
        if is_collected {
            story.at(16).collect(f(1), "k1", 2);
        }
        story.at(20).event(f(1).into(), Event::Discard { key: key("k1"), stamp: stamp(2) });
        story
    };
    assert_eq!(given_up(true).excuses(check), [(Excuse::CollectedDeletion, 2)], "the write and its deletion");
    assert_eq!(given_up(false).evidence(check).len(), 2);
    // A later write is not covered.
    let mut story = given_up(true);
    story.at(30).invoke_set(c(1), 2, "k1", "\"b\"").accept(3, "k1", 3, "\"b\"");
    story.apply(f(1), "k1", 3, "\"b\"").apply(f(2), "k1", 3, "\"b\"").at(31).complete(3, true, 2);
    story.at(40).event(f(1).into(), Event::Discard { key: key("k1"), stamp: stamp(3) });
    assert_eq!(story.evidence(check).len(), 1);
}

/// The key is deleted as v2; the leader begins again, and gives it v1.
#[test]
fn the_versions_of_a_key_whose_deletion_was_lost() {
    let begins_again = |restarted: &[u8]| {
        let mut story = held();
        story.at(11).invoke_delete(c(1), 1, "k1").accept_delete(2, "k1", 2, (c(1), 1));
        story.at(15).apply_delete(f(1), "k1", 2).apply_delete(f(2), "k1", 2).complete(2, true, 2);
        for id in restarted {
            story.at(20).crash(f(*id)).restart(f(*id));
        }
        let (epoch, anew) = (Epoch::new(2), true);
        story.at(21).crash(N1).at(22).restart(N1).event(N1, Event::Recovered { epoch, from: Vec::new(), anew });
        story.event(N1, Event::Serve { epoch }).ends_with(N1, dump(&[("k1", 1, "\"b\"")]));
        story
    };
    let excused = begins_again(&[1, 2, 3]).excuses(check);
    assert!(excused.contains(&(Excuse::ForgottenFloor, 1)), "{excused:?}");
    assert!(begins_again(&[1]).verdict(check).is_violated(), "two memories knew of it");
}

#[test]
fn a_local_read_behind_a_second_epoch() {
    let read = |mode, epoch| {
        let mut story = held();
        let recovered =
            Event::Recover { key: key("k1"), stamp: Stamp { epoch, ..stamp(1) }, value: Some(value("\"a\"")) };
        story.at(20).crash(N1).at(21).restart(N1).event(N1, recovered).event(N1, Event::Serve { epoch });
        let (operation, target) = (1, N1);
        story.at(30).event(c(1), Event::InvokeGet { operation, target, key: key("k1"), mode }).found(c(1), 1, 0, "");
        story
    };
    assert_eq!(read(ReadMode::Local, Epoch::new(2)).excuses(check), [(Excuse::LocalRead, 1)]);
    assert!(read(ReadMode::Local, Epoch::FIRST).verdict(check).is_violated(), "there is one epoch");
    for mode in [ReadMode::Committed, ReadMode::Linearizable] {
        assert!(read(mode, Epoch::new(2)).verdict(check).is_violated(), "{mode:?}");
    }
}
