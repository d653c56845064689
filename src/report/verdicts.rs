use std::fmt;

use super::table;
use crate::check::{Finding, Skipped, Verdict};

/// The verdicts on a run: a line for each property, and the evidence below. Printed by its `Display`.
#[derive(Debug)]
pub struct VerdictReport<'a>(pub &'a [Verdict]);

impl fmt::Display for VerdictReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&table::left(self.0.iter().map(row)))?;
        for verdict in self.0 {
            match &verdict.finding {
                Finding::Counted { examples, .. } if !examples.is_empty() => {
                    sentences(f, verdict, "for example", examples)?;
                }
                _ => evidence(f, verdict)?,
            }
        }
        for verdict in self.0.iter().filter(|verdict| !verdict.excuses.is_empty()) {
            writeln!(f, "\n{} (excused)", verdict.property)?;
            for excused in &verdict.excuses {
                writeln!(f, "  {}: {}", excused.excuse, excused.example)?;
            }
        }
        Ok(())
    }
}

/// The verdicts on a run in short: the number of properties that hold, and a line for each other property and for each
/// that holds by an excuse only. Printed by its `Display`.
#[derive(Debug)]
pub struct VerdictSummary<'a>(pub &'a [Verdict]);

impl fmt::Display for VerdictSummary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holds = |verdict: &&Verdict| matches!(verdict.finding, Finding::Holds(_));
        let held = match self.0.iter().filter(holds).count() {
            0 => "no property holds".to_owned(),
            1 => "1 property holds".to_owned(),
            number => format!("{number} properties hold"),
        };
        writeln!(f, "  {held}")?;
        let others = self.0.iter().filter(|verdict| !holds(verdict) || !verdict.excuses.is_empty());
        f.write_str(&table::left(others.map(row)))?;
        self.0.iter().try_for_each(|verdict| evidence(f, verdict))
    }
}

/// The property, its finding and the reason.
fn row(verdict: &Verdict) -> [String; 3] {
    let (finding, mut detail) = match &verdict.finding {
        Finding::Holds(of) => ("holds", of.clone()),
        Finding::Violated(evidence) => ("VIOLATED", evidence.first().cloned().unwrap_or_default()),
        Finding::Lost(evidence) => ("LOST", evidence.first().cloned().unwrap_or_default()),
        Finding::Counted { rate, .. } => ("counted", rate.clone()),
        Finding::NotApplicable(why) => ("–", why.clone()),
    };
    for excused in &verdict.excuses {
        detail = format!("{detail}; {excused}");
    }
    [verdict.property.to_string(), finding.to_owned(), detail]
}

/// What shows a violation or a loss, besides the sentence in its row.
fn evidence(f: &mut fmt::Formatter<'_>, verdict: &Verdict) -> fmt::Result {
    match &verdict.finding {
        Finding::Violated(evidence) if evidence.len() > 1 => sentences(f, verdict, "violated", &evidence[1..]),
        Finding::Lost(evidence) if evidence.len() > 1 => sentences(f, verdict, "lost", &evidence[1..]),
        _ => Ok(()),
    }
}

fn sentences(f: &mut fmt::Formatter<'_>, verdict: &Verdict, title: &str, sentences: &[String]) -> fmt::Result {
    writeln!(f, "\n{} ({title})", verdict.property)?;
    sentences.iter().try_for_each(|sentence| writeln!(f, "  {sentence}"))
}

/// The operations that the verdicts do not cover, with the reasons: a line for each. Printed by its `Display`; empty if
/// there are none.
#[derive(Debug)]
pub struct CoverageReport<'a>(pub &'a [Verdict]);

impl fmt::Display for CoverageReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped =
            |verdict: &'_ Verdict| verdict.coverage.skipped.iter().map(Skipped::to_string).collect::<Vec<_>>();
        let of_verdict = |verdict| skipped(verdict).into_iter().map(|text| [format!("  {}", verdict.property), text]);
        let rows: Vec<[String; 2]> = self.0.iter().flat_map(of_verdict).collect();
        if rows.is_empty() {
            return Ok(());
        }
        write!(f, "Not judged\n{}", table::left(rows.into_iter()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Excuse, Excused, Property};

    #[test]
    fn what_does_not_simply_hold_has_a_line_in_the_summary() {
        let excused = Excused { excuse: Excuse::LeaderWaits, cases: 2, example: "an example".into() };
        let verdicts = [
            Verdict::new(Property::Integrity, Finding::Holds("3 stamps".into())),
            Verdict::new(Property::Durability, Finding::Violated(vec!["x is gone".into(), "so is y".into()])),
            Verdict::new(Property::Fencing, Finding::Holds("1 epoch".into())),
            Verdict { excuses: vec![excused], ..Verdict::new(Property::Liveness, Finding::Holds("2 writes".into())) },
            Verdict::new(Property::LatencyLaw, Finding::NotApplicable("2 writes are too few".into())),
        ];
        insta::assert_snapshot!(VerdictSummary(&verdicts));
        assert!(VerdictReport(&verdicts).to_string().contains("integrity    holds     3 stamps\n"));
    }
}
