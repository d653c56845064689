mod excuses;
mod losses;

use super::*;
use crate::check::testing::{Story, c, dump, f};

/// A quorum of 2 of 3; f1 and f2 store the write.
fn acknowledged() -> Story {
    let mut story = Story::new();
    story.at(1).invoke_set(c(3), 2, "k1", "\"a\"").accept(1, "k1", 1, "\"a\"");
    story.at(5).apply(f(1), "k1", 1, "\"a\"").apply(f(2), "k1", 1, "\"a\"");
    story.at(9).complete(1, true, 2).wrote(c(3), 2, Outcome::Ok, 1);
    story
}

#[test]
fn a_right_run_is_not_accused() {
    let mut story = acknowledged();
    story.at(20).crash(f(1)).at(30).restart(f(1)).apply(f(1), "k1", 1, "\"a\"").apply(f(2), "k1", 2, "\"b\"");
    story.invoke_get(c(1), 1, NodeId::FIRST_SERVER, "k1").found(c(1), 1, 1, "\"a\"");
    story.ends_with(NodeId::FIRST_SERVER, dump(&[("k1", 1, "\"a\"")]));
    assert_eq!(story.holds(check), "1 acknowledged write, 1 crash");
}

#[test]
fn too_few_holders_at_the_acknowledgement() {
    let mut story = Story::new();
    story.at(1).invoke_set(c(3), 2, "k1", "\"a\"").accept(1, "k1", 1, "\"a\"");
    story.apply(f(1), "k1", 1, "\"a\"").apply(f(2), "k1", 1, "\"a\"").at(4).crash(f(2)).at(9).complete(1, true, 2);
    assert_eq!(
        story.evidence(check),
        ["n1 acknowledged k1 v1 (c3#2) at 9 ms, when only f1 stored it, where 2 must; f2 had, but crashed at 4 ms"]
    );
}

#[test]
fn a_holder_that_crashes_later_is_not_the_stores_fault_but_one_that_goes_back_is() {
    let mut story = acknowledged();
    story.at(20).invoke_set(c(1), 1, "k1", "\"b\"").accept(2, "k1", 2, "\"b\"").apply(f(1), "k1", 2, "\"b\"");
    story.apply(f(2), "k1", 2, "\"b\"").at(25).complete(2, true, 2).at(30).apply(f(1), "k1", 1, "\"a\"");
    assert_eq!(
        story.evidence(check),
        ["n1 acknowledged k1 v2 (c1#1) at 25 ms, but f1 replaced it by v1 = \"a\" at 30 ms, \
          and f2 still stored it, where 2 must"]
    );
}

#[test]
fn a_leader_that_forgets() {
    let restarted = || {
        let mut story = acknowledged();
        story.at(20).crash(NodeId::FIRST_SERVER).at(30).restart(NodeId::FIRST_SERVER);
        story
    };
    let how = "n1 acknowledged k1 v1 (c3#2) at 9 ms; n1 crashed at 20 ms, and";
    let mut story = restarted();
    story.ends_with(NodeId::FIRST_SERVER, dump(&[]));
    assert_eq!(story.evidence(check), [format!("{how} in the end it has nothing for k1")]);
    let mut story = restarted();
    story.at(40).invoke_set(c(1), 1, "k1", "\"b\"").accept(1, "k1", 1, "\"b\"");
    story.ends_with(NodeId::FIRST_SERVER, dump(&[("k1", 1, "\"b\"")]));
    assert_eq!(story.evidence(check), [format!("{how} at 40 ms gave k1 v1 to \"b\"")]);
    let mut story = restarted();
    story.at(40).invoke_get(c(1), 1, NodeId::FIRST_SERVER, "k1").found(c(1), 1, 0, "");
    assert_eq!(story.evidence(check), [format!("{how} c1#1 found no k1 there at 40 ms")]);
}

#[test]
fn the_same_stamp_with_another_value_is_a_loss() {
    let mut story = acknowledged();
    story.ends_with(NodeId::FIRST_SERVER, dump(&[("k1", 1, "\"b\"")]));
    assert_eq!(
        story.evidence(check),
        ["n1 acknowledged k1 v1 (c3#2) at 9 ms, and in the end it has v1 = \"b\" for k1"]
    );
}

