mod operators;

use std::collections::BTreeSet;

use super::scenario::{
    ClusterSpec, Fault, FaultKind, Links, OperationName, ReadFrom, RpcEffect, RpcTarget, RulesSpec, Scenario, Target,
    Trigger, When, Workload, retain_possible,
};
use super::{Engine, Strategy};
use crate::base::seed::Draw;
use crate::base::trace::Rpc;
use crate::base::{FollowerId, Key, NodeId, NodeRef, Seed};

/// How long a generated scenario goes on having faults, in milliseconds.
const SPAN_MS: u64 = 8000;

/// What scenarios to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generator {
    /// Which decisions of the protocol are in force.
    pub rules: RulesSpec,
    /// Whether nodes are killed, which loses their memory. A store without recovery cannot survive that.
    pub crashes: bool,
    /// For which engine. The core engine knows kinds of fault that turmoil does not.
    pub engine: Engine,
    /// In which order what can happen does. Another than by time is written down in the scenario when it is run.
    pub strategy: Strategy,
}

impl Generator {
    /// A scenario with an explicit list of faults, a function of the seed alone. Which kinds of fault it has is drawn
    /// first, and differs from seed to seed: a mix of everything all the time would hide what a few kinds can do
    /// (Groce et al., *Swarm Testing*, 2012).
    pub fn scenario(&self, seed: u64) -> Scenario {
        let dice = Dice { seed: Seed::new(seed).fork("generate") };
        let followers = dice.draw("followers", 0).between(2, 5) as usize;
        let longest = [0, 50, 300, 1000][dice.draw("delay", 0).between(0, 3) as usize];
        let operations = dice.draw("operations", 0).between(20, 60) as usize;
        let clients = dice.draw("clients", 0).between(2, 5) as u16;
        // Some have none, for what holds only of runs without faults, as the law of latencies does.
        let is_calm = dice.draw("calm", 0).between(0, 9) == 0;
        // Where nothing goes wrong nobody asks twice.
        let retries = [0.0, 0.0, 0.0, 0.3][dice.draw("retries", 0).between(0, 3) as usize];
        let retries = if is_calm { 0.0 } else { retries };
        let workload = Workload {
            clients,
            operations,
            keys: dice.draw("keys", 0).between(1, 4),
            reads: 0.3,
            // Keys are deleted in half of the scenarios: where they are, little is left to be overwritten.
            deletes: [0.0, 0.3][dice.draw("deletes", 0).between(0, 1) as usize],
            retries,
            read_from: ReadFrom::Any,
            think_ms: [0, 1500],
            ..Workload::default()
        };
        let cluster = ClusterSpec {
            followers,
            // Members change in one scenario of four or so; where they do not, spares would only stand by.
            spares: [0, 0, 1, 2][dice.draw("spares", 0).between(0, 3) as usize],
            write_quorum: dice.draw("quorum", 0).between(1, followers as u64) as usize,
            delay_ms: [0, longest],
            repl_timeout_ms: dice.draw("timeout", 0).between(500, 3000),
            window: window(&dice),
            part_keys: part_keys(&dice),
            rules: self.rules.clone(),
            ..ClusterSpec::default()
        };
        let mut faults = Vec::new();
        // Half of the scenarios are such that turmoil can run them too, and confirm what is found.
        let is_for_core_alone = self.engine == Engine::Core && dice.draw("core alone", 0).between(0, 1) == 1;
        let possible = |kind: &Kind| match kind {
            Kind::Crash | Kind::Outage | Kind::Flap | Kind::Quorum | Kind::CrashOnEvent => self.crashes,
            Kind::Members | Kind::AcceptLoss | Kind::AllButOne | Kind::HandOver => self.crashes,
            Kind::Pause | Kind::Clock | Kind::OneWay | Kind::ClientCut | Kind::ClientSlow => is_for_core_alone,
            Kind::LoseKey => is_for_core_alone,
            Kind::Misdirect => is_for_core_alone && followers > 1,
            Kind::Replace | Kind::Rejoin => is_for_core_alone && self.crashes,
            Kind::Hold | Kind::Partition | Kind::Slow | Kind::Disconnect | Kind::LinkOnEvent => true,
            Kind::Drop | Kind::DropReply | Kind::Duplicate | Kind::Delay => true,
            Kind::RpcDrop | Kind::RpcDropReply | Kind::RpcDuplicate | Kind::RpcDelay => true,
        };
        for kind in Kind::ALL.into_iter().filter(|kind| !is_calm && possible(kind)) {
            let dice = dice.of(kind.name());
            if dice.draw(&[0]).between(0, kind.rarity()) != 1 {
                continue;
            }
            let mut of_kind: Vec<Vec<Fault>> = Vec::new();
            for place in 1..=dice.draw(&[1]).between(1, 3) {
                let fault = kind.generate(dice, place, &cluster, &workload, is_for_core_alone);
                if !of_kind.iter().any(|other| overlap(other, &fault)) {
                    of_kind.push(fault);
                }
            }
            for fault in of_kind {
                let before = faults.clone();
                let wanted = before.len() + fault.len();
                faults.extend(fault);
                retain_possible(&cluster, &mut faults);
                // What is done to a leader that is replaced makes no sense if it is not.
                if [Kind::Replace, Kind::Rejoin].contains(&kind) && faults.len() < wanted {
                    faults = before;
                }
            }
        }
        // A key that is lost and a memory that is lost may together be more than a quorum allows for. What repairs the one is
        // seen best without the other.
        let loses_memory = |fault: &Fault| matches!(fault.kind, FaultKind::Crash(_) | FaultKind::Replace { .. });
        if faults.iter().any(loses_memory) {
            faults.retain(|fault| !matches!(fault.kind, FaultKind::LoseKey { .. }));
        }
        Scenario { name: format!("swarm {seed}"), seed, cluster, workload, faults, expect: None }
    }
}

