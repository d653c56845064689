use std::fmt;

use super::table;
use crate::check::{Finding, Skipped, Verdict};

/// The verdicts on a run: a line for each property, and the evidence below. Printed by its `Display`.
#[derive(Debug)]
pub struct VerdictReport<'a>(pub &'a [Verdict]);

impl fmt::Display for VerdictReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.0.iter().map(|verdict| {
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
        });
        f.write_str(&table::left(rows))?;
        for verdict in self.0 {
            let (title, evidence) = match &verdict.finding {
                Finding::Violated(evidence) if evidence.len() > 1 => ("violated", &evidence[1..]),
                Finding::Lost(evidence) if evidence.len() > 1 => ("lost", &evidence[1..]),
                Finding::Counted { examples, .. } if !examples.is_empty() => ("for example", examples.as_slice()),
                _ => continue,
            };
            writeln!(f, "\n{} ({title})", verdict.property)?;
            for sentence in evidence {
                writeln!(f, "  {sentence}")?;
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
