//! The latency law, where it is exact.

use std::sync::Arc;

use semisync::check::latency_law::Level;
use semisync::sim::{Engine, Race};

/// 200 writes by 10 clients at every quorum: the mean lies within the law's bounds for 99.9 % of such runs. The seeds are
/// fixed, so this either always passes or never does. What the links add is measured by a race without delays.
#[test]
fn the_mean_latency_follows_the_order_statistic() {
    for quorum in 1..=5 {
        let race = Race { seed: 7, write_quorum: quorum, ..Race::default() };
        let run = |race: &Race| race.run(Engine::Turmoil, Arc::default()).expect("a simulation");
        let mean = |latencies: Vec<f64>| latencies.iter().sum::<f64>() / latencies.len() as f64;
        let baseline = mean(run(&Race { delay_ms: (0, 0), ..race.clone() }).latencies());
        assert!(baseline < 0.015, "without delays a write takes {baseline} s");
        let run = run(&race);
        let law = run.law().expect("there is a range of delays");
        let latencies = run.latencies();
        assert_eq!(latencies.len(), 200);
        let (mean, tolerance) = (mean(latencies) - baseline, law.mean_tolerance(200, Level::OF_ONE_RUN));
        assert!((mean - law.mean()).abs() < tolerance, "quorum {quorum}: {mean} s, not {} ± {tolerance} s", law.mean());
    }
}
