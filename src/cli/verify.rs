use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::join_all;
use semisync::base::{Key, Value};
use semisync::client::{Cluster, ReadError};
use semisync::live::verify::{Comparison, verify};
use semisync::net::Transport;
use semisync::report::ComparisonReport;
use tokio::time::{Instant, sleep};

use super::progress::{Counter, Extent, Progress};
use super::target::{TargetArgs, Task, parse_seconds};
use super::{Failure, NO, say};

/// Compares what every follower stores with what the leader stores, key by key.
///
/// Exit status: 0 if all are equal, 1 if not or if a node cannot be read, 2 if an address is not what it should be.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// How many differences to list; all are counted
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Compare again and again until all are equal or the deadline has passed
    #[arg(long)]
    watch: bool,
    /// With --watch: seconds until then
    #[arg(long, value_name = "SECONDS", requires = "watch", default_value = "60", value_parser = parse_seconds)]
    deadline: Duration,
}

struct Verify {
    limit: usize,
    /// Write this many values first.
    writes: usize,
    /// Until when to go on trying.
    deadline: Duration,
    /// Counts the comparisons.
    counter: Counter,
}

/// How long to wait before the next comparison.
const PAUSE: Duration = Duration::from_millis(200);

impl Task for Verify {
    type Output = Result<Comparison, ReadError>;
    const DOES_WITHOUT_FOLLOWERS: bool = true;

    async fn run<T: Transport>(self, cluster: Cluster<T>) -> Result<Comparison, ReadError> {
        give(&cluster, self.writes).await;
        let began = Instant::now();
        loop {
            let comparison = verify(&cluster, self.limit).await;
            self.counter.add_one();
            self.counter.note(match &comparison {
                Ok(comparison) => {
                    let (equal, all) = (comparison.equal_followers(), comparison.followers.len());
                    format!("{equal} of {all} followers are equal to the leader")
                }
                Err(error) => format!("the leader cannot be read: {error}"),
            });
            let is_equal = comparison.as_ref().is_ok_and(Comparison::is_equal);
            // A leader that cannot be read now may be back before the deadline.
            if is_equal || began.elapsed() >= self.deadline {
                return comparison;
            }
            sleep(PAUSE).await;
        }
    }
}

/// How many values a simulated cluster is given, and on how many keys.
const SIMULATED_WRITES: usize = 200;
const SIMULATED_KEYS: usize = 50;

/// Writes values, all at once, and waits for the answers.
async fn give<T: Transport>(cluster: &Cluster<T>, writes: usize) {
    let writes = (0..writes).map(|number| async move {
        let key = Key::new(&format!("k{}", number % SIMULATED_KEYS)).expect("a short name");
        let value = Value::from_json(&number.to_string()).expect("a number is JSON");
        // What became of it shows in the comparison.
        let _ = cluster.set(&key, &value).await;
    });
    join_all(writes).await;
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    say(format_args!("Verify {}\n", args.target.name()));
    let deadline = if args.watch { args.deadline } else { Duration::ZERO };
    // A simulated cluster is empty at first.
    let writes = if args.target.is_simulated() { SIMULATED_WRITES } else { 0 };
    if writes > 0 {
        say(format_args!("It is given {writes} writes at once, and looked at when the last is acknowledged.\n"));
    }
    let progress = Progress::start("verify", Extent::Unknown("comparisons"));
    let comparison = args.target.run(Verify { limit: args.limit, writes, deadline, counter: progress.counter() });
    drop(progress);
    let comparison = comparison?;
    let comparison = comparison.map_err(|error| Failure::Failed(format!("the leader cannot be read: {error}")))?;
    say(ComparisonReport(&comparison));
    Ok(if comparison.is_equal() { ExitCode::SUCCESS } else { NO })
}
