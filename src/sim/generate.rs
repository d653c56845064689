use super::scenario::{
    ClusterSpec, Fault, FaultKind, Links, OperationName, ReadFrom, RulesSpec, Scenario, Target, Workload,
};
use crate::base::seed::Draw;
use crate::base::{FollowerId, NodeId, Seed};

/// How long a generated scenario goes on having faults, in milliseconds.
const SPAN_MS: u64 = 8000;

/// What scenarios to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generator {
    /// Which decisions of the protocol are in force.
    pub rules: RulesSpec,
    /// Whether nodes are killed, which loses their memory. A store without recovery cannot survive that.
    pub crashes: bool,
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
        let workload = Workload {
            clients,
            operations,
            keys: dice.draw("keys", 0).between(1, 4),
            reads: 0.3,
            read_from: ReadFrom::Any,
            think_ms: [0, 1500],
            ..Workload::default()
        };
        let cluster = ClusterSpec {
            followers,
            write_quorum: dice.draw("quorum", 0).between(1, followers as u64) as usize,
            delay_ms: [0, longest],
            repl_timeout_ms: dice.draw("timeout", 0).between(500, 3000),
            rules: self.rules.clone(),
            ..ClusterSpec::default()
        };
        let mut faults = Vec::new();
        for kind in Kind::ALL.into_iter().filter(|kind| self.crashes || *kind != Kind::Crash) {
            if dice.draw(kind.name(), 0).between(0, 1) == 0 {
                continue;
            }
            for place in 1..=dice.draw(kind.name(), 1).between(1, 3) {
                kind.generate(&dice, place, followers, &workload, &mut faults);
            }
        }
        faults.sort_by_key(|fault| fault.at_ms);
        Scenario { name: format!("swarm {seed}"), seed, cluster, workload, faults, expect: None }
    }
}

/// Draws keyed by what they are for, so that one kind of fault more changes no other.
struct Dice {
    seed: Seed,
}

impl Dice {
    fn draw(&self, what: &str, place: u64) -> Draw {
        self.seed.fork(what).draw(&[place])
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
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Crash,
        Self::Hold,
        Self::Partition,
        Self::Slow,
        Self::Drop,
        Self::DropReply,
        Self::Duplicate,
        Self::Delay,
        Self::Disconnect,
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
        }
    }

    /// Adds one fault of this kind, and its end where it has one.
    fn generate(self, dice: &Dice, place: u64, followers: usize, workload: &Workload, faults: &mut Vec<Fault>) {
        let draw = |purpose: u64| dice.draw(self.name(), place * 100 + purpose);
        let at_ms = draw(0).between(0, SPAN_MS);
        let end_ms = at_ms + draw(1).between(200, 3000);
        let follower = NodeId::from(FollowerId(draw(2).between(0, followers as u64 - 1) as u8));
        let any_node = if draw(3).between(0, 3) == 0 { NodeId::Leader } else { follower };
        let mut add = |at_ms, until_ms, kind| faults.push(Fault { at_ms, until_ms, kind });
        let target = Target { operation: None, to: None, attempt: None, per_mille: draw(4).between(50, 400) as u16 };
        match self {
            Self::Crash => {
                add(at_ms, None, FaultKind::Crash(any_node));
                add(end_ms, None, FaultKind::Restart(any_node));
            }
            Self::Hold => {
                add(at_ms, None, FaultKind::Hold(follower));
                add(end_ms, None, FaultKind::Release(follower));
            }
            Self::Partition => {
                let one_way = draw(5).between(0, 1) == 1;
                let ends =
                    if draw(6).between(0, 1) == 1 { (NodeId::Leader, follower) } else { (follower, NodeId::Leader) };
                let links = Links { from: vec![ends.0], to: vec![ends.1], one_way };
                add(at_ms, None, FaultKind::Partition(links.clone()));
                add(end_ms, None, FaultKind::Heal(links));
            }
            Self::Slow => {
                let latency_ms = draw(5).between(10, 400);
                add(at_ms, None, FaultKind::Slow { node: follower, to: None, latency_ms });
                add(end_ms, None, FaultKind::Slow { node: follower, to: None, latency_ms: 1 });
            }
            Self::Drop => add(at_ms, Some(end_ms), FaultKind::Drop(target)),
            Self::DropReply => add(at_ms, Some(end_ms), FaultKind::DropReply(target)),
            Self::Duplicate => add(at_ms, Some(end_ms), FaultKind::Duplicate(target)),
            Self::Delay => {
                let delay_ms = draw(5).between(500, 4000);
                add(at_ms, Some(end_ms), FaultKind::Delay { target, delay_ms });
            }
            Self::Disconnect => {
                let client = draw(5).between(0, u64::from(workload.clients) - 1) as u16;
                let share = workload.operations as u64 / u64::from(workload.clients);
                let operation = OperationName { client, number: draw(6).between(1, share.max(1)) };
                add(0, None, FaultKind::Disconnect { operation, after_ms: draw(7).between(1, 300) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SAFE: Generator = Generator { rules: RulesSpec::Named(crate::sim::scenario::RuleSet::Safe), crashes: true };

    #[test]
    fn every_generated_scenario_can_be_run_and_survives_being_written_down() {
        for seed in 0..500 {
            let scenario = SAFE.scenario(seed);
            scenario.check().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_eq!(Scenario::from_toml(&scenario.to_toml()).unwrap(), scenario, "seed {seed}");
            assert_eq!(SAFE.scenario(seed), scenario);
        }
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
        for kind in Kind::ALL {
            assert!(mixes.iter().flatten().any(|name| *name == kind.name()), "{kind:?} is never generated");
        }
    }

    #[test]
    fn without_crashes_nothing_else_changes() {
        let without = Generator { crashes: false, ..SAFE };
        for seed in 0..50 {
            let mut with = SAFE.scenario(seed);
            with.faults.retain(|fault| !matches!(fault.kind, FaultKind::Crash(_) | FaultKind::Restart(_)));
            assert_eq!(with, without.scenario(seed), "seed {seed}");
        }
    }
}
