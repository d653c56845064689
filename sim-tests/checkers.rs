//! The checkers on whole clusters: a store that is broken on purpose is caught by the right one, and a right store by
//! none.

use std::collections::BTreeMap;
use std::time::Duration;

use semisync::base::history::History;
use semisync::base::trace::{Event, LostPart, Record};
use semisync::base::wire::Dump;
use semisync::base::{NodeId, Seed};
use semisync::check::{self, Facts, Finding, Property, Recorded, Verdict};
use semisync::core::{Rule, Rules};
use semisync::net::{Effect, MessageFault, Messages};
use semisync::sim::{Stage, World};
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::support::f;
use crate::support::seeds::for_each_seed;

const LEADER: NodeId = NodeId::FIRST_SERVER;

/// Longer than any request or pause between resends lasts.
const SETTLED: Duration = Duration::from_secs(30);

/// A cluster to be simulated and judged.
#[derive(Clone)]
struct Lab {
    world: World,
    rules: Rules,
    faults: Vec<MessageFault>,
    /// Whether the latency law is to hold whatever happens to messages.
    lawful: bool,
}

/// What each node stores in the end.
type Ending = Vec<(NodeId, Dump)>;

/// What was recorded of a lab, and the verdicts on it.
struct Judged {
    records: Vec<Record>,
    verdicts: BTreeMap<Property, Verdict>,
}

impl Lab {
    /// Three followers, a quorum of 2, delays from 0 to 200 ms, a timeout of 1 s.
    fn new(seed: u64) -> Self {
        let world = World::new(seed).followers(3).write_quorum(2).delay_ms(0, 200).repl_timeout_ms(1000);
        Self { world, rules: Rules::SAFE, faults: Vec::new(), lawful: false }
    }

    fn without(self, rule: Rule) -> Self {
        Self { rules: self.rules.without(rule), ..self }
    }

    /// So many first deliveries to a follower may be unanswered.
    fn window(self, window: usize) -> Self {
        Self { world: self.world.window(window), ..self }
    }

    /// This many in a thousand messages of the first `until_ms` suffer this.
    fn messages(mut self, until_ms: u64, per_mille: u16, effect: Effect) -> Self {
        let until = Duration::from_millis(until_ms);
        let salt = self.faults.len() as u64;
        let all = MessageFault::new(Messages::ALL_WRITES, effect);
        self.faults.push(MessageFault { until, per_mille, salt, ..all });
        self
    }

    fn judge(self, story: impl AsyncFnOnce(Stage) -> Ending + Send + 'static) -> Judged {
        let world = self.world.rules(self.rules).message_faults(self.faults);
        let run = world.run(story).expect("a simulation");
        let records = run.trace.records();
        let history = History::from_records(records);
        let mut facts = Facts::from_records(records).expect("a run says what it was");
        facts.faulty &= !self.lawful;
        let recorded = Recorded { records, history: &history, states: &run.result, facts: Some(&facts) };
        let verdicts = check::all(&recorded).into_iter().map(|verdict| (verdict.property, verdict)).collect();
        Judged { records: records.to_vec(), verdicts }
    }
}

impl Judged {
    fn violated(&self) -> Vec<Property> {
        self.verdicts.values().filter(|verdict| verdict.is_violated()).map(|verdict| verdict.property).collect()
    }

    /// The evidence against a property, as one text.
    #[track_caller]
    fn evidence(&self, property: Property) -> String {
        match &self.verdicts[&property].finding {
            Finding::Violated(evidence) => evidence.join("\n"),
            other => panic!("{property} is not violated, but {:?} are: {other:?}", self.violated()),
        }
    }

    fn cases(&self, property: Property) -> usize {
        match &self.verdicts[&property].finding {
            Finding::Counted { cases, .. } => *cases,
            other => panic!("{property} is not counted: {other:?}"),
        }
    }

    fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.records.iter().filter(|record| wanted(&record.event)).count()
    }
}

/// Gives the replicas time to become equal, whether or not they do, and looks.
async fn ending(stage: &Stage) -> Ending {
    let _ = stage.cluster().settle(SETTLED).await;
    let mut states = Vec::new();
    for node in stage.cluster().nodes() {
        states.extend(stage.cluster().dump(node).await.ok().map(|dump| (node.with_one_leader(), dump)));
    }
    states
}

