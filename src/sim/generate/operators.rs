//! Faults around what operators do: changes of the members and of the quorum, losses that are accepted, and the crashes that
//! go with them.

use crate::base::seed::Draw;
use crate::base::{FollowerId, Member, NodeRef};
use crate::sim::scenario::{ClusterSpec, Fault, FaultKind};

fn fault(at_ms: u64, kind: FaultKind) -> Fault {
    Fault::at(at_ms, kind)
}

fn restart_of_leader(at_ms: u64, down_ms: u64) -> [Fault; 2] {
    [fault(at_ms, FaultKind::Crash(NodeRef::Leader)), fault(at_ms + down_ms, FaultKind::Restart(NodeRef::Leader))]
}

fn follower(draw: Draw, cluster: &ClusterSpec) -> FollowerId {
    FollowerId(draw.between(0, cluster.followers as u64 - 1) as u8)
}

/// One member more, one less, one replaced or one renamed; then the leader restarts.
pub(super) fn members(at_ms: u64, cluster: &ClusterSpec, may_rename: bool, draw: impl Fn(u64) -> Draw) -> Vec<Fault> {
    let mut members: Vec<Member> = FollowerId::first(cluster.followers).map(Member::from).collect();
    let spares = (cluster.followers..cluster.all_followers()).map(|place| Member::from(FollowerId(place as u8)));
    let spare = spares.clone().nth(draw(5).between(0, 8) as usize % cluster.spares.max(1));
    let place = follower(draw(6), cluster).index();
    match (draw(7).between(0, 3), spare) {
        (0, Some(spare)) => members.push(spare),
        (1, Some(spare)) => members[place] = spare,
        (2, _) if may_rename => members[place].alias = Some("g".to_owned()),
        // The quorum must stay possible.
        _ if members.len() > cluster.write_quorum => drop(members.remove(place)),
        // The members stay as they are: a leader is given its configuration once more.
        _ => {}
    }
    let mut faults = vec![fault(at_ms, FaultKind::Members(members))];
    faults.extend(restart_of_leader(at_ms, draw(8).between(1, 1000)));
    faults
}

/// The leader and so many followers lose their memory that an operator may have to accept a loss, and does.
pub(super) fn accepted_loss(at_ms: u64, cluster: &ClusterSpec, draw: impl Fn(u64) -> Draw) -> Vec<Fault> {
    let first = follower(draw(5), cluster).index();
    let number = draw(6).between(1, cluster.followers as u64) as usize;
    let lost = (0..number).map(|place| NodeRef::from(FollowerId(((first + place) % cluster.followers) as u8)));
    let mut faults: Vec<Fault> = lost.clone().map(|node| fault(at_ms, FaultKind::Crash(node))).collect();
    let up = at_ms + draw(7).between(1, 500);
    faults.extend(lost.map(|node| fault(up, FaultKind::Restart(node))));
    faults.extend(restart_of_leader(at_ms, draw(8).between(1, 800)));
    faults.push(fault(at_ms + draw(9).between(300, 2500), FaultKind::AcceptLoss(NodeRef::Leader)));
    faults
}

/// All nodes but one follower restart at once, often while the cluster has few keys or none.
pub(super) fn all_but_one(at_ms: u64, cluster: &ClusterSpec, draw: impl Fn(u64) -> Draw) -> Vec<Fault> {
    let spared = follower(draw(5), cluster);
    // Early, when little has been written: then one that remembers looks as if it were new.
    let at_ms = if draw(6).between(0, 1) == 0 { at_ms % 1500 } else { at_ms };
    let nodes = || {
        let followers = FollowerId::first(cluster.followers).filter(|id| *id != spared).map(NodeRef::from);
        [NodeRef::Leader].into_iter().chain(followers)
    };
    let up = at_ms + draw(7).between(1, 500);
    let crashes = nodes().map(|node| fault(at_ms, FaultKind::Crash(node)));
    crashes.chain(nodes().map(|node| fault(up, FaultKind::Restart(node)))).collect()
}

/// The leader restarts with another quorum, and again as soon as it may serve, while a follower is slow. What was acknowledged
/// under that quorum is known to few.
pub(super) fn hand_over(at_ms: u64, cluster: &ClusterSpec, draw: impl Fn(u64) -> Draw) -> Vec<Fault> {
    let quorum = draw(5).between(1, cluster.followers as u64) as usize;
    let [one, other] = [draw(6), draw(7)].map(|draw| NodeRef::from(follower(draw, cluster)));
    let slow = |node, latency_ms| FaultKind::Slow { node, to: None, latency_ms, one_way: false };
    let mut faults = vec![fault(at_ms, FaultKind::Quorum(quorum))];
    let up = draw(8).between(1, 100);
    faults.extend(restart_of_leader(at_ms, up));
    let latency = draw(9).between(20, 400);
    faults.push(fault(at_ms + up, slow(one, latency)));
    let again = at_ms + up + draw(20).between(4, 900);
    faults.extend(restart_of_leader(again, draw(21).between(1, 100)));
    // Another one is slow the second time.
    faults.push(fault(again, slow(one, cluster.link_ms)));
    faults.push(fault(again, slow(other, draw(22).between(100, 1500))));
    faults.push(fault(again + 1500, slow(other, cluster.link_ms)));
    faults
}
