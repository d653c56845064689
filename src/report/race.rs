use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::table;
use crate::base::wire::Dump;
use crate::base::{FollowerId, Key, NodeId};
use crate::check::Finding;
use crate::check::convergence::Difference;
use crate::check::latency_law::{LatencyLaw, Level};

/// The most keys that get a column of their own, and the most differences that are listed.
const MOST_KEYS: usize = 12;
const MOST_DIFFERENCES: usize = 10;

/// The summary of a race, printed by its `Display`.
#[derive(Debug)]
pub struct RaceReport<'a> {
    /// What each node stores in the end.
    pub states: &'a [(NodeId, Dump)],
    /// How many writes reached each follower after a newer one.
    pub stale_arrivals: &'a [usize],
    /// Writes that were acknowledged, and writes that were answered without their quorum.
    pub completions: (usize, usize),
    /// The latencies of the acknowledged writes, in seconds, in any order.
    pub latencies: Vec<f64>,
    /// What the latencies should look like.
    pub law: Option<LatencyLaw>,
    /// Where the replicas differ.
    pub differences: &'a [Difference],
    /// The finding on convergence, which decides whether they may.
    pub convergence: &'a Finding,
    /// Whether the run is there to show writes that overtake one another.
    pub is_race: bool,
    /// Virtual time until the last client was done.
    pub virtual_time: Duration,
}

impl fmt::Display for RaceReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Final versions")?;
        self.versions(f)?;
        writeln!(f)?;
        self.stale(f)?;
        let (ok, missed) = self.completions;
        writeln!(
            f,
            "Writes: {ok} acknowledged, {missed} without their quorum, in {:.1} s of virtual time",
            self.virtual_time.as_secs_f64()
        )?;
        self.convergence(f)?;
        self.latency(f)
    }
}

impl RaceReport<'_> {
    fn versions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: BTreeSet<&Key> = self.states.iter().flat_map(|(_, dump)| dump.keys()).collect();
        let shown: Vec<&Key> = keys.iter().copied().take(MOST_KEYS).collect();
        let header = [String::new()].into_iter().chain(shown.iter().map(ToString::to_string));
        let rows = self.states.iter().map(|(node, dump)| {
            let version = |key: &&Key| dump.get(*key).map_or("–".to_owned(), |entry| format!("v{}", entry.version));
            [node.to_string()].into_iter().chain(shown.iter().map(version)).collect::<Vec<_>>()
        });
        f.write_str(&table::plain(header, rows))?;
        match keys.len() - shown.len() {
            0 => Ok(()),
            more => writeln!(f, " … and {more} more keys"),
        }
    }

    fn stale(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: usize = self.stale_arrivals.iter().sum();
        let each = FollowerId::first(self.stale_arrivals.len()).zip(self.stale_arrivals);
        let each: Vec<String> = each.map(|(follower, count)| format!("{follower} {count}")).collect();
        writeln!(f, "Stale arrivals rejected: {total} ({})", each.join(", "))?;
        if total == 0 && self.is_race {
            writeln!(
                f,
                "  No write overtook another, so this run demonstrates nothing. Try another seed, more writes or a wider delay."
            )?;
        }
        Ok(())
    }

    fn convergence(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let differences = match self.differences.len() {
            0 => format!("all {} replicas are equal", self.states.len()),
            1 => "1 difference".to_owned(),
            number => format!("{number} differences"),
        };
        match self.convergence {
            Finding::Violated(_) | Finding::Lost(_) => writeln!(f, "Convergence: VIOLATED, {differences}")?,
            Finding::Holds(_) | Finding::Counted { .. } => writeln!(f, "Convergence: {differences}")?,
            Finding::NotApplicable(why) => writeln!(f, "Convergence: not judged, {why}; {differences}")?,
        }
        for difference in self.differences.iter().take(MOST_DIFFERENCES) {
            writeln!(f, "  {difference}")?;
        }
        Ok(())
    }

    fn latency(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.latencies.clone();
        if sorted.is_empty() {
            return Ok(());
        }
        sorted.sort_by(f64::total_cmp);
        let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
        let quantile = |p: f64| sorted[((sorted.len() as f64 * p).ceil() as usize).clamp(1, sorted.len()) - 1];
        let ms = |seconds: f64| format!("{:.1} ms", seconds * 1e3);
        let rows = [
            ("mean", mean, self.law.map(|law| law.mean())),
            ("median", quantile(0.5), self.law.map(|law| law.quantile(0.5))),
            ("p95", quantile(0.95), self.law.map(|law| law.quantile(0.95))),
        ];
        let rows = rows.map(|(name, measured, law)| [name.to_owned(), ms(measured), law.map_or("–".to_owned(), ms)]);
        let header = ["", "measured", "law"].map(str::to_owned);
        writeln!(f, "\nWrite latency at the leader, from acceptance to acknowledgement, of {} writes", sorted.len())?;
        f.write_str(&table::plain(header, rows))?;
        if let Some(law) = self.law {
            let tolerance = law.mean_tolerance(sorted.len(), Level::OF_ONE_RUN);
            writeln!(
                f,
                " The law's mean is ± {} for 99.9 % of such runs; links and batches add a few ms to it.",
                ms(tolerance)
            )?;
        }
        Ok(())
    }
}