/// Clients that write and read at once: each `operations` times, on three keys, at the leader and at any follower.
async fn traffic(stage: &Stage, clients: u16, operations: u64) {
    let seed = Seed::new(11).fork("traffic");
    let followers = stage.cluster().nodes().count() as u64 - 1;
    let running = LocalSet::new();
    for number in 0..clients {
        let client = stage.client(number);
        running.spawn_local(async move {
            for n in 0..operations {
                let draw = |what| seed.draw(&[number.into(), n, what]);
                let key = format!("k{}", draw(0).between(1, 3));
                // How it ended is in the trace.
                match draw(1).between(1, 4) {
                    1 => drop(client.get(LEADER, &key).await),
                    2 => drop(client.get(f(draw(2).between(1, followers) as u8), &key).await),
                    _ => drop(client.set(&key, &format!("\"c{number}#{n}\"")).await),
                }
            }
        });
    }
    running.await;
}

/// Without faults nothing is found, and the latency law applies.
#[test]
fn a_right_store_without_faults() {
    for_each_seed(0..5, |seed| {
        let judged = Lab::new(seed).judge(async |stage| {
            traffic(&stage, 8, 20).await;
            ending(&stage).await
        });
        assert_eq!(judged.violated(), [], "{:#?}", judged.verdicts);
        let law = &judged.verdicts[&Property::LatencyLaw].finding;
        assert!(matches!(law, Finding::Holds(_)), "{law:?}");
    });
}

/// Lost, doubled and unanswered messages and followers that are cut off: nothing is found, and all of it happened.
#[test]
fn a_right_store_under_faults() {
    for_each_seed(0..20, |seed| {
        let lab = Lab::new(seed).messages(8000, 100, Effect::Drop).messages(8000, 100, Effect::DropReply).messages(
            8000,
            100,
            Effect::Duplicate(None),
        );
        let judged = lab.judge(async |stage| {
            let faults = async {
                for away in [f(1), f(3), f(2)] {
                    sleep(Duration::from_millis(700)).await;
                    stage.isolate(away);
                    sleep(Duration::from_millis(1500)).await;
                    stage.reconnect(away);
                }
            };
            tokio::join!(traffic(&stage, 6, 25), faults);
            sleep(Duration::from_secs(8).saturating_sub(stage.now())).await;
            stage.settle().await;
            stage.probe();
            // Clients of their own, so that no two operations have one name.
            for number in 100..103 {
                let _ = stage.client(number).set("k1", &format!("\"probe {number}\"")).await;
            }
            ending(&stage).await
        });
        assert_eq!(judged.violated(), [], "{:#?}", judged.verdicts);
        let lost = |part| judged.count(|e| matches!(e, Event::Send { lost: Some(lost), .. } if *lost == part));
        assert!(lost(LostPart::Request) > 10 && lost(LostPart::Reply) > 10);
        assert!(judged.count(|e| matches!(e, Event::Send { copy: Some(_), .. })) > 10);
        assert!(judged.count(|e| matches!(e, Event::Send { message, .. } if message.attempt > 1)) > 0);
        assert!(judged.count(|e| matches!(e, Event::Reject { .. })) > 10);
        assert!(judged.cases(Property::Sessions) > 0 && judged.cases(Property::Prefix) > 0);
    });
}

/// A write that all have, and a follower that starts anew.
async fn follower_restarts(stage: Stage) -> Ending {
    stage.client(0).set("k", "1").await.ok().expect("all followers are there");
    stage.settle().await;
    stage.crash(f(2));
    sleep(Duration::from_millis(100)).await;
    stage.restart(f(2));
    ending(&stage).await
}

/// The last to arrive wins.
#[test]
fn without_comparing_stamps() {
    for_each_seed(0..5, |seed| {
        let judged = Lab::new(seed).without(Rule::CompareStamps).judge(async |stage| {
            traffic(&stage, 6, 10).await;
            ending(&stage).await
        });
        assert!(judged.evidence(Property::MonotonicState).contains(" went back from k"));
    });
}

/// Five writes, then a leader that starts anew and counts from 1 again.
async fn leader_restarts(stage: Stage) -> Ending {
    let client = stage.client(0);
    for n in 1..=5 {
        client.set("k", &n.to_string()).await.ok().expect("all followers are there");
    }
    stage.settle().await;
    stage.crash(LEADER);
    sleep(Duration::from_millis(100)).await;
    stage.restart(LEADER);
    sleep(Duration::from_millis(100)).await;
    let _ = client.get(LEADER, "k").await;
    let _ = client.set("k", "6").await;
    ending(&stage).await
}