/// A quorum of 2 of 3; f1 and f2 store the write and its deletion.
fn deleted() -> Story {
    let mut story = acknowledged();
    story.at(11).invoke_delete(c(1), 1, "k1").accept_delete(2, "k1", 2, (c(1), 1));
    story.at(15).apply_delete(f(1), "k1", 2).apply_delete(f(2), "k1", 2).complete(2, true, 2);
    story
}

#[test]
fn a_deletion_is_kept_by_who_has_forgotten_it() {
    let mut story = deleted();
    story
        .at(20)
        .collect(f(1), "k1", 2)
        .collect(f(2), "k1", 2)
        .crash(NodeId::FIRST_SERVER)
        .restart(NodeId::FIRST_SERVER);
    story.at(30).invoke_get(c(1), 2, NodeId::FIRST_SERVER, "k1").found(c(1), 2, 0, "");
    story.ends_with(NodeId::FIRST_SERVER, dump(&[]));
    assert_eq!(story.holds(check), "2 acknowledged writes, 1 crash");
}

#[test]
fn a_deletion_that_is_undone() {
    let mut story = deleted();
    story.at(20).crash(NodeId::FIRST_SERVER).restart(NodeId::FIRST_SERVER);
    let how = "n1 acknowledged k1 v2 (c1#1) at 15 ms; n1 crashed at 20 ms, and";
    story.at(30).invoke_get(c(1), 2, NodeId::FIRST_SERVER, "k1").found(c(1), 2, 1, "\"a\"");
    story.ends_with(NodeId::FIRST_SERVER, dump(&[("k1", 1, "\"a\"")]));
    assert_eq!(
        story.evidence(check),
        [
            format!("{how} c1#2 read k1 v1 at the leader at 30 ms, which is \"a\""),
            format!("{how} in the end it has v1 = \"a\" for k1")
        ]
    );
}

#[test]
fn a_deletion_that_too_few_have() {
    let mut story = acknowledged();
    story.at(11).invoke_delete(c(1), 1, "k1").accept_delete(2, "k1", 2, (c(1), 1));
    story.at(15).apply_delete(f(1), "k1", 2).complete(2, true, 2);
    assert_eq!(story.evidence(check), ["n1 acknowledged k1 v2 (c1#1) at 15 ms, when only f1 stored it, where 2 must"]);
}

/// Nobody was told ok of the deletion; but it took effect, for a node has forgotten it.
#[test]
fn what_was_forgotten_took_effect() {
    let mut story = acknowledged();
    story.at(11).invoke_delete(c(1), 1, "k1").accept_delete(2, "k1", 2, (c(1), 1)).complete(2, false, 0);
    story.at(15).collect(f(1), "k1", 2).at(20).crash(NodeId::FIRST_SERVER).restart(NodeId::FIRST_SERVER);
    story.ends_with(NodeId::FIRST_SERVER, dump(&[]));
    assert_eq!(story.holds(check), "1 acknowledged write, 1 crash");
}

#[test]
fn what_the_leader_gave_out_may_not_vanish_with_it() {
    let mut story = Story::new();
    story.at(1).invoke_set(c(3), 2, "k1", "\"a\"").accept(1, "k1", 1, "\"a\"");
    story.at(2).invoke_get(c(1), 1, NodeId::FIRST_SERVER, "k1").found(c(1), 1, 1, "\"a\"");
    story.at(3).crash(NodeId::FIRST_SERVER).restart(NodeId::FIRST_SERVER).ends_with(NodeId::FIRST_SERVER, dump(&[]));
    assert_eq!(
        story.evidence(check),
        ["c1#1 read k1 v1 at the leader at 2 ms; n1 crashed at 3 ms, and in the end it has nothing for k1"]
    );
}

