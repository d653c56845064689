use std::fmt;

use super::table;
use crate::live::race::StoryReport;

/// How a story that was told to a cluster ended, printed by its `Display`.
#[derive(Debug)]
pub struct StoryResult<'a>(pub &'a StoryReport);

impl fmt::Display for StoryResult<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StoryReport { name, what, nodes, problems } = self.0;
        writeln!(f, "{name}: {what}")?;
        f.write_str(&table::left(nodes.iter().map(|(node, seen)| [node.to_string(), seen.to_string()])))?;
        for problem in problems {
            writeln!(f, "  {problem}")?;
        }
        writeln!(f, "{}", if self.0.passed() { "PASSED" } else { "FAILED" })
    }
}
