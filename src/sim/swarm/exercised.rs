use std::fmt;

use crate::base::trace::{Disturbance, Event, LostPart, Micros, Record, Rpc};
use crate::base::{NodeId, NodeRef};
use crate::sim::scenario::{FaultKind, RpcEffect};
use crate::sim::{Engine, Generator};

/// Something that must have happened for a swarm to have tried anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exercised {
    /// A node was killed.
    Crash,
    /// It was started again.
    Restart,
    /// What goes to and from a node was held back.
    Hold,
    /// A link lost everything, one way or both.
    Partition,
    /// A link became slow.
    Slow,
    /// A message was lost.
    Drop,
    /// The answer to one was.
    DropReply,
    /// A message arrived twice.
    Duplicate,
    /// A message took longer than the emulated delays go.
    Delay,
    /// A client hung up.
    Disconnect,
    /// A node was stopped for a while.
    Pause,
    /// A clock ran at a wrong rate.
    Clock,
    /// A second leader was started while the first still ran.
    Replace,
    /// A follower's name led to another one.
    Misdirect,
    /// The leader was given another quorum, or other members.
    Quorum,
    /// The leader was given other members.
    Members,
    /// An operator accepted a loss.
    AcceptLoss,
    /// A follower lost what it stored for a key.
    LoseKey,
    /// A write reached a follower after a later one.
    Reorder,
    /// A message was sent again.
    Resend,
    /// A leader that started found out what had been written before it.
    Recover,
    /// One began anew, with nothing, for nothing had survived.
    Bootstrap,
    /// One learnt that there is a later one, and stepped down.
    StepDown,
    /// A follower that might have forgotten everything was brought up to date.
    Install,
    /// A snapshot of which a part had come was given up: its follower crashed, or another one began.
    Interrupt,
    /// A deletion was forgotten, as something that all followers have.
    Collect,
    /// A client asked for a write once more, and the leader knew it.
    Retry,
    /// A peer RPC was lost.
    RpcDrop,
    /// The response to one was.
    RpcDropReply,
    /// A peer RPC arrived twice.
    RpcDuplicate,
    /// A peer RPC took long.
    RpcDelay,
    /// Something was done to a promise.
    RpcPromise,
    /// Something was done to a heartbeat.
    RpcHeartbeat,
    /// Something was done to a request for state.
    RpcState,
    /// Something was done to a part of a snapshot.
    RpcSnapshot,
    /// Something was done to a request to adopt.
    RpcAdopt,
    /// Something was done to a request to collect tombstones.
    RpcCollect,
    /// A link was slow in one direction.
    OneWay,
    /// The link between a client and a node lost everything, one way or both.
    ClientCut,
    /// The link between a client and a node was slow.
    ClientSlow,
    /// A third leader was started, or a later one.
    ThirdLeader,
    /// A node that led before was started again, while another one leads.
    Rejoin,
    /// A fault struck because its event came.
    Triggered,
}

impl Exercised {
    /// Everything, in the order of reports.
    pub const ALL: [Self; 43] = [
        Self::Crash,
        Self::Restart,
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
        Self::Replace,
        Self::Misdirect,
        Self::Quorum,
        Self::Members,
        Self::AcceptLoss,
        Self::LoseKey,
        Self::Reorder,
        Self::Resend,
        Self::Recover,
        Self::Bootstrap,
        Self::StepDown,
        Self::Install,
        Self::Interrupt,
        Self::Collect,
        Self::Retry,
        Self::RpcDrop,
        Self::RpcDropReply,
        Self::RpcDuplicate,
        Self::RpcDelay,
        Self::RpcPromise,
        Self::RpcHeartbeat,
        Self::RpcState,
        Self::RpcSnapshot,
        Self::RpcAdopt,
        Self::RpcCollect,
        Self::OneWay,
        Self::ClientCut,
        Self::ClientSlow,
        Self::ThirdLeader,
        Self::Rejoin,
        Self::Triggered,
    ];

    /// From how many seeds on it cannot be chance that it never happened. A snapshot is interrupted in one run of a
    /// hundred, a key is lost in one of thirty, and RPCs that only a recovery or a collection sends are struck in one of 25; of everything else the rarest is in
    /// every twelfth.
    pub fn enough_seeds(self) -> u64 {
        match self {
            Self::Interrupt | Self::LoseKey => 500,
            Self::RpcState | Self::RpcSnapshot | Self::RpcAdopt | Self::RpcCollect => 300,
            _ => 100,
        }
    }

    /// Whether it is a fault, during which writes can be acknowledged, and not something that comes of faults.
    pub fn is_fault(self) -> bool {
        !matches!(
            self,
            Self::Restart
                | Self::Quorum
                | Self::Members
                | Self::AcceptLoss
                | Self::Reorder
                | Self::Resend
                | Self::Recover
                | Self::Bootstrap
                | Self::StepDown
                | Self::Install
                | Self::Interrupt
                | Self::Collect
                | Self::Retry
                | Self::RpcPromise
                | Self::RpcHeartbeat
                | Self::RpcState
                | Self::RpcSnapshot
                | Self::RpcAdopt
                | Self::RpcCollect
                | Self::ThirdLeader
                | Self::Rejoin
                | Self::Triggered
        )
    }

