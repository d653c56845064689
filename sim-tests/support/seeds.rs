use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};

/// Runs a scenario for each seed. A failure says which seed it was and how to run that one alone.
pub fn for_each_seed(seeds: Range<u64>, scenario: impl Fn(u64)) {
    let only = std::env::var("SEMISYNC_SEED").ok().map(|text| text.parse().expect("SEMISYNC_SEED must be a number"));
    let in_range = only.is_none_or(|only| seeds.contains(&only));
    assert!(in_range, "SEMISYNC_SEED must be in {seeds:?} for this test");
    for seed in seeds.filter(|seed| only.is_none_or(|only: u64| only == *seed)) {
        if let Err(failure) = panic::catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            eprintln!(
                "failed at seed {seed}; to repeat it alone:\nSEMISYNC_SEED={seed} cargo test --test sim -- --exact {name}"
            );
            panic::resume_unwind(failure);
        }
    }
}
