//! Changes of the members and of the quorum: what binds a later leader, and what does not.

use std::time::Duration;

use super::testing::{self, F1, F2, F3, answer, calls, cluster, follower_in, set, talk};
use super::*;
use crate::base::{FollowerId, FollowerSet};

const F4: FollowerId = FollowerId(3);
const MINUTE: Duration = Duration::from_secs(60);

/// A leader of these followers, in this incarnation.
fn leader_of(followers: &[FollowerId], quorum: usize, id: u64) -> Leader {
    let members = followers.iter().map(ToString::to_string).collect();
    let configuration = Configuration { members, write_quorum: quorum };
    let followers: FollowerSet = followers.iter().copied().collect();
    Leader::new(LeaderConfig { configuration, followers, ..testing::config(0, 0, id) })
}

/// Three followers with one acknowledged write under this quorum, and a fourth that is new.
fn three_and_a_spare(quorum: usize) -> Vec<Follower> {
    let (mut leader, mut followers) = cluster(testing::config(3, quorum, 0));
    assert!(set(&mut leader, &mut followers, "x", "1", &[F1, F2, F3]), "acknowledged");
    followers.push(follower_in(F4, 0, Rules::SAFE));
    followers
}

fn serves(leader: &mut Leader, followers: &mut [Follower]) -> bool {
    talk(leader, followers, &[F1, F2, F3, F4], Duration::ZERO, MINUTE);
    leader.serves()
}

/// Answers the leader's requests until it has recovered and has to bring followers up to date.
fn recover(leader: &mut Leader, followers: &mut [Follower]) {
    while let Some(output) = leader.poll_output() {
        if let Output::Tell(News::Recovered { .. }) = output {
            return;
        }
        if let Output::Ask(call) = output {
            answer(leader, followers, Duration::ZERO, &call);
        }
    }
    panic!("it has not recovered: {:?}", leader.waiting_for());
}

fn has_x(leader: &Leader) -> bool {
    leader.store().get(&Key::new("x").unwrap()).is_some()
}

/// The first leader is given a follower that does not exist. None was ever brought up to date.
#[test]
fn a_mistyped_member_at_the_first_start_needs_no_operator() {
    let mut followers: Vec<Follower> = FollowerId::first(4).map(|id| follower_in(id, 0, Rules::SAFE)).collect();
    let mut mistyped = leader_of(&[F1, F2, F4], 2, 0);
    talk(&mut mistyped, &mut followers, &[F1, F2], Duration::ZERO, MINUTE);
    assert!(!mistyped.serves(), "f4 is not there");
    assert!(serves(&mut leader_of(&[F1, F2, F3], 2, 1), &mut followers));
}

/// It has promises, and dies before it brings anybody up to date.
#[test]
fn a_first_leader_that_dies_before_it_installs_needs_no_operator() {
    let mut followers: Vec<Follower> = FollowerId::first(3).map(|id| follower_in(id, 0, Rules::SAFE)).collect();
    let mut dies = leader_of(&[F1, F2, F3], 2, 0);
    for call in calls(&mut dies) {
        answer(&mut dies, &mut followers, Duration::ZERO, &call);
    }
    talk_to(&mut leader_of(&[F1, F2, F3], 2, 1), &mut followers);
}

fn talk_to(leader: &mut Leader, followers: &mut [Follower]) {
    talk(leader, followers, &[F1, F2, F3], Duration::ZERO, MINUTE);
    assert!(leader.serves(), "{}", leader.waiting_for().unwrap());
}

/// It lacks its own quorum and members of the earlier configuration. It tells of the quorum first.
#[test]
fn a_leader_waits_for_its_quorum_before_the_earlier_configuration() {
    let mut followers = three_and_a_spare(2);
    let mut lower = leader_of(&[F1, F2, F3], 1, 1);
    recover(&mut lower, &mut followers);
    assert_eq!(lower.waiting_for(), Some(Waiting::Quorum { current: 0, needed: 1 }));
}

/// f4 has been brought up to date, and is no member of the earlier configuration.
#[test]
fn only_members_of_the_earlier_configuration_count_for_it() {
    let mut followers = three_and_a_spare(2);
    let mut larger = leader_of(&[F1, F2, F3, F4], 2, 1);
    recover(&mut larger, &mut followers);
    talk(&mut larger, &mut followers, &[F1, F4], Duration::ZERO, MINUTE);
    let missing = vec!["f2".to_owned(), "f3".to_owned()];
    assert_eq!(larger.waiting_for(), Some(Waiting::HandOver { current: 1, needed: 2, missing }));
}

