use std::fmt;

use crate::base::trace::Record;
use crate::check::divergence::Divergence;

/// Where two runs part, printed by its `Display`.
#[derive(Debug)]
pub struct DivergenceReport<'a>(pub &'a Divergence<'a>);

impl fmt::Display for DivergenceReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Divergence { index, left, right, node, before, leak } = self.0;
        writeln!(f, "The first {index} events are the same. Event {} differs:", index + 1)?;
        writeln!(f, "  one run:   {}", line(*left))?;
        writeln!(f, "  the other: {}", line(*right))?;
        if !before.is_empty() {
            writeln!(f, "Before that, on {node}, in both:")?;
            for record in before {
                writeln!(f, "  {}", line(Some(record)))?;
            }
        }
        writeln!(f, "What leaked: {leak}.")
    }
}

fn line(record: Option<&Record>) -> String {
    let text = record.map(|record| serde_json::to_string(record).expect("our own types can be written as JSON"));
    text.unwrap_or_else(|| "nothing, it has ended".into())
}
