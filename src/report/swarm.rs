use std::collections::BTreeMap;
use std::fmt;

use super::table;

/// The summary of a swarm of runs, printed by its `Display`.
#[derive(Debug)]
pub struct SwarmReport<'a> {
    /// What was run, in a line.
    pub title: String,
    /// What happened, and how often.
    pub exercised: Vec<ExercisedRow>,
    /// Writes that were acknowledged, and all writes, while there were faults.
    pub writes: (u64, u64),
    /// Reads that were answered, and all reads, while there were faults.
    pub reads: (u64, u64),
    /// The seeds that did not come out right, in their order.
    pub failures: &'a [FailedSeed],
}

/// How often something happened.
#[derive(Debug)]
pub struct ExercisedRow {
    /// What.
    pub name: String,
    /// How many times.
    pub times: u64,
    /// In how many runs.
    pub runs: u64,
    /// How many writes were acknowledged meanwhile, if it is something that lasts.
    pub acknowledged: Option<u64>,
}

/// A seed that did not come out right.
#[derive(Debug)]
pub struct FailedSeed {
    /// The seed.
    pub seed: u64,
    /// What was wrong: the names of violated properties, each with its evidence.
    pub wrong: Vec<(String, Vec<String>)>,
    /// What to type for the same run.
    pub again: String,
}

impl fmt::Display for SwarmReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        let rows = self.exercised.iter().map(|row| {
            let acknowledged = row.acknowledged.map_or("–".to_owned(), |count| count.to_string());
            [row.name.clone(), row.times.to_string(), row.runs.to_string(), acknowledged]
        });
        let header = ["exercised", "times", "runs", "acknowledged meanwhile"].map(str::to_owned);
        f.write_str(&table::plain(header, rows))?;
        let share = |(count, of): (u64, u64)| match of {
            0 => "none of 0".to_owned(),
            _ => format!("{:.1} % of {of}", 100.0 * count as f64 / of as f64),
        };
        writeln!(
            f,
            "\nAvailability under faults: {} writes acknowledged, {} reads answered",
            share(self.writes),
            share(self.reads)
        )?;
        self.failures(f)
    }
}

impl SwarmReport<'_> {
    /// Each kind of failure with the evidence of its first seed: the others are mostly more of the same.
    fn failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: BTreeMap<&str, (usize, &FailedSeed, &[String])> = BTreeMap::new();
        for failure in self.failures {
            for (name, evidence) in &failure.wrong {
                kinds.entry(name).or_insert((0, failure, evidence)).0 += 1;
            }
        }
        if kinds.is_empty() {
            return writeln!(f, "Failures: none");
        }
        let seeds = |count: usize| if count == 1 { "1 seed".to_owned() } else { format!("{count} seeds") };
        writeln!(f, "Failures: {}", seeds(self.failures.len()))?;
        for (name, (count, first, evidence)) in kinds {
            writeln!(f, "\n{name}: {}; the first is {}", seeds(count), first.seed)?;
            for sentence in evidence {
                writeln!(f, "  {sentence}")?;
            }
            writeln!(f, "  to repeat it: {}", first.again)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(failures: &[FailedSeed]) -> SwarmReport<'_> {
        let row = |name: &str, times, acknowledged| ExercisedRow { name: name.into(), times, runs: 3, acknowledged };
        SwarmReport {
            title: "4 seeds (0..4), safe rules".into(),
            exercised: vec![row("drop", 12, Some(40)), row("reorder", 7, None)],
            writes: (9, 12),
            reads: (0, 0),
            failures,
        }
    }

    #[test]
    fn without_failures() {
        insta::assert_snapshot!(report(&[]));
    }

    #[test]
    fn each_kind_of_failure_shows_its_first_seed() {
        let wrong = |name: &str, evidence: &str| (name.to_owned(), vec![evidence.to_owned()]);
        let failed = |seed, wrong| FailedSeed { seed, wrong, again: format!("semisync sim seed-{seed}.toml") };
        let failures = [
            failed(1, vec![wrong("durability", "x v1 was lost")]),
            failed(3, vec![wrong("convergence", "f1 differs"), wrong("durability", "x v2 was lost")]),
        ];
        insta::assert_snapshot!(report(&failures));
    }
}