    /// Whether what this generator makes can show it. Nothing restarts where nothing crashes, and what a rule brings about
    /// is not there without the rule.
    pub fn is_possible(self, generator: &Generator) -> bool {
        let rules = generator.rules.rules();
        match self {
            Self::Crash | Self::Restart | Self::Quorum | Self::Members => generator.crashes,
            Self::AcceptLoss => generator.crashes && rules.recover_on_start,
            Self::LoseKey => generator.engine == Engine::Core && rules.compare_stores,
            Self::Pause | Self::Clock | Self::Misdirect => generator.engine == Engine::Core,
            Self::Replace => generator.crashes && generator.engine == Engine::Core,
            Self::Install if Self::Misdirect.is_possible(generator) => rules.recover_on_start,
            Self::Recover | Self::Bootstrap | Self::Install | Self::Interrupt => {
                generator.crashes && rules.recover_on_start
            }
            Self::StepDown => Self::Replace.is_possible(generator) && rules.recover_on_start && rules.refuse_deposed,
            Self::Reorder => rules.compare_stamps,
            Self::Resend => rules.resend_missed,
            Self::Collect => rules.recover_on_start && rules.resend_missed,
            Self::Retry => rules.deduplicate_requests,
            Self::OneWay | Self::ClientCut | Self::ClientSlow => generator.engine == Engine::Core,
            Self::ThirdLeader | Self::Rejoin => Self::Replace.is_possible(generator),
            Self::RpcDrop | Self::RpcDropReply | Self::RpcDuplicate | Self::RpcDelay => rules.recover_on_start,
            Self::RpcHeartbeat => rules.recover_on_start,
            // Followers are read and given snapshots after crashes only.
            Self::RpcPromise | Self::RpcState | Self::RpcSnapshot | Self::RpcAdopt => {
                generator.crashes && rules.recover_on_start
            }
            Self::RpcCollect => Self::Collect.is_possible(generator),
            Self::Hold | Self::Partition | Self::Slow | Self::Disconnect | Self::Triggered => true,
            Self::Drop | Self::DropReply | Self::Duplicate | Self::Delay => true,
        }
    }

    /// The fault of a scenario that it comes from.
    pub(super) fn of_fault(fault: &FaultKind) -> Option<Self> {
        Some(match fault {
            FaultKind::Crash(_) => Self::Crash,
            FaultKind::Hold(_) => Self::Hold,
            FaultKind::Partition(_) if names_client(&fault.nodes()) => Self::ClientCut,
            FaultKind::Partition(_) => Self::Partition,
            FaultKind::Slow { .. } if names_client(&fault.nodes()) => Self::ClientSlow,
            FaultKind::Slow { one_way: true, .. } => Self::OneWay,
            FaultKind::Slow { .. } => Self::Slow,
            FaultKind::Drop(_) => Self::Drop,
            FaultKind::DropReply(_) => Self::DropReply,
            FaultKind::Duplicate { .. } => Self::Duplicate,
            FaultKind::Delay { .. } => Self::Delay,
            FaultKind::Rpc { effect, .. } => match effect {
                RpcEffect::Drop => Self::RpcDrop,
                RpcEffect::DropReply => Self::RpcDropReply,
                RpcEffect::Duplicate { .. } => Self::RpcDuplicate,
                RpcEffect::Delay { .. } => Self::RpcDelay,
            },
            FaultKind::Disconnect { .. } => Self::Disconnect,
            FaultKind::Pause(_) => Self::Pause,
            FaultKind::Clock { .. } => Self::Clock,
            FaultKind::Replace { .. } => Self::Replace,
            FaultKind::Misdirect { .. } => Self::Misdirect,
            FaultKind::Restart(_) | FaultKind::Release(_) | FaultKind::Heal(_) | FaultKind::Resume(_) => return None,
            FaultKind::Quorum(_) | FaultKind::Members(_) | FaultKind::AcceptLoss(_) => return None,
            FaultKind::LoseKey { .. } => Self::LoseKey,
        })
    }