/// Whether two faults of a kind, each with its end, are on at a time on the same nodes: the end of one would end both, and
/// what is down cannot crash.
fn overlap(one: &[Fault], other: &[Fault]) -> bool {
    let ([begin, end], [other_begin, other_end]) = (one, other) else { return false };
    let nodes = |fault: &Fault| fault.kind.nodes().into_iter().collect::<BTreeSet<_>>();
    begin.at_ms <= other_end.at_ms && other_begin.at_ms <= end.at_ms && nodes(begin) == nodes(other_begin)
}

/// In half of the scenarios there is so little room for messages under way that writes find none and wait for resends.
fn window(dice: &Dice) -> usize {
    match dice.draw("window", 0).between(0, 1) {
        0 => ClusterSpec::default().window,
        _ => dice.draw("window", 1).between(1, 16) as usize,
    }
}

/// In half of the scenarios what a follower stores is read and sent in several parts: most have few keys.
fn part_keys(dice: &Dice) -> usize {
    match dice.draw("parts", 0).between(0, 1) {
        0 => ClusterSpec::default().part_keys,
        _ => 1,
    }
}

/// Draws keyed by what they are for, so that one kind of fault more changes no other.
struct Dice {
    seed: Seed,
}

impl Dice {
    /// The draws for one thing.
    fn of(&self, what: &str) -> Seed {
        self.seed.fork(what)
    }

    fn draw(&self, what: &str, place: u64) -> Draw {
        self.of(what).draw(&[place])
    }
}

/// The kinds of fault that are generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Crash,
    Hold,
    Partition,
    Slow,
    Drop,
    DropReply,
    Duplicate,
    Delay,
    Disconnect,
    Pause,
    Clock,
    Outage,
    Flap,
    Quorum,
    Replace,
    Misdirect,
    /// Other members.
    Members,
    /// A loss that an operator accepts.
    AcceptLoss,
    /// All nodes but one follower restart.
    AllButOne,
    /// Another quorum, and another start soon after.
    HandOver,
    /// A follower loses a key.
    LoseKey,
    RpcDrop,
    RpcDropReply,
    RpcDuplicate,
    RpcDelay,
    /// A link is slow in one direction.
    OneWay,
    ClientCut,
    ClientSlow,
    /// A node that led before is started again, while another leads.
    Rejoin,
    /// A node crashes when an event comes.
    CrashOnEvent,
    /// A link is cut, or RPCs are lost, when an event comes.
    LinkOnEvent,
}

