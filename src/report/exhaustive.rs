use std::fmt;
use std::time::Duration;

/// How far an exhaustive search came, printed by its `Display`.
#[derive(Debug)]
pub struct SearchReport<'a> {
    /// States that were come to, each as often as it was.
    pub generated: usize,
    /// Different ones among them.
    pub unique: usize,
    /// The most actions of a run.
    pub depth: usize,
    /// How long it took.
    pub time: Duration,
    /// What ended the search before it had seen everything, if anything did.
    pub bound: Option<&'a str>,
}

impl fmt::Display for SearchReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generated, unique, depth, time, bound } = self;
        let seconds = time.as_secs_f64();
        writeln!(
            f,
            "{unique} states, {generated} with those that were come to again; runs of up to {depth} actions; {seconds:.1} s, \
             {:.0} states/s",
            *generated as f64 / seconds.max(f64::MIN_POSITIVE)
        )?;
        match bound {
            None => write!(f, "The scope is EXHAUSTED: every state was seen."),
            Some(bound) => write!(f, "The scope is NOT exhausted: {bound}."),
        }
    }
}

/// A run that violates a property, or loses acknowledged data, printed by its `Display`.
#[derive(Debug)]
pub struct CounterexampleReport<'a> {
    /// The finding, such as `durability is violated`.
    pub finding: &'a str,
    /// What happens, one after another.
    pub steps: &'a [String],
    /// What is wrong then.
    pub evidence: &'a str,
    /// Whether no shorter run has that finding.
    pub is_shortest: bool,
}

impl fmt::Display for CounterexampleReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { finding, steps, evidence, is_shortest } = self;
        let shortest = if *is_shortest { ", and no shorter run does it" } else { "; a shorter run may exist" };
        writeln!(f, "{finding} after {} steps{shortest}:", steps.len())?;
        for (place, step) in steps.iter().enumerate() {
            writeln!(f, "  {:>2}. {step}", place + 1)?;
        }
        write!(f, "  {evidence}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_says_whether_it_saw_everything() {
        let report = |bound| SearchReport { generated: 30, unique: 10, depth: 4, time: Duration::from_secs(2), bound };
        assert_eq!(
            report(None).to_string(),
            "10 states, 30 with those that were come to again; runs of up to 4 actions; 2.0 s, 15 states/s\nThe scope is \
             EXHAUSTED: every state was seen."
        );
        assert!(report(Some("time is up")).to_string().ends_with("\nThe scope is NOT exhausted: time is up."));
    }

    #[test]
    fn a_counterexample_is_told_step_by_step() {
        let steps = ["c1#1 writes x: c1#1 is given v1".to_owned(), "f1 crashes".to_owned()];
        let report = CounterexampleReport {
            finding: "durability is violated",
            steps: &steps,
            evidence: "c1#1 is forgotten",
            is_shortest: true,
        };
        assert_eq!(
            report.to_string(),
            "durability is violated after 2 steps, and no shorter run does it:\n   1. c1#1 writes x: c1#1 is given v1\n   2. \
             f1 crashes\n  c1#1 is forgotten"
        );
    }
}
