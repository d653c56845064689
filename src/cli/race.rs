use std::process::ExitCode;
use std::time::Duration;

use semisync::client::Cluster;
use semisync::live::race::{Race, StoryReport};
use semisync::net::Transport;
use semisync::report::StoryResult;

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
}

impl Task for Stories {
    /// How many stories there were, and how many passed.
    type Output = (usize, usize);

    async fn run<T: Transport>(self, cluster: Cluster<T>) -> (usize, usize) {
        let race = Race::new(&cluster, &self.tag, self.deadline);
        let mut passed = 0;
        let mut tell = |story: StoryReport| {
            passed += usize::from(story.passed());
            say(StoryResult(&story));
        };
        tell(race.sequential().await);
        tell(race.concurrent().await);
        tell(race.out_of_order().await);
        (3, passed)
    }
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let tag = args.target.tag("race")?;
    say(format_args!("Race on {}, keys {tag}-…\n", args.target.name()));
    let (stories, passed) = args.target.run(Stories { tag, deadline: args.deadline })?;
    say(format_args!("{passed} of {stories} stories passed"));
    Ok(if passed == stories { ExitCode::SUCCESS } else { NO })
}