impl Kind {
    const ALL: [Self; 31] = [
        Self::Crash,
        Self::Hold,
        Self::Partition,
        Self::Slow,
        Self::Drop,
        Self::DropReply,
        Self::Duplicate,
        Self::Delay,
        Self::Disconnect,
        Self::Pause,
        Self::Clock,
        Self::Outage,
        Self::Flap,
        Self::Quorum,
        Self::Replace,
        Self::Misdirect,
        Self::Members,
        Self::AcceptLoss,
        Self::AllButOne,
        Self::HandOver,
        Self::LoseKey,
        Self::RpcDrop,
        Self::RpcDropReply,
        Self::RpcDuplicate,
        Self::RpcDelay,
        Self::OneWay,
        Self::ClientCut,
        Self::ClientSlow,
        Self::Rejoin,
        Self::CrashOnEvent,
        Self::LinkOnEvent,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Hold => "hold",
            Self::Partition => "partition",
            Self::Slow => "slow",
            Self::Drop => "drop",
            Self::DropReply => "drop_reply",
            Self::Duplicate => "duplicate",
            Self::Delay => "delay",
            Self::Disconnect => "disconnect",
            Self::Pause => "pause",
            Self::Clock => "clock",
            Self::Replace => "replace",
            Self::Misdirect => "misdirect",
            Self::Outage => "outage",
            Self::Flap => "flap",
            Self::Quorum => "quorum",
            Self::Members => "members",
            Self::AcceptLoss => "accept_loss",
            Self::AllButOne => "all_but_one",
            Self::HandOver => "hand_over",
            Self::LoseKey => "lose_key",
            Self::RpcDrop => "rpc drop",
            Self::RpcDropReply => "rpc drop_reply",
            Self::RpcDuplicate => "rpc duplicate",
            Self::RpcDelay => "rpc delay",
            Self::OneWay => "one way",
            Self::ClientCut => "client cut",
            Self::ClientSlow => "client slow",
            Self::Rejoin => "rejoin",
            Self::CrashOnEvent => "crash on event",
            Self::LinkOnEvent => "link on event",
        }
    }

    /// One in how many scenarios has it, less one. What takes everything away leaves little to be seen.
    fn rarity(self) -> u64 {
        match self {
            Self::Outage => 9,
            Self::Flap | Self::Quorum | Self::Misdirect | Self::Rejoin | Self::ClientCut | Self::ClientSlow => 3,
            Self::RpcDrop | Self::RpcDropReply | Self::RpcDuplicate | Self::RpcDelay | Self::Members => 3,
            Self::OneWay | Self::CrashOnEvent | Self::LinkOnEvent => 3,
            Self::HandOver => 5,
            Self::AllButOne | Self::AcceptLoss => 9,
            Self::Crash | Self::Hold | Self::Partition | Self::Slow | Self::Disconnect | Self::Pause => 1,
            Self::Drop | Self::DropReply | Self::Duplicate | Self::Delay | Self::Clock | Self::Replace => 1,
            Self::LoseKey => 1,
        }
    }

    /// One fault of this kind, and its end where it has one.
    fn generate(
        self,
        dice: Seed,
        place: u64,
        cluster: &ClusterSpec,
        workload: &Workload,
        is_for_core_alone: bool,
    ) -> Vec<Fault> {
        let draw = |purpose: u64| dice.draw(&[place * 100 + purpose]);
        let at_ms = draw(0).between(0, SPAN_MS);
        let end_ms = at_ms + draw(1).between(200, 3000);
        let follower = NodeRef::from(FollowerId(draw(2).between(0, cluster.followers as u64 - 1) as u8));
        let any_node = if draw(3).between(0, 3) == 0 { NodeRef::Leader } else { follower };
        let lasting = |begin, end| {
            let fault = |at_ms, kind| Fault::at(at_ms, kind);
            vec![fault(at_ms, begin), fault(end_ms, end)]
        };
        let of_messages = |kind| vec![Fault { until_ms: Some(end_ms), ..Fault::at(at_ms, kind) }];
        let share = || Target { operation: None, to: None, attempt: None, per_mille: draw(4).between(50, 400) as u16 };
        match self {
            Self::Crash => lasting(FaultKind::Crash(any_node), FaultKind::Restart(any_node)),
            Self::Hold => lasting(FaultKind::Hold(follower), FaultKind::Release(follower)),
            Self::Partition => {
                let one_way = draw(5).between(0, 1) == 1;
                let ends =
                    if draw(6).between(0, 1) == 1 { (NodeRef::Leader, follower) } else { (follower, NodeRef::Leader) };
                let links = Links { from: vec![ends.0], to: vec![ends.1], one_way };
                lasting(FaultKind::Partition(links.clone()), FaultKind::Heal(links))
            }
            Self::Slow => {
                let slow = |latency_ms| FaultKind::Slow { node: follower, to: None, latency_ms, one_way: false };
                lasting(slow(draw(5).between(10, 400)), slow(cluster.link_ms))
            }
            Self::Drop => of_messages(FaultKind::Drop(share())),
            Self::DropReply => of_messages(FaultKind::DropReply(share())),
            Self::Duplicate => of_messages(FaultKind::Duplicate { target: share(), delay_ms: None }),
            Self::Delay => of_messages(FaultKind::Delay { target: share(), delay_ms: draw(5).between(500, 4000) }),
            Self::Disconnect => {
                let client = draw(5).between(0, u64::from(workload.clients) - 1) as u16;
                let share = workload.operations as u64 / u64::from(workload.clients);
                let operation = OperationName { client, number: draw(6).between(1, share.max(1)) };
                let after_ms = draw(7).between(1, 300);
                vec![Fault::at(0, FaultKind::Disconnect { operation, after_ms })]
            }
            Self::Pause => lasting(FaultKind::Pause(any_node), FaultKind::Resume(any_node)),
            Self::Clock => {
                // The leader's: a follower has no timers.
                let clock = |rate_per_mille| FaultKind::Clock { node: NodeRef::Leader, rate_per_mille };
                let rate =
                    if draw(5).between(0, 1) == 1 { draw(6).between(200, 900) } else { draw(6).between(1100, 4000) };
                lasting(clock(rate), clock(1000))
            }
            Self::Misdirect => {
                let place = draw(2).between(0, cluster.followers as u64 - 1);
                let other = (place + draw(5).between(1, cluster.followers as u64 - 1)) % cluster.followers as u64;
                let [follower, to] = [place, other].map(|place| FollowerId(place as u8));
                // Sometimes each is found where the other is looked for.
                let mut faults =
                    lasting(FaultKind::Misdirect { follower, to }, FaultKind::Misdirect { follower, to: follower });
                if draw(6).between(0, 2) == 0 {
                    faults.extend(lasting(
                        FaultKind::Misdirect { follower: to, to: follower },
                        FaultKind::Misdirect { follower: to, to },
                    ));
                }
                faults
            }
            Self::Replace => {
                let of = |client: u64| NodeId::Client(client as u16);
                let keeps = |client: &u64| draw(10 + client).between(0, 2) == 0;
                let keeps = (0..u64::from(workload.clients)).filter(keeps).map(of).collect();
                let (leader, former) = (NodeRef::Leader, NodeRef::Former);
                let cut = |leader| Links { from: vec![leader], to: vec![follower], one_way: false };
                // It is out of reach for a while, and comes back when there is another; or it is just thought to be.
                let (begin, end) = match draw(5).between(0, 2) {
                    0 => (Some(FaultKind::Pause(leader)), Some(FaultKind::Resume(former))),
                    1 => (Some(FaultKind::Partition(cut(leader))), Some(FaultKind::Heal(cut(former)))),
                    _ => (None, None),
                };
                let between = draw(6).between(at_ms, end_ms);
                let story = [(at_ms, begin), (between, Some(FaultKind::Replace { keeps })), (end_ms, end)];
                let fault = |(at_ms, kind): (u64, Option<FaultKind>)| Some(Fault::at(at_ms, kind?));
                story.into_iter().filter_map(fault).collect()
            }
            Self::Flap => {
                // It is killed again before it is done with what it does when it starts; half of them take long for that.
                let node = if draw(5).between(0, 1) == 0 { NodeRef::Leader } else { follower };
                let is_slow = draw(20).between(0, 1) == 1;
                let slow = |at_ms, latency_ms| {
                    let kind = FaultKind::Slow { node, to: None, latency_ms, one_way: false };
                    is_slow.then_some(Fault::at(at_ms, kind))
                };
                let longest_life = if is_slow { 2500 } else { 600 };
                let mut at_ms = at_ms;
                let mut faults: Vec<Fault> = slow(at_ms, draw(21).between(20, 150)).into_iter().collect();
                for crash in 0..draw(6).between(2, 4) {
                    faults.push(Fault::at(at_ms, FaultKind::Crash(node)));
                    at_ms += draw(10 + 2 * crash).between(1, 100);
                    faults.push(Fault::at(at_ms, FaultKind::Restart(node)));
                    at_ms += draw(11 + 2 * crash).between(3, longest_life);
                }
                faults.extend(slow(at_ms, cluster.link_ms));
                faults
            }
            Self::Quorum => {
                let quorum = draw(5).between(1, cluster.followers as u64) as usize;
                let fault = |at_ms, kind| Fault::at(at_ms, kind);
                vec![
                    fault(at_ms, FaultKind::Quorum(quorum)),
                    fault(at_ms, FaultKind::Crash(NodeRef::Leader)),
                    fault(at_ms + draw(6).between(1, 1000), FaultKind::Restart(NodeRef::Leader)),
                ]
            }
            Self::Members => operators::members(at_ms, cluster, is_for_core_alone, draw),
            Self::AcceptLoss => operators::accepted_loss(at_ms, cluster, draw),
            Self::AllButOne => operators::all_but_one(at_ms, cluster, draw),
            Self::HandOver => operators::hand_over(at_ms, cluster, draw),
            Self::LoseKey => {
                let key = format!("k{}", draw(5).between(1, workload.keys));
                let key = Key::new(&key).expect("a short name");
                let follower = FollowerId(draw(2).between(0, cluster.followers as u64 - 1) as u8);
                vec![Fault::at(at_ms, FaultKind::LoseKey { follower, key })]
            }
            Self::RpcDrop => vec![of_rpcs(dice, place, follower, RpcEffect::Drop)],
            Self::RpcDropReply => vec![of_rpcs(dice, place, follower, RpcEffect::DropReply)],
            Self::RpcDuplicate => {
                let delay_ms = (draw(13).between(0, 1) == 1).then(|| draw(14).between(1, 3000));
                vec![of_rpcs(dice, place, follower, RpcEffect::Duplicate { delay_ms })]
            }
            // Some arrive in time, and some after their leader has given them up.
            Self::RpcDelay => {
                let delay_ms = draw(13).between(50, 4000);
                vec![of_rpcs(dice, place, follower, RpcEffect::Delay { delay_ms })]
            }
            Self::OneWay => {
                let is_response = draw(5).between(0, 1) == 1;
                let (node, to) = if is_response { (follower, NodeRef::Leader) } else { (NodeRef::Leader, follower) };
                let slow = |latency_ms| FaultKind::Slow { node, to: Some(to), latency_ms, one_way: true };
                lasting(slow(draw(6).between(10, 400)), slow(cluster.link_ms))
            }
            Self::ClientCut => {
                let client = client(draw(5), workload);
                let (from, to) = if draw(6).between(0, 1) == 1 { (client, any_node) } else { (any_node, client) };
                let links = Links { from: vec![from], to: vec![to], one_way: draw(7).between(0, 2) > 0 };
                lasting(FaultKind::Partition(links.clone()), FaultKind::Heal(links))
            }
            Self::ClientSlow => {
                let client = client(draw(5), workload);
                let (node, to) = if draw(6).between(0, 1) == 1 { (client, any_node) } else { (any_node, client) };
                let one_way = draw(7).between(0, 2) > 0;
                let slow = |latency_ms| FaultKind::Slow { node, to: Some(to), latency_ms, one_way };
                lasting(slow(draw(8).between(50, 1500)), slow(cluster.link_ms))
            }
            Self::Rejoin => {
                // A node that led crashes, is replaced or has been, and comes back while its successor leads.
                let keeps = vec![NodeId::Client(draw(5).between(0, u64::from(workload.clients) - 1) as u16)];
                let (first, crash_ms) = (NodeRef::from(NodeId::FIRST_SERVER), draw(6).between(at_ms, end_ms));
                vec![
                    Fault::at(at_ms, FaultKind::Replace { keeps }),
                    Fault::at(crash_ms, FaultKind::Crash(first)),
                    Fault::at(end_ms, FaultKind::Restart(first)),
                ]
            }
            Self::CrashOnEvent => {
                let (trigger, after_ms) = (trigger(dice, place, cluster, workload), draw(6).between(0, 20));
                let down_ms = draw(7).between(1, 2000);
                on_event(
                    trigger,
                    [(after_ms, FaultKind::Crash(any_node)), (after_ms + down_ms, FaultKind::Restart(any_node))],
                )
            }
            Self::LinkOnEvent => {
                let (trigger, after_ms) = (trigger(dice, place, cluster, workload), draw(6).between(0, 20));
                let for_ms = draw(7).between(1, 2000);
                match draw(8).between(0, 1) {
                    0 => {
                        let one_way = draw(9).between(0, 1) == 1;
                        let links = Links { from: vec![follower], to: vec![NodeRef::Leader], one_way };
                        let (begin, end) = (FaultKind::Partition(links.clone()), FaultKind::Heal(links));
                        on_event(trigger, [(after_ms, begin), (after_ms + for_ms, end)])
                    }
                    _ => {
                        let effect = if draw(9).between(0, 1) == 1 { RpcEffect::Drop } else { RpcEffect::DropReply };
                        let fault = of_rpcs(dice, place, follower, effect);
                        let when = Some(When { trigger, after_ms, for_ms: Some(for_ms) });
                        vec![Fault { when, ..Fault::at(0, fault.kind) }]
                    }
                }
            }
            Self::Outage => {
                let followers = || FollowerId::first(cluster.followers).map(NodeRef::from);
                let nodes = || [NodeRef::Leader].into_iter().chain(followers());
                let fault = |at_ms, kind| Fault::at(at_ms, kind);
                let down = nodes().map(|node| fault(at_ms, FaultKind::Crash(node)));
                down.chain(nodes().map(|node| fault(end_ms, FaultKind::Restart(node)))).collect()
            }
        }
    }
}

