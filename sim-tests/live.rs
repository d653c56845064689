//! What is done to a running cluster: the same on loopback TCP, and over many seeds in the simulator.

use std::time::Duration;

use semisync::base::wire::{ReplicateBody, ReplicateRequest};
use semisync::base::{NodeId, Requests, Version};
use semisync::client::{Client, Cluster};
use semisync::live::race::{Race, StoryReport};
use semisync::live::verify::{Differs, verify};
use semisync::net::{HostPort, Tcp, Transport};

use crate::support::tcp::{CLIENT_DEADLINE, Running, TcpCluster};
use crate::support::{f, json, key, raw};

pub async fn stories<T: Transport>(cluster: &Cluster<T>) -> [StoryReport; 3] {
    let race = Race::new(cluster, "race", Duration::from_secs(20));
    [race.sequential().await, race.concurrent().await, race.out_of_order().await]
}

#[tokio::test]
async fn a_right_cluster_passes_the_race() {
    let cluster = TcpCluster::start(3, 2, (0, 50)).await;
    for story in stories(&cluster.cluster).await {
        assert!(story.passed(), "{story:?}");
        assert_eq!(story.nodes.len(), 4);
    }
    let comparison = verify(&cluster.cluster, 10).await.expect("the leader answers");
    assert!(comparison.is_equal() && comparison.keys == 3, "{comparison:?}");
}

/// Fills a node with these versions of keys, through the array form of replication.
async fn fill(node: &Running, keys: std::ops::Range<u32>) {
    let items: Vec<ReplicateRequest> = keys
        .map(|n| {
            let (key, value) = (key(&format!("key {n:06}")), json(&n.to_string()));
            let version = Version::new(7).expect("a version");
            ReplicateRequest {
                key,
                value,
                deleted: false,
                version,
                epoch: None,
                leader: None,
                requests: Requests::default(),
            }
        })
        .collect();
    for batch in items.chunks(1000) {
        let text = serde_json::to_string(batch).expect("JSON");
        assert!(matches!(semisync::base::wire::parse_replicate(text.as_bytes()), Ok(ReplicateBody::Batch(_))));
        assert_eq!(raw::post_json(node.address, "/replicate", &text).await.0, 200);
    }
}

/// Nodes that nothing replicates to, one of them in the leader's place: what they hold is all up to the test.
async fn nodes(count: usize) -> (Vec<Running>, Cluster<Tcp>) {
    let mut running = Vec::new();
    for _ in 0..count {
        running.push(Running::follower().await);
    }
    let mut addresses = running.iter().map(|node| HostPort::from(node.address));
    let leader = addresses.next().expect("a node");
    let cluster = Cluster::new(Client::new(Tcp, CLIENT_DEADLINE), leader, addresses.collect());
    (running, cluster)
}