    /// What a record shows to have happened.
    pub(super) fn of_record(record: &Record, longest_delay_us: u64) -> Kinds {
        let one = match &record.event {
            Event::Crash => Self::Crash,
            Event::Restart => Self::Restart,
            Event::LoseKey { .. } => Self::LoseKey,
            Event::Require { members, .. } if !members.is_empty() => Self::Members,
            Event::StepDown { .. } => Self::StepDown,
            Event::Install { .. } if record.at > Micros(0) => Self::Install,
            Event::Recovered { anew, .. } if record.at > Micros(0) => {
                let kinds = [Some(Self::Recover), anew.then_some(Self::Bootstrap)];
                return kinds.into_iter().flatten().collect();
            }
            Event::Collect { .. } => Self::Collect,
            Event::Retry { .. } => Self::Retry,
            Event::Reject { stored, stamp, .. } if stored > stamp => Self::Reorder,
            Event::Fault { kind, nodes, .. } => match kind {
                Disturbance::Hold => Self::Hold,
                Disturbance::Cut if nodes.iter().any(|node| matches!(node, NodeId::Client(_))) => Self::ClientCut,
                Disturbance::Cut | Disturbance::Isolate => Self::Partition,
                Disturbance::HangUp => Self::Disconnect,
                Disturbance::Pause => Self::Pause,
                Disturbance::ClockOff => Self::Clock,
                Disturbance::Replace => {
                    let is_third = nodes.iter().any(|node| matches!(node, NodeId::Server(2..)));
                    let kinds = [Some(Self::Replace), is_third.then_some(Self::ThirdLeader)];
                    return kinds.into_iter().flatten().collect();
                }
                Disturbance::Misdirect => Self::Misdirect,
                Disturbance::Configure => Self::Quorum,
                Disturbance::AcceptLoss => Self::AcceptLoss,
                _ => return Kinds::default(),
            },
            Event::Send { message, delay, lost, copy } => {
                let seen = [
                    (Self::Drop, *lost == Some(LostPart::Request)),
                    (Self::DropReply, *lost == Some(LostPart::Reply)),
                    (Self::Duplicate, copy.is_some()),
                    (Self::Delay, delay.0 > longest_delay_us),
                    (Self::Resend, message.attempt > 1),
                ];
                return seen.into_iter().filter(|(_, seen)| *seen).map(|(kind, _)| kind).collect();
            }
            Event::Rpc { rpc, delay, lost, copy, .. } => {
                let seen = [
                    (Self::RpcDrop, *lost == Some(LostPart::Request)),
                    (Self::RpcDropReply, *lost == Some(LostPart::Reply)),
                    (Self::RpcDuplicate, copy.is_some()),
                    (Self::RpcDelay, delay.0 > 0),
                    (Self::of_rpc(*rpc), true),
                ];
                return seen.into_iter().filter(|(_, seen)| *seen).map(|(kind, _)| kind).collect();
            }
            _ => return Kinds::default(),
        };
        [one].into_iter().collect()
    }

    fn of_rpc(rpc: Rpc) -> Self {
        match rpc {
            Rpc::Promise => Self::RpcPromise,
            Rpc::Heartbeat => Self::RpcHeartbeat,
            Rpc::State => Self::RpcState,
            Rpc::Snapshot => Self::RpcSnapshot,
            Rpc::Adopt => Self::RpcAdopt,
            Rpc::Collect => Self::RpcCollect,
        }
    }
}

fn names_client(nodes: &[NodeRef]) -> bool {
    nodes.iter().any(|node| matches!(node, NodeRef::Node(NodeId::Client(_))))
}

/// Some of them, each once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kinds(u64);

impl Kinds {
    pub(super) fn insert(&mut self, kind: Exercised) {
        self.0 |= 1 << kind as u16;
    }

    pub(super) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Exercised> {
        Exercised::ALL.into_iter().filter(move |kind| self.0 & 1 << *kind as u16 != 0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Exercised> for Kinds {
    fn from_iter<I: IntoIterator<Item = Exercised>>(kinds: I) -> Self {
        let mut all = Self::default();
        kinds.into_iter().for_each(|kind| all.insert(kind));
        all
    }
}

/// The names that scenarios use, and some more.
impl fmt::Display for Exercised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crash => "crash",
            Self::Restart => "restart",
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
            Self::Quorum => "quorum",
            Self::Members => "members",
            Self::AcceptLoss => "accept_loss",
            Self::LoseKey => "lose_key",
            Self::Reorder => "reorder",
            Self::Resend => "resend",
            Self::Recover => "recover",
            Self::Bootstrap => "bootstrap",
            Self::StepDown => "step-down",
            Self::Install => "install",
            Self::Interrupt => "interrupt",
            Self::Collect => "collect",
            Self::Retry => "retry",
            Self::RpcDrop => "drop of an RPC",
            Self::RpcDropReply => "drop_reply of an RPC",
            Self::RpcDuplicate => "duplicate of an RPC",
            Self::RpcDelay => "delay of an RPC",
            Self::RpcPromise => "rpc promise",
            Self::RpcHeartbeat => "rpc heartbeat",
            Self::RpcState => "rpc state",
            Self::RpcSnapshot => "rpc snapshot",
            Self::RpcAdopt => "rpc adopt",
            Self::RpcCollect => "rpc collect",
            Self::OneWay => "slow one way",
            Self::ClientCut => "client cut",
            Self::ClientSlow => "client slow",
            Self::ThirdLeader => "third leader",
            Self::Rejoin => "rejoin",
            Self::Triggered => "triggered",
        })
    }
}