/// A fault of one numbered RPC, or of a share of those of a kind for a while.
fn of_rpcs(dice: Seed, place: u64, follower: NodeRef, effect: RpcEffect) -> Fault {
    let draw = |purpose: u64| dice.draw(&[place * 100 + purpose]);
    let rpc = Rpc::ALL[draw(30).between(0, Rpc::ALL.len() as u64 - 1) as usize];
    let to = (draw(31).between(0, 2) > 0).then_some(follower);
    let all = RpcTarget { rpc, from: None, to, number: None, per_mille: 1000 };
    if draw(32).between(0, 1) == 1 {
        let target = RpcTarget { number: Some(draw(33).between(1, 4)), ..all };
        return Fault::at(0, FaultKind::Rpc { target, effect });
    }
    let at_ms = draw(0).between(0, SPAN_MS);
    let until_ms = Some(at_ms + draw(1).between(200, 3000));
    let target = RpcTarget { per_mille: draw(34).between(200, 1000) as u16, ..all };
    Fault { until_ms, ..Fault::at(at_ms, FaultKind::Rpc { target, effect }) }
}

/// An event that a fault waits for. It may never come.
fn trigger(dice: Seed, place: u64, cluster: &ClusterSpec, workload: &Workload) -> Trigger {
    let draw = |purpose: u64| dice.draw(&[place * 100 + purpose]);
    let client = draw(40).between(0, u64::from(workload.clients) - 1) as u16;
    let share = workload.operations as u64 / u64::from(workload.clients);
    let operation = OperationName { client, number: draw(41).between(1, share.max(1)) };
    let follower = FollowerId(draw(42).between(0, cluster.followers as u64 - 1) as u8);
    match draw(43).between(0, 5) {
        0 => Trigger::Accepted(operation),
        1 => Trigger::Applied(follower, operation),
        2 => Trigger::Acknowledged(operation),
        3 => Trigger::Serves(NodeId::FIRST_SERVER),
        4 => Trigger::Promised(follower),
        _ => Trigger::UpToDate(follower),
    }
}

