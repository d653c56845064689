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
    /// In how many runs each property was judged.
    pub judged: Vec<JudgedRow>,
    /// How often each excuse was used.
    pub excused: Vec<ExcusedRow>,
    /// The properties whose checkers found acknowledged data lost. That is no failure of a swarm.
    pub losses: Vec<LossRow<'a>>,
    /// How many seeds did not come out right.
    pub failed: u64,
    /// What was wrong with them.
    pub failures: Vec<FailureRow<'a>>,
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

/// In how many runs something could be said of a property.
#[derive(Debug)]
pub struct JudgedRow {
    /// The property.
    pub name: String,
    /// It was judged.
    pub judged: u64,
    /// It was counted and not judged.
    pub counted: u64,
    /// It was violated.
    pub violated: u64,
    /// Acknowledged data was found to be lost.
    pub lost: u64,
}

/// How often an excuse was used.
#[derive(Debug)]
pub struct ExcusedRow {
    /// The name of the excuse.
    pub name: &'static str,
    /// The property that it was used for.
    pub property: String,
    /// The number of cases.
    pub cases: u64,
    /// The number of runs that had any.
    pub runs: u64,
}

/// A kind of loss of acknowledged data.
#[derive(Debug)]
pub struct LossRow<'a> {
    /// The property whose checker found it, and the cause.
    pub name: &'a str,
    /// The number of seeds.
    pub seeds: u64,
    /// The lowest of them.
    pub first: u64,
    /// The sentences that show it in the run of that seed.
    pub evidence: &'a [String],
    /// What to type for the same run.
    pub again: &'a str,
    /// What to type for the runs of some of the other seeds.
    pub others: &'a [String],
}

/// Something that was wrong with some seeds.
#[derive(Debug)]
pub struct FailureRow<'a> {
    /// What, such as the name of a property.
    pub name: &'a str,
    /// With how many seeds.
    pub seeds: u64,
    /// The lowest of them, in order.
    pub named: Vec<u64>,
    /// What shows it in the run of that seed.
    pub evidence: &'a [String],
    /// What to type for the same run.
    pub again: &'a str,
    /// Whether real nodes do the same, if they were asked.
    pub standing: Option<String>,
}

impl fmt::Display for SwarmReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        let rows = self.exercised.iter().map(|row| {
            let acknowledged = row.acknowledged.map_or("–".to_owned(), |count| count.to_string());
            [row.name.clone(), row.times.to_string(), row.runs.to_string(), acknowledged]
        });
        let header = ["exercised", "times", "runs", "acknowledged meanwhile"].map(str::to_owned);
        if !self.exercised.is_empty() {
            writeln!(f, "{}", table::plain(header, rows))?;
        }
        let rows = self
            .judged
            .iter()
            .map(|row| [row.name.clone()].into_iter().chain(row.numbers().map(|number| number.to_string())));
        let header = ["property", "judged in runs", "counted in runs", "violated in runs", "LOST in runs"];
        f.write_str(&table::plain(header.map(str::to_owned), rows))?;
        if !self.excused.is_empty() {
            let rows = self
                .excused
                .iter()
                .map(|row| [row.name.to_owned(), row.property.clone(), row.cases.to_string(), row.runs.to_string()]);
            let header = ["excused", "by", "cases", "runs"].map(str::to_owned);
            write!(f, "\n{}", table::plain(header, rows))?;
        }
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
        self.losses(f)?;
        self.failures(f)
    }
}

impl JudgedRow {
    fn numbers(&self) -> [u64; 4] {
        let Self { judged, counted, violated, lost, .. } = *self;
        [judged, counted, violated, lost]
    }
}

