use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use semisync::sim::swarm::SeedRange;

use super::Args;
use super::tally::Tally;

/// A bar over the seeds, or over the time where that is the limit; lines where there is no terminal.
pub(super) struct Progress {
    pub(super) bar: ProgressBar,
    by_time: bool,
    of: String,
}

impl Progress {
    pub(super) fn new(args: &Args, all: SeedRange) -> Self {
        let by_time = args.seeds.is_none() && args.time.is_some();
        let seeds = all.share(args.shard);
        let length = args.time.filter(|_| by_time).map_or(seeds, |time| time.as_secs().max(1));
        let style = ProgressStyle::with_template("{bar:30} {msg}, {eta} left").expect("the template is valid");
        let of = if by_time { String::new() } else { format!(" of {seeds}") };
        Self { bar: ProgressBar::new(length).with_style(style), by_time, of }
    }

    pub(super) fn show(&self, tally: &Tally, elapsed: Duration) {
        if !self.bar.is_hidden() {
            self.bar.set_position(if self.by_time { elapsed.as_secs() } else { tally.seeds });
            self.bar.set_message(self.words(tally, elapsed));
        }
    }

    pub(super) fn line(&self, tally: &Tally, elapsed: Duration) {
        eprintln!("{}", self.words(tally, elapsed));
    }

    pub(super) fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    fn words(&self, tally: &Tally, elapsed: Duration) -> String {
        let rate = tally.seeds as f64 / elapsed.as_secs_f64().max(1e-3);
        format!("{}{} seeds, {rate:.1}/s, {} failed", tally.seeds, self.of, tally.failed)
    }
}