/// Faults that strike so long after an event, in milliseconds.
fn on_event(trigger: Trigger, faults: [(u64, FaultKind); 2]) -> Vec<Fault> {
    let fault = |(after_ms, kind)| {
        let when = Some(When { trigger, after_ms, for_ms: None });
        Fault { when, ..Fault::at(0, kind) }
    };
    faults.map(fault).into()
}

fn client(draw: Draw, workload: &Workload) -> NodeRef {
    NodeRef::from(NodeId::Client(draw.between(0, u64::from(workload.clients) - 1) as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAFE: Generator = Generator {
        rules: RulesSpec::Named(crate::sim::scenario::RuleSet::Safe),
        crashes: true,
        engine: Engine::Core,
        strategy: Strategy::Timed,
    };

    #[test]
    fn every_generated_scenario_can_be_run_and_survives_being_written_down() {
        let generators = Engine::ALL.map(|engine| [false, true].map(|crashes| Generator { crashes, engine, ..SAFE }));
        for (seed, generator) in (0..500).flat_map(|seed| generators.iter().flatten().map(move |one| (seed, one))) {
            let scenario = generator.scenario(seed);
            scenario.check().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_eq!(Scenario::from_toml(&scenario.to_toml()).unwrap(), scenario, "seed {seed}");
            assert_eq!(generator.scenario(seed), scenario);
        }
    }

    /// About one in ten has no faults: the law of latencies holds of those only.
    #[test]
    fn some_scenarios_are_calm() {
        let calm = (0..500).filter(|seed| !SAFE.scenario(*seed).is_faulty()).count();
        assert!((30..=70).contains(&calm), "{calm} of 500");
    }

    /// What is slow for a while has the usual latency of its cluster again, and not one of its own.
    #[test]
    fn a_slow_link_is_given_its_usual_latency_back() {
        let (dice, workload) = (Dice { seed: Seed::new(1) }, SAFE.scenario(1).workload);
        let cluster = ClusterSpec { link_ms: 7, ..ClusterSpec::default() };
        let faults = Kind::Slow.generate(dice.of("slow"), 1, &cluster, &workload, true);
        assert!(matches!(faults[..], [_, Fault { kind: FaultKind::Slow { latency_ms: 7, .. }, .. }]), "{faults:?}");
    }

    #[test]
    fn the_mix_of_kinds_differs_and_leaves_none_out() {
        let mixes: BTreeSet<Vec<&str>> = (0..500)
            .map(|seed| {
                let names: BTreeSet<&str> = SAFE.scenario(seed).faults.iter().map(|fault| fault.kind.name()).collect();
                names.into_iter().collect()
            })
            .collect();
        assert!(mixes.len() > 100, "only {} mixes", mixes.len());
        let is_outage = |seed: &u64| {
            let scenario = SAFE.scenario(*seed);
            let crashes = scenario.faults.iter().filter(|fault| matches!(fault.kind, FaultKind::Crash(_)));
            let times: Vec<u64> = crashes.map(|fault| fault.at_ms).collect();
            times.chunk_by(|a, b| a == b).any(|together| together.len() == 1 + scenario.cluster.followers)
        };
        assert!((0..500).any(|seed| is_outage(&seed)), "there is never an outage");
        let faults: Vec<Fault> = (0..500).flat_map(|seed| SAFE.scenario(seed).faults).collect();
        let is_of = |kind: Kind, fault: &Fault| {
            let names_client = fault.nodes().iter().any(|node| matches!(node, NodeRef::Node(NodeId::Client(_))));
            match (kind, &fault.kind) {
                (Kind::RpcDrop, FaultKind::Rpc { effect: RpcEffect::Drop, .. })
                | (Kind::RpcDropReply, FaultKind::Rpc { effect: RpcEffect::DropReply, .. })
                | (Kind::RpcDuplicate, FaultKind::Rpc { effect: RpcEffect::Duplicate { .. }, .. })
                | (Kind::RpcDelay, FaultKind::Rpc { effect: RpcEffect::Delay { .. }, .. }) => fault.when.is_none(),
                (Kind::OneWay, FaultKind::Slow { one_way, .. }) => *one_way && !names_client,
                (Kind::ClientSlow, FaultKind::Slow { .. }) | (Kind::ClientCut, FaultKind::Partition(_)) => names_client,
                (Kind::Rejoin, FaultKind::Restart(NodeRef::Node(node))) => node.can_lead(),
                (Kind::CrashOnEvent, FaultKind::Crash(_)) => fault.when.is_some(),
                (Kind::LinkOnEvent, FaultKind::Partition(_) | FaultKind::Rpc { .. }) => fault.when.is_some(),
                (kind, other) => kind.name() == other.name(),
            }
        };
        let composed = [Kind::Outage, Kind::Flap, Kind::AllButOne, Kind::HandOver];
        for kind in Kind::ALL.into_iter().filter(|kind| !composed.contains(kind)) {
            assert!(faults.iter().any(|fault| is_of(kind, fault)), "{kind:?} is never generated");
        }
        let replaces = |seed: u64| {
            let faults = SAFE.scenario(seed).faults;
            faults.iter().filter(|fault| matches!(fault.kind, FaultKind::Replace { .. })).count()
        };
        let several = (0..500).filter(|seed| replaces(*seed) > 1).count();
        assert!(several > 20, "only {several} of 500 scenarios have three leaders or more");
    }

    /// What is done to a leader that is replaced is done to the former one, or cannot be done at all.
    fn is_replaced(scenario: &Scenario) -> bool {
        scenario.faults.iter().any(|fault| matches!(fault.kind, FaultKind::Replace { .. }))
    }

    #[test]
    fn without_crashes_nothing_else_changes() {
        let without = Generator { crashes: false, ..SAFE };
        for seed in 0..50 {
            let mut with = SAFE.scenario(seed);
            if is_replaced(&with) {
                continue;
            }
            let of_crashes = |fault: &Fault| {
                use FaultKind::{AcceptLoss, Crash, LoseKey, Members, Quorum, Restart};
                matches!(fault.kind, Crash(_) | Restart(_) | Quorum(_) | Members(_) | AcceptLoss(_) | LoseKey { .. })
            };
            let mut without = without.scenario(seed);
            // A key is lost only where no memory is.
            without.faults.retain(|fault| !matches!(fault.kind, FaultKind::LoseKey { .. }));
            // A node that crashes again and again may be slow meanwhile.
            let of_flap =
                |fault: &Fault| matches!(fault.kind, FaultKind::Slow { .. }) && !without.faults.contains(fault);
            with.faults.retain(|fault| !of_crashes(fault) && !of_flap(fault));
            assert_eq!(with, without, "seed {seed}");
        }
    }

    /// Half of the scenarios, and those alone, may have what only the core engine can do. All else is the same.
    #[test]
    fn for_turmoil_nothing_else_changes() {
        let turmoil = Generator { engine: Engine::Turmoil, ..SAFE };
        let (mut both, mut paused, mut wrong) = (0, 0, 0);
        for seed in 0..400 {
            let mut for_core = SAFE.scenario(seed);
            let is = |kind: &str| for_core.faults.iter().any(|fault| fault.kind.name() == kind);
            paused += usize::from(is("pause"));
            wrong += usize::from(is("clock"));
            let of_core = |fault: &Fault| {
                let names_client = fault.nodes().iter().any(|node| matches!(node, NodeRef::Node(NodeId::Client(_))));
                let is_one_way = matches!(fault.kind, FaultKind::Slow { one_way: true, .. });
                let is_rejoin = fault.kind.nodes().contains(&NodeRef::from(NodeId::FIRST_SERVER));
                let is_other =
                    ["pause", "resume", "clock", "misdirect", "lose_key", "members"].contains(&fault.kind.name());
                is_other || names_client || is_one_way || is_rejoin
            };
            both += usize::from(!is_replaced(&for_core) && !for_core.faults.iter().any(of_core));
            // Which quorums are possible depends on the members, and which members on the names that an engine has for them.
            let changes_members = is("members");
            for_core.faults.retain(|fault| !of_core(fault));
            if !is_replaced(&for_core) && !changes_members {
                let for_turmoil = turmoil.scenario(seed);
                assert_eq!(for_core, for_turmoil, "seed {seed}");
            }
        }
        assert!(both > 150 && paused > 60 && wrong > 60, "{both} for both engines, {paused} paused, {wrong} clocks");
    }

    /// Seeds are quoted in documents, so the scenarios that they give must not change.
    #[test]
    fn the_meaning_of_a_seed_is_fixed() {
        let turmoil = Generator { engine: Engine::Turmoil, ..SAFE };
        let text: String = (0..200).map(|seed| turmoil.scenario(seed).to_toml()).collect();
        insta::assert_snapshot!(format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes())), @"2d5b5bc0e11e327b0edd9b787d46657e");
    }
}