/// All keys are gone, which is not the same as that there never were any.
#[test]
fn a_cluster_without_keys_is_not_new() {
    let (_, mut followers) = cluster(testing::config(3, 2, 0));
    followers[0] = follower_in(F1, 1, Rules::SAFE);
    followers[1] = follower_in(F2, 1, Rules::SAFE);
    let mut next = leader_of(&[F1, F2, F3], 2, 1);
    talk(&mut next, &mut followers, &[F1, F2, F3], Duration::ZERO, MINUTE);
    assert!(!next.serves(), "f3 was brought up to date, and so may others have been that stored more");
    assert!(next.accept_loss(MINUTE));
    talk(&mut next, &mut followers, &[F1, F2, F3], MINUTE, 2 * MINUTE);
    assert!(next.serves());
    let (_, mut followers) = cluster(testing::config(3, 2, 0));
    (followers[0], followers[1]) = (follower_in(F1, 1, Rules::SAFE), follower_in(F2, 1, Rules::SAFE));
    let rules = Rules::SAFE.without(Rule::BootstrapOnlyNew);
    talk_to(&mut Leader::new(LeaderConfig { rules, ..testing::config(3, 2, 1) }), &mut followers);
}

/// A leader meets a follower that remembers, which then restarts, as the others did before. Nothing remembers anything any more,
/// but the leader knows that there was something.
#[test]
fn a_leader_that_has_met_a_memory_does_not_begin_anew() {
    let begins = |meets: bool, rules: Rules| {
        let (mut first, mut followers) = cluster(testing::config(3, 2, 0));
        set(&mut first, &mut followers, "x", "1", &[F3]);
        (followers[0], followers[1]) = (follower_in(F1, 1, Rules::SAFE), follower_in(F2, 1, Rules::SAFE));
        let mut next = Leader::new(LeaderConfig { rules, ..testing::config(3, 2, 1) });
        if meets {
            talk(&mut next, &mut followers, &[F1, F2, F3], Duration::ZERO, MINUTE);
            assert!(!next.serves());
        }
        followers[2] = follower_in(F3, 1, Rules::SAFE);
        talk(&mut next, &mut followers, &[F1, F2, F3], MINUTE, 2 * MINUTE);
        next.serves()
    };
    assert!(!begins(true, Rules::SAFE), "it waits for an operator");
    assert!(begins(false, Rules::SAFE), "a loss of power in all nodes");
    assert!(begins(true, Rules::SAFE.without(Rule::BootstrapOnlyNew)));
}

#[test]
fn a_change_that_cannot_be_completed_is_undone() {
    let mut followers = three_and_a_spare(1);
    assert!(!serves(&mut leader_of(&[F1, F2, F4], 1, 1), &mut followers), "f3 may have what f1 and f2 lack");
    let mut back = leader_of(&[F1, F2, F3], 1, 2);
    assert!(serves(&mut back, &mut followers) && has_x(&back));
}

#[test]
fn a_follower_may_join_before_another_leaves() {
    let mut followers = three_and_a_spare(1);
    let mut all = leader_of(&[F1, F2, F3, F4], 1, 1);
    assert!(serves(&mut all, &mut followers) && has_x(&all));
}

/// At a quorum of 1 every follower counts, so the quorum is raised first: what the README says.
#[test]
fn a_follower_is_removed_by_way_of_a_greater_quorum() {
    let mut followers = three_and_a_spare(1);
    for (members, quorum, id) in [(&[F1, F2, F3][..], 2, 1), (&[F1, F2], 2, 2), (&[F1, F2], 1, 3)] {
        let mut leader = leader_of(members, quorum, id);
        assert!(serves(&mut leader, &mut followers), "{id}: {}", leader.waiting_for().unwrap());
        assert!(has_x(&leader));
        talk(&mut leader, &mut followers, &[F1, F2, F3, F4], MINUTE, 2 * MINUTE);
    }
}

/// The next leader serves with a quorum of 1 before most members know of it, and acknowledges what one follower stores. A
/// leader after it that reaches the others only must not miss that.
#[test]
fn a_lower_quorum_is_known_to_enough_before_it_counts() {
    let mut followers = three_and_a_spare(2);
    let mut lower = leader_of(&[F1, F2, F3], 1, 1);
    recover(&mut lower, &mut followers);
    // f1 alone is reached from here on.
    talk(&mut lower, &mut followers, &[F1], Duration::ZERO, MINUTE);
    assert!(!lower.serves(), "two of the earlier configuration's members must know the new one");
    let missing = vec!["f2".to_owned(), "f3".to_owned()];
    assert_eq!(lower.waiting_for(), Some(Waiting::HandOver { current: 1, needed: 2, missing }));
    talk(&mut lower, &mut followers, &[F1, F2, F3], MINUTE, 2 * MINUTE);
    assert!(lower.serves());
    let without = Rules::SAFE.without(Rule::HandOverConfiguration);
    let mut followers = three_and_a_spare(2);
    let mut hasty = Leader::new(LeaderConfig { rules: without, ..testing::config(3, 1, 1) });
    talk(&mut hasty, &mut followers, &[F1, F2], Duration::ZERO, Duration::from_millis(5));
    talk(&mut hasty, &mut followers, &[F1], Duration::from_millis(5), MINUTE);
    assert!(hasty.serves(), "without the rule its own quorum is enough");
}