/// The followers reject what the new leader sends, and their answers count as confirmations.
#[test]
fn without_confirming_only_what_is_stored() {
    for_each_seed(0..5, |seed| {
        let lab = Lab { rules: Rules::LAB, ..Lab::new(seed) };
        let judged = lab.judge(leader_restarts);
        let evidence = judged.evidence(Property::Acknowledgement);
        assert!(evidence.contains("acknowledged k v1 (c1#7)"), "{evidence}");
        assert!(evidence.contains("but nobody had stored it"), "{evidence}");
        assert!(judged.evidence(Property::Durability).contains("when nobody stored it, where 2 must"));
    });
}

/// A leader that does not recover what an earlier one wrote, and at least knows whose confirmations are its own.
#[test]
fn a_leader_that_forgets() {
    for_each_seed(0..5, |seed| {
        let rules = Rules { confirm_only_stored: true, resend_missed: true, ..Rules::LAB };
        let judged = Lab { rules, ..Lab::new(seed) }.judge(leader_restarts);
        let [integrity, linearizability, durability] =
            [Property::Integrity, Property::Linearizability, Property::Durability].map(|p| judged.evidence(p));
        assert!(integrity.contains("k v1 has two values: 1 (n1 accepted it at "), "{integrity}");
        assert!(linearizability.contains("c1#6, from "), "{linearizability}");
        assert!(durability.contains("n1 acknowledged k v5 (c1#5) at "), "{durability}");
        assert!(durability.contains("; n1 crashed at "), "{durability}");
        assert!(!judged.verdicts[&Property::Acknowledgement].is_violated());
    });
}

/// With all rules nothing is lost when the leader restarts, or a follower.
#[test]
fn nobody_forgets_with_all_rules() {
    for_each_seed(0..5, |seed| {
        assert_eq!(Lab::new(seed).judge(leader_restarts).violated(), []);
        let judged = Lab::new(seed).judge(follower_restarts);
        assert_eq!(judged.violated(), []);
    });
}

/// A follower that lost its memory is not sent again what it had.
#[test]
fn a_follower_that_forgets() {
    for_each_seed(0..5, |seed| {
        let judged = Lab { rules: Rules::LAB, ..Lab::new(seed) }.judge(follower_restarts);
        assert_eq!(judged.violated(), [Property::Convergence], "{:#?}", judged.verdicts);
        assert!(judged.evidence(Property::Convergence).contains("f2 has none"));
    });
}

/// Every message arrives twice, and one follower makes a quorum of 2. That is too fast, too.
#[test]
fn without_counting_distinct_followers() {
    for_each_seed(0..5, |seed| {
        let mut lab = Lab::new(seed).without(Rule::CountDistinct).messages(60_000, 1000, Effect::Duplicate(None));
        lab.lawful = true;
        let judged = lab.judge(async |stage| {
            traffic(&stage, 8, 20).await;
            ending(&stage).await
        });
        let evidence = judged.evidence(Property::Acknowledgement);
        assert!(evidence.contains("with 2 confirmations, but only f"), "{evidence}");
        assert!(judged.evidence(Property::Durability).contains(" stored it, where 2 must"));
        assert!(judged.evidence(Property::LatencyLaw).contains("acknowledged writes"));
    });
}

/// Two of three followers crash with a request under way, and its end is taken for its success. (A message that the
/// emulated network drops cannot show it: the leader learns of it at the deadline, when the write has ended.)
#[test]
fn without_confirming_only_by_answers() {
    for_each_seed(0..5, |seed| {
        let mut lab = Lab::new(seed).without(Rule::ConfirmOnlyAnswers).without(Rule::DoubtEndedConnections);
        lab.world = lab.world.delay_ms(0, 0).link_latency_ms(20);
        let judged = lab.judge(async |stage| {
            let client = stage.client(0);
            client.set("k", "1").await.ok().expect("all followers are there");
            stage.settle().await;
            // It reaches the leader after 20 ms, and the followers after 40.
            let crashes = async {
                sleep(Duration::from_millis(30)).await;
                stage.crash(f(1));
                stage.crash(f(2));
            };
            let _ = tokio::join!(client.set("k", "2"), crashes);
            ending(&stage).await
        });
        let evidence = judged.evidence(Property::Acknowledgement);
        assert!(evidence.contains("n1 acknowledged k v2 (c1#2) at "), "{evidence}");
        assert!(evidence.contains("with 2 confirmations, but "), "{evidence}");
        assert!(judged.evidence(Property::Durability).contains(" stored it, where 2 must"));
    });
}