async fn replicate(node: &Running, name: &str, value: &str, version: u64) {
    let body = format!(r#"{{"key":"{name}","value":{value},"version":{version}}}"#);
    assert_eq!(raw::post_json(node.address, "/replicate", &body).await.0, 200);
}

#[tokio::test]
async fn one_key_of_a_hundred_thousand_is_found() {
    let (running, cluster) = nodes(2).await;
    for node in &running {
        fill(node, 0..100_000).await;
    }
    assert!(verify(&cluster, 10).await.expect("the leader answers").is_equal());
    replicate(&running[1], "key 061803", "\"other\"", 8).await;
    let comparison = verify(&cluster, 10).await.expect("the leader answers");
    let [difference] = &comparison.differences[..] else { panic!("one difference: {comparison:?}") };
    assert_eq!((difference.key.as_str(), &difference.differs), ("key 061803", &Differs::Version));
    assert_eq!((comparison.keys, comparison.followers[0].1.keys), (100_000, 100_000));
    assert_eq!(comparison.followers[0].1.differences(), 1);
}

#[tokio::test]
async fn each_kind_of_difference_is_counted_and_the_list_is_limited() {
    let (running, cluster) = nodes(3).await;
    let [leader, f1, f2] = &running[..] else { panic!("three nodes") };
    for (name, version) in [("b", 2), ("c", 2), ("d", 2), ("e", 2)] {
        replicate(leader, name, "1", version).await;
    }
    for (name, value, version) in [("a", "1", 1), ("b", "1", 2), ("c", "1", 3), ("d", "2", 2), ("z", "1", 1)] {
        replicate(f1, name, value, version).await;
    }
    for name in ["b", "c", "d", "e"] {
        replicate(f2, name, "1", 2).await;
    }
    let comparison = verify(&cluster, 3).await.expect("the leader answers");
    let [(_, first), (_, second)] = &comparison.followers[..] else { panic!("two followers") };
    assert_eq!((first.keys, first.missing, first.extra, first.version, first.value), (5, 1, 2, 1, 1));
    assert!(second.is_equal() && !comparison.is_equal());
    let listed: Vec<(NodeId, &str)> =
        comparison.differences.iter().map(|d| (d.node.with_one_leader(), d.key.as_str())).collect();
    assert_eq!(listed, [(f(1), "a"), (f(1), "c"), (f(1), "d")]);
}

#[tokio::test]
async fn a_follower_that_is_gone_is_named_and_fails_the_comparison() {
    let (mut running, cluster) = nodes(3).await;
    replicate(&running[0], "a", "1", 1).await;
    replicate(&running[2], "a", "1", 1).await;
    running.remove(1).kill().await;
    let comparison = verify(&cluster, 10).await.expect("the leader answers");
    assert!(!comparison.is_equal());
    let [(_, gone), (_, there)] = &comparison.followers[..] else { panic!("two followers") };
    assert!(gone.unreadable.as_ref().is_some_and(|why| why.contains("cannot connect")), "{gone:?}");
    assert!(there.is_equal(), "{there:?}");
    running.remove(0).kill().await;
    assert!(verify(&cluster, 10).await.is_err(), "without a leader there is nothing to compare with");
}

/// Another program with the same interface need not sort its dump.
#[tokio::test]
async fn a_dump_in_another_order_is_compared_all_the_same() {
    let dump = |entries: &[(&str, u32)]| {
        let entries: Vec<String> =
            entries.iter().map(|(k, v)| format!(r#""{k}":{{"value":{v},"version":1}}"#)).collect();
        format!("{{{}}}", entries.join(","))
    };
    let leader = raw::answering("application/json", dump(&[("b", 1), ("a", 1), ("c", 1)])).await;
    let follower = raw::answering("application/json", dump(&[("c", 1), ("a", 2), ("b", 1)])).await;
    let cluster = Cluster::new(Client::new(Tcp, CLIENT_DEADLINE), leader.into(), vec![follower.into()]);
    let comparison = verify(&cluster, 10).await.expect("the leader answers");
    assert_eq!((comparison.keys, comparison.followers[0].1.value, comparison.differences.len()), (3, 1, 1));
}

#[cfg(feature = "sim")]
mod simulated {
    use std::collections::BTreeSet;

    use semisync::base::history::History;
    use semisync::base::{ReadMode, Seed};
    use semisync::check::latency_law::{self, LatencyLaw};
    use semisync::client::HistoryRecorder;
    use semisync::core::{Rule, Rules};
    use semisync::live::analyze::{Plan, QuorumResult, measure};
    use semisync::live::load::{self, KeyDistribution, LoadPlan, LoadResult, ReadFrom};
    use semisync::sim::{Run, World};
    use tokio::time::sleep;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::support::seeds::for_each_seed;

    #[test]
    fn a_right_cluster_passes_the_race_with_any_delays() {
        for_each_seed(0..10, |seed| {
            let run = World::new(seed).run(async |stage| stories(stage.cluster()).await).expect("a simulation");
            for story in run.result {
                assert!(story.passed(), "{story:?}");
            }
        });
    }

    /// The last to arrive wins: late messages and a stale write by hand are applied.
    #[test]
    fn a_follower_that_takes_stale_writes_fails_the_race() {
        for_each_seed(0..5, |seed| {
            let world = World::new(seed).rules(Rules::SAFE.without(Rule::CompareStamps));
            let run = world.run(async |stage| stories(stage.cluster()).await).expect("a simulation");
            let [_, _, out_of_order] = run.result;
            let problems = out_of_order.problems.join("\n");
            assert!(problems.contains("f1 applied version 3 though it had version 6"), "{problems}");
            assert!(problems.contains("holds v3 = \"stale\", not v6 = \"the last\""), "{problems}");
        });
    }

    #[test]
    fn a_quorum_that_is_missed_fails_the_race() {
        let world = World::new(1).followers(2).write_quorum(2).repl_timeout_ms(500).delay_ms(0, 10);
        let run = world.run(async |stage| {
            stage.isolate(f(2));
            let race = Race::new(stage.cluster(), "race", Duration::from_secs(1));
            race.sequential().await
        });
        let problems = run.expect("a simulation").result.problems.join("\n");
        assert!(
            problems.contains("\"write 1\" was not acknowledged: stored by the leader as version 1, but only 1 of 2")
        );
        assert!(problems.contains("f2 holds nothing, not v10 = \"write 10\""), "{problems}");
    }

    fn plan(quorum: usize) -> Plan {
        let delay = (Duration::ZERO, Duration::from_secs(1));
        let (tag, deadline) = ("test".to_owned(), Duration::from_secs(20));
        Plan { quorum, writes: 200, clients: 50, keys: 10, tag, delay, deadline, staleness: 0 }
    }

    fn analyze(world: &World, plan: Plan) -> Run<QuorumResult> {
        let world = world.clone().write_quorum(plan.quorum);
        let run = world.run(async move |stage| measure(stage.cluster(), &plan, &|| {}).await.expect("it is measured"));
        run.expect("a simulation")
    }

    fn at_the_leader(run: &Run<QuorumResult>) -> Vec<f64> {
        latency_law::latencies(run.trace.records())
    }

    /// The greatest distance between the shares of the sample and those of the law (Kolmogorov and Smirnov).
    fn distance(mut sample: Vec<f64>, law: &LatencyLaw) -> f64 {
        sample.sort_by(f64::total_cmp);
        let n = sample.len() as f64;
        let steps = sample.iter().enumerate().map(|(place, latency)| {
            let share = law.cdf(*latency);
            (share - place as f64 / n).max((place + 1) as f64 / n - share)
        });
        steps.fold(0.0, f64::max)
    }

    /// Less what the network adds where nothing is delayed, latencies are those of the law. The critical distance is that of
    /// 0.1 %.
    #[test]
    fn twenty_seeds_pooled_follow_the_law_with_every_quorum() {
        for quorum in 1..=5 {
            let undelayed = World::new(1).delay_ms(0, 0);
            let undelayed = at_the_leader(&analyze(&undelayed, plan(quorum)));
            let baseline = undelayed.iter().sum::<f64>() / undelayed.len() as f64;
            assert!(baseline < 0.005, "without delays a write takes {baseline} s");
            let mut pooled = Vec::new();
            for seed in 0..20 {
                let run = analyze(&World::new(Seed::new(seed).fork(&format!("q{quorum}")).get()), plan(quorum));
                let law = run.result.law.as_ref().expect("there is chance in it");
                assert!(law.mean_within, "seed {seed}, quorum {quorum}: {} {law:?}", run.result.avg_latency);
                assert!(run.result.consistency.consistent && run.result.count == 200);
                pooled.extend(at_the_leader(&run).iter().map(|latency| latency - baseline));
            }
            let law = LatencyLaw::new(quorum, 5, Duration::ZERO, Duration::from_secs(1)).expect("a law");
            let critical = 1.949 / (pooled.len() as f64).sqrt();
            let distance = distance(pooled, &law);
            assert!(distance < critical, "quorum {quorum}: {distance} of {critical}");
        }
    }

    /// A follower that is cut off is named, and it is not a different number of followers that fails it.
    #[test]
    fn a_follower_without_the_values_of_this_run_is_inconsistent() {
        let plan = Plan { staleness: 10, deadline: Duration::from_secs(1), ..plan(1) };
        let world = World::new(3).followers(3).write_quorum(1);
        let run = world.run(async move |stage| {
            // What an earlier run left must not count.
            let old = Plan { tag: "old".into(), ..plan.clone() };
            assert!(measure(stage.cluster(), &old, &|| {}).await.expect("it is measured").consistency.consistent);
            stage.isolate(f(2));
            measure(stage.cluster(), &plan, &|| {}).await.expect("it is measured")
        });
        let result = run.expect("a simulation").result;
        assert_eq!(result.consistency.inconsistent_followers, ["f2"]);
        assert!(!result.consistency.consistent && result.count == 200);
        assert_eq!(result.staleness.len(), 10);
        assert!(result.staleness.iter().all(|point| point.measured > 0.3), "{:?}", result.staleness);
    }

    #[test]
    fn staleness_follows_its_law() {
        let plan = Plan { writes: 10, staleness: 400, ..plan(2) };
        let points = analyze(&World::new(5), plan).result.staleness;
        assert_eq!(points.len(), 10);
        for point in points {
            // 400 writes; those of one write are dependent, so the standard error is of writes, not of reads.
            let law = point.law.expect("there is one");
            let tolerance = 4.0 * (law * (1.0 - law) / 400.0).sqrt() + 0.01;
            assert!((point.measured - law).abs() < tolerance, "{point:?}");
        }
    }

    #[test]
    fn another_quorum_than_the_leaders_is_not_measured() {
        let run = World::new(1).run(async |stage| measure(stage.cluster(), &plan(2), &|| {}).await);
        let error = run.expect("a simulation").result.expect_err("the quorum is 3").to_string();
        assert_eq!(error, "the leader waits for 3 followers, not for 2");
    }

    fn load_plan() -> LoadPlan {
        LoadPlan {
            clients: 4,
            rate: None,
            count: Some(100),
            time: None,
            keys: KeyDistribution::Uniform(10),
            tag: "load".into(),
            reads: 0.4,
            read_from: ReadFrom::Any,
            read_mode: ReadMode::Local,
            value_size: 50,
            seed: Seed::new(1),
        }
    }

    fn loaded(world: &World, plan: LoadPlan) -> (LoadResult, History) {
        let run = world.run(async move |stage| {
            let recorder = HistoryRecorder::start(stage.cluster().client().transport());
            let result = load::run(stage.cluster(), &plan, Some(&recorder), &CancellationToken::new(), |_| {}).await;
            (result, recorder.history())
        });
        run.expect("a simulation").result
    }

    #[test]
    fn a_load_does_what_it_was_told_and_writes_it_down() {
        let (result, history) = loaded(&World::new(1), load_plan());
        assert_eq!((result.succeeded(), result.failed(), history.operations.len()), (100, 0, 100));
        let writes = history.operations.iter().filter(|operation| operation.is_write()).count() as u64;
        assert_eq!((result.writes.count(), result.reads.count()), (writes, 100 - writes));
        assert!((40..80).contains(&writes), "{writes} of 100 at 60 %");
        let targets: BTreeSet<NodeId> = history.operations.iter().filter(|o| !o.is_write()).map(|o| o.target).collect();
        assert!(targets.len() > 3, "{targets:?}");
        let (again, same) = loaded(&World::new(1), load_plan());
        assert_eq!((history, result.elapsed), (same, again.elapsed));
    }

    /// One client, answers after half a second, ten operations a second: the later ones waited for the earlier ones, and
    /// their latencies say so.
    #[test]
    fn a_rate_leaves_no_waiting_out() {
        let world = World::new(1).followers(1).write_quorum(1).delay_ms(500, 500);
        let plan = LoadPlan { clients: 1, count: Some(10), reads: 0.0, ..load_plan() };
        let (closed, _) = loaded(&world, plan.clone());
        let (open, _) = loaded(&world, LoadPlan { rate: Some(10.0), ..plan });
        let ms = |latency: Duration| latency.as_millis();
        assert!((500..520).contains(&ms(closed.writes.longest())), "{:?}", closed.writes.longest());
        // The last one was due at 900 ms and done after ten times half a second.
        assert!((4100..4200).contains(&ms(open.writes.longest())), "{:?}", open.writes.longest());
    }

    #[test]
    fn a_rate_is_kept_while_there_are_clients_for_it() {
        let plan =
            LoadPlan { rate: Some(50.0), count: None, time: Some(Duration::from_secs(4)), clients: 100, ..load_plan() };
        let (result, _) = loaded(&World::new(1), plan);
        assert_eq!(result.succeeded(), 200);
        assert!((Duration::from_secs(4)..Duration::from_secs(5)).contains(&result.elapsed), "{:?}", result.elapsed);
    }

    /// What is not due when the load is stopped is not begun, and nobody waits for it.
    #[test]
    fn a_load_that_is_stopped_ends_at_once() {
        let plan =
            LoadPlan { rate: Some(1.0), count: None, time: Some(Duration::from_secs(60)), clients: 20, ..load_plan() };
        let run = World::new(1).run(async move |stage| {
            let stop = CancellationToken::new();
            let stopping = async {
                sleep(Duration::from_millis(2500)).await;
                stop.cancel();
            };
            tokio::join!(load::run(stage.cluster(), &plan, None, &stop, |_| {}), stopping).0
        });
        let result = run.expect("a simulation").result;
        assert_eq!(result.succeeded(), 3);
        assert!(result.elapsed < Duration::from_secs(4), "{:?}", result.elapsed);
    }

    #[test]
    fn errors_are_counted_by_kind() {
        let world = World::new(1).followers(2).write_quorum(2).repl_timeout_ms(300).delay_ms(0, 10);
        let run = world.run(async |stage| {
            stage.isolate(f(1));
            load::run(stage.cluster(), &load_plan(), None, &CancellationToken::new(), |_| {}).await
        });
        let result = run.expect("a simulation").result;
        assert_eq!(result.errors.keys().collect::<Vec<_>>(), ["write missed its quorum"]);
        assert_eq!(result.writes.count(), 0);
        assert_eq!(result.reads.count() + result.failed(), 100);
    }

    /// A leader that is gone refuses at once, and is asked ten times a second by each client all the same.
    #[tokio::test]
    async fn a_client_rests_after_what_did_not_go_well() {
        let gone = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let cluster = Cluster::new(Client::new(Tcp, CLIENT_DEADLINE), gone.expect("a free port").into(), Vec::new());
        let plan = LoadPlan { count: None, time: Some(Duration::from_secs(1)), reads: 0.0, ..load_plan() };
        let result = load::run(&cluster, &plan, None, &CancellationToken::new(), |_| {}).await;
        assert_eq!(result.errors.keys().collect::<Vec<_>>(), ["write not sent: no connection"]);
        assert!((4..=40).contains(&result.failed()), "{} by 4 clients in a second", result.failed());
    }

    #[test]
    fn a_load_reads_in_the_mode_that_it_is_told() {
        let plan = LoadPlan { read_from: ReadFrom::Leader, read_mode: ReadMode::Linearizable, ..load_plan() };
        let (result, history) = loaded(&World::new(1), plan);
        assert_eq!((result.succeeded(), result.failed()), (100, 0));
        let mut reads = history.operations.iter().filter(|operation| !operation.is_write());
        assert!(reads.all(|read| (read.target, read.mode) == (NodeId::FIRST_SERVER, ReadMode::Linearizable)));
    }
}
