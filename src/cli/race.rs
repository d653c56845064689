use std::process::ExitCode;
use std::time::Duration;

use semisync::client::Cluster;
use semisync::live::race::{Race, StoryReport};
use semisync::net::Transport;
use semisync::report::StoryResult;

use super::progress::{Extent, Progress};
use super::target::{TargetArgs, Task, parse_seconds};
use super::{Failure, NO, say};

/// Writes one after another, writes at once, and writes that arrive out of order, on keys of their own.
///
/// Exit status: 0 if all three stories passed, 1 if not or if a node does not answer, 2 if an address is not what it
/// should be.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// Seconds that nodes may take to hold what was written
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    deadline: Duration,
}

struct Stories {
    tag: String,
    deadline: Duration,
    progress: Progress,
}

/// The number of scenarios.
const ALL: usize = 3;

/// How the scenarios ended.
#[derive(Default)]
struct Ended {
    passed: usize,
    /// The writes that reached a follower after a newer one, and those of them that were rejected.
    stale: usize,
    rejected: usize,
}

impl Task for Stories {
    type Output = Ended;

    async fn run<T: Transport>(self, cluster: Cluster<T>) -> Ended {
        let race = Race::new(&cluster, &self.tag, self.deadline);
        let (counter, mut ended) = (self.progress.counter(), Ended::default());
        let mut tell = |story: StoryReport| {
            ended.passed += usize::from(story.passed());
            ended.stale += story.stale.len();
            ended.rejected += story.stale.iter().filter(|write| write.is_rejected).count();
            counter.add_one();
            self.progress.suspend(|| say(StoryResult(&story)));
        };
        tell(race.sequential().await);
        tell(race.concurrent().await);
        tell(race.out_of_order().await);
        ended
    }
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let tag = args.target.tag("race")?;
    say(format_args!("Race on {}, keys {tag}-…\n", args.target.name()));
    let progress = Progress::start("race", Extent::Count(ALL as u64, "scenarios"));
    let ended = args.target.run(Stories { tag, deadline: args.deadline, progress })?;
    let Ended { passed, stale, rejected } = ended;
    say(format_args!("{passed} of {ALL} stories passed, {rejected} of {stale} stale arrivals rejected"));
    Ok(if passed == ALL { ExitCode::SUCCESS } else { NO })
}