/// A node that is started beside the leader and never serves stores nothing yet, and claims nothing.
#[test]
fn a_later_leader_that_never_served_is_not_accused() {
    let n2 = NodeId::Server(1);
    let story = |serves: bool| {
        let mut story = acknowledged();
        story.at(10).event(NodeId::FIRST_SERVER, Event::Serve { epoch: Epoch::FIRST });
        story.at(20).restart(n2).at(30).crash(NodeId::FIRST_SERVER).ends_with(n2, dump(&[]));
        if serves {
            story.at(40).event(n2, Event::Serve { epoch: Epoch::new(2) });
        }
        story
    };
    assert_eq!(story(false).holds(check), "1 acknowledged write, 1 crash");
    assert_eq!(story(true).evidence(check).len(), 1, "a leader that serves must have it");
}

/// A node that led before starts again and leads, is deposed by the next leader, and does not know that yet. It may accept
/// writes in its own epoch, with stamps below those that were acknowledged in the later one.
#[test]
fn a_deposed_leader_that_was_started_later_is_not_accused() {
    let n2 = NodeId::Server(1);
    let stamp =
        |epoch, version| Stamp { epoch: Epoch::new(epoch), version: crate::base::Version::new(version).unwrap() };
    let accept = |write, stamp, json| {
        let (key, value) = (crate::check::testing::key("k1"), Some(crate::check::testing::value(json)));
        Event::Accept { write, key, stamp, value, operation: None, request_id: None }
    };
    let story = |epoch_of_n1| {
        let mut story = Story::new();
        // n1 is in its incarnation 2 when n2, in its incarnation 1, acknowledges a write of epoch 9.
        story.restart(n2).restart(NodeId::FIRST_SERVER).restart(NodeId::FIRST_SERVER);
        story.at(5).event(n2, accept(1, stamp(9, 6), "\"a\""));
        for id in [1, 2] {
            let (key, value) = (crate::check::testing::key("k1"), Some(crate::check::testing::value("\"a\"")));
            story.event(f(id).into(), Event::Apply { request: None, key, stamp: stamp(9, 6), value });
        }
        story.at(7).event(n2, Event::Complete { write: 1, ok: true, confirmations: 2 });
        story.at(9).event(NodeId::FIRST_SERVER, accept(1, stamp(epoch_of_n1, 6), "\"b\""));
        story
    };
    assert_eq!(story(8).holds(check), "1 acknowledged write, 0 crashes");
    assert_eq!(story(9).evidence(check).len(), 1, "a leader of the same epoch or a later one must remember it");
}

/// A later leader serves with a deletion that was acknowledged to nobody, answers a read, and has stepped down or crashed when the
/// answer arrives.
#[test]
fn an_answer_says_what_the_leader_had_when_it_was_sent() {
    let read = |deletes: bool, ends: fn(&mut Story)| {
        let mut story = acknowledged();
        let epoch = Epoch::new(2);
        story.at(20).crash(NodeId::FIRST_SERVER).at(21).restart(NodeId::FIRST_SERVER);
        let (key, stamp) = (crate::check::testing::key("k1"), |version| Stamp {
            epoch,
            version: crate::base::Version::new(version).unwrap(),
        });
        let value = Some(crate::check::testing::value("\"a\""));
        story.event(NodeId::FIRST_SERVER, Event::Recover { key: key.clone(), stamp: stamp(1), value });
        story.event(NodeId::FIRST_SERVER, Event::Serve { epoch });
        story.at(30).invoke_get(c(1), 1, NodeId::FIRST_SERVER, "k1");
        if deletes {
            let deletion =
                Event::Accept { write: 1, key, stamp: stamp(2), value: None, operation: None, request_id: None };
            story.at(31).event(NodeId::FIRST_SERVER, deletion);
        }
        ends(story.at(33));
        story.at(34).found(c(1), 1, 0, "");
        story.verdict(check).is_violated()
    };
    let steps_down: fn(&mut Story) = |story| {
        story.event(NodeId::FIRST_SERVER, Event::StepDown { promised: Epoch::new(3) });
    };
    let crashes: fn(&mut Story) = |story| {
        story.crash(NodeId::FIRST_SERVER);
    };
    assert_eq!((read(true, steps_down), read(false, steps_down)), (false, true));
    assert_eq!((read(true, crashes), read(false, crashes)), (false, true));
}
