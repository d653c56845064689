use std::fmt;

use super::table;
use crate::check::{Finding, Verdict};

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