/// The deadline lowers the quorum to what there is.
#[test]
fn without_keeping_the_quorum() {
    for_each_seed(0..5, |seed| {
        let judged = Lab::new(seed).without(Rule::KeepQuorum).judge(async |stage| {
            stage.isolate(f(1));
            stage.isolate(f(2));
            let _ = stage.client(0).set("k", "1").await;
            stage.reconnect(f(1));
            stage.reconnect(f(2));
            ending(&stage).await
        });
        let evidence = judged.evidence(Property::Acknowledgement);
        assert!(evidence.contains("with 1 confirmation, but only f3 had stored it, where 2 must"), "{evidence}");
        assert!(judged.evidence(Property::Durability).contains("when only f3 stored it, where 2 must"));
        assert!(!judged.verdicts[&Property::Convergence].is_violated());
    });
}

/// What is lost stays lost.
#[test]
fn without_resending_what_was_missed() {
    for_each_seed(0..5, |seed| {
        let lab =
            Lab::new(seed).without(Rule::ResendMissed).without(Rule::CompareStores).messages(60_000, 300, Effect::Drop);
        let judged = lab.judge(async |stage| {
            for n in 1..=5 {
                let _ = stage.client(n).set(&format!("k{n}"), "1").await;
            }
            ending(&stage).await
        });
        assert_eq!(judged.violated(), [Property::Convergence], "{:#?}", judged.verdicts);
    });
}

/// Whoever says that all was healed when it was not is told of the writes that failed.
#[test]
fn a_network_that_stays_broken() {
    for_each_seed(0..5, |seed| {
        let judged = Lab::new(seed).judge(async |stage| {
            stage.isolate(f(1));
            stage.isolate(f(2));
            stage.probe();
            let _ = stage.client(0).set("k", "1").await;
            ending(&stage).await
        });
        let evidence = judged.evidence(Property::Liveness);
        assert!(
            evidence.contains("after all was healed, was not acknowledged with 1 of 2 confirmations"),
            "{evidence}"
        );
    });
}

/// Two handlers that read the version before either has stored its write.
#[test]
fn without_one_writer_for_each_key() {
    for_each_seed(0..5, |seed| {
        let judged = Lab::new(seed).without(Rule::OneWriter).judge(async |stage| {
            traffic(&stage, 8, 20).await;
            ending(&stage).await
        });
        assert!(judged.evidence(Property::Integrity).contains(" has two values: "));
        assert!(judged.evidence(Property::Linearizability).contains(" both wrote "));
    });
}

/// A write whose quorum never comes keeps its client waiting.
#[test]
fn without_answering_by_the_deadline() {
    for_each_seed(0..5, |seed| {
        let judged = Lab::new(seed).without(Rule::AnswerByDeadline).judge(async |stage| {
            stage.isolate(f(1));
            stage.isolate(f(2));
            let _ = stage.client(0).set("k", "1").await;
            Ending::new()
        });
        let evidence = judged.evidence(Property::Liveness);
        assert!(evidence.contains("c1#1, a write of k at n1, was invoked at "), "{evidence}");
        assert!(
            evidence.contains(" only") && evidence.contains("and had not answered it when the run ended"),
            "{evidence}"
        );
    });
}

/// Traffic while a follower is away.
async fn one_is_away(stage: Stage) -> Ending {
    stage.isolate(f(1));
    traffic(&stage, 6, 20).await;
    stage.reconnect(f(1));
    ending(&stage).await
}

/// A follower that does not answer costs a message for each write.
#[test]
fn without_bounding_the_window() {
    for_each_seed(0..5, |seed| {
        let evidence =
            Lab::new(seed).window(4).without(Rule::BoundWindow).judge(one_is_away).evidence(Property::Bounds);
        assert!(evidence.contains("n1 had 5 first deliveries to f1 under way at "), "{evidence}");
        assert!(evidence.contains("; at most 4 may be"), "{evidence}");
        let judged = Lab::new(seed).window(4).judge(one_is_away);
        assert_eq!(judged.violated(), [], "{:#?}", judged.verdicts);
    });
}