impl SwarmReport<'_> {
    /// Each kind of loss, with the evidence of its lowest seed.
    fn losses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.losses {
            writeln!(f, "\nLOST {}: {}; one is {}", row.name, counted(row.seeds), row.first)?;
            for sentence in row.evidence {
                writeln!(f, "  {sentence}")?;
            }
            writeln!(f, "  to repeat it: {}", row.again)?;
            for other in row.others {
                writeln!(f, "  another one: {other}")?;
            }
        }
        if self.losses.is_empty() { Ok(()) } else { writeln!(f) }
    }

    /// Each kind of failure with the evidence of its lowest seed: the others are mostly more of the same.
    fn failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.failed == 0 {
            return writeln!(f, "Failures: none");
        }
        writeln!(f, "Failures: {}", counted(self.failed))?;
        for row in &self.failures {
            writeln!(f, "\n{}: {}; {}", row.name, counted(row.seeds), first(&row.named, row.seeds))?;
            if let Some(standing) = &row.standing {
                writeln!(f, "  {standing}")?;
            }
            for sentence in row.evidence {
                writeln!(f, "  {sentence}")?;
            }
            writeln!(f, "  to repeat it: {}", row.again)?;
        }
        Ok(())
    }
}

/// `1 seed`, `2 seeds`
fn counted(seeds: u64) -> String {
    if seeds == 1 { "1 seed".to_owned() } else { format!("{seeds} seeds") }
}

/// `the first is 3`, `the first are 3, 7, 9, …`
fn first(named: &[u64], seeds: u64) -> String {
    const MOST: usize = 5;
    let shown: Vec<String> = named.iter().take(MOST).map(u64::to_string).collect();
    let more = if seeds > shown.len() as u64 { ", …" } else { "" };
    format!("the first {} {}{more}", if shown.len() == 1 { "is" } else { "are" }, shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(failed: u64, failures: Vec<FailureRow<'_>>) -> SwarmReport<'_> {
        let row = |name: &str, times, acknowledged| ExercisedRow { name: name.into(), times, runs: 3, acknowledged };
        let judged = |name: &str, judged, counted| JudgedRow {
            name: name.into(),
            judged,
            counted,
            violated: judged / 2,
            lost: judged / 4,
        };
        SwarmReport {
            title: "4 seeds (0..4), safe rules".into(),
            exercised: vec![row("drop", 12, Some(40)), row("reorder", 7, None)],
            judged: vec![judged("durability", 4, 0), judged("sessions", 0, 4), judged("latency-law", 1, 0)],
            excused: Vec::new(),
            losses: Vec::new(),
            writes: (9, 12),
            reads: (0, 0),
            failed,
            failures,
        }
    }

    #[test]
    fn without_failures() {
        insta::assert_snapshot!(report(0, Vec::new()));
    }

    #[test]
    fn losses_and_excuses_have_their_own_lines() {
        let lost = ["x v1 is gone".to_owned()];
        let (again, others) = ("semisync swarm --seeds 2", ["semisync swarm --seeds 3".to_owned()]);
        let property = "durability".to_owned();
        let excused = vec![ExcusedRow { name: "crashed-holder", property, cases: 31, runs: 2 }];
        let losses =
            vec![LossRow { name: "durability-no-memory", seeds: 2, first: 2, evidence: &lost, again, others: &others }];
        insta::assert_snapshot!(SwarmReport { excused, losses, ..report(0, Vec::new()) });
    }

    /// There are more of them than are shown, and the number says so.
    #[test]
    fn each_kind_of_failure_shows_its_first_seed() {
        let (lost, differs) = (["x v1 was lost".to_owned()], ["f1 differs".to_owned()]);
        let row = |name, seeds: u64, first: u64, evidence, again| {
            let standing = (seeds > 1).then(|| "CONFIRMED".to_owned());
            let named = (first..first + seeds.min(20)).collect();
            FailureRow { name, seeds, named, evidence, again, standing }
        };
        let failures = vec![
            row("convergence", 1, 3, &differs[..], "semisync sim seed-3.toml"),
            row("durability", 1229, 1, &lost[..], "semisync sim seed-1.toml"),
        ];
        insta::assert_snapshot!(report(1229, failures));
    }
}
