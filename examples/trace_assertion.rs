//! An assertion of your own, on the trace of a race: no follower applies a write before its leader accepted it, and a
//! quorum-3 acknowledgement comes after the third follower stored the write.
//!
//! `cargo run --example trace_assertion`

use std::collections::BTreeMap;
use std::sync::Arc;

use semisync::base::trace::{Event, WriteId};
use semisync::base::{Key, Stamp};
use semisync::sim::{Engine, Race, SimError};

fn main() -> Result<(), SimError> {
    for seed in 0..5 {
        let race = Race { seed, writes: 50, ..Race::default() };
        let run = race.run(Engine::Turmoil, Arc::default())?;
        let mut accepted: BTreeMap<(Key, Stamp), WriteId> = BTreeMap::new();
        let mut arrived: BTreeMap<WriteId, usize> = BTreeMap::new();
        for record in run.trace.records() {
            match &record.event {
                Event::Accept { write, key, stamp, .. } => {
                    accepted.insert((key.clone(), *stamp), *write);
                }
                // A stale arrival counts: that follower has something newer of the same key.
                Event::Apply { key, stamp, .. } | Event::Reject { key, stamp, .. } => {
                    let write = accepted.get(&(key.clone(), *stamp));
                    *arrived.entry(*write.expect("nothing comes from nowhere")).or_default() += 1;
                }
                Event::Complete { write, ok: true, .. } => {
                    let arrived = arrived.get(write).copied().unwrap_or_default();
                    assert!(arrived >= race.write_quorum, "write {write} was acknowledged with {arrived} arrivals");
                }
                _ => {}
            }
        }
        println!("seed {seed}: {} acknowledgements, each after its quorum", run.completions().0);
    }
    Ok(())
}
