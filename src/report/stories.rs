use std::fmt;

use super::table;
use crate::live::race::{StaleWrite, StoryReport};

/// How a story that was told to a cluster ended, printed by its `Display`.
#[derive(Debug)]
pub struct StoryResult<'a>(pub &'a StoryReport);

impl fmt::Display for StoryResult<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StoryReport { name, what, versions, stale, nodes, problems } = self.0;
        writeln!(f, "{name}: {what}")?;
        if let Some((first, last)) = versions {
            writeln!(f, "  versions {first} to {last} were given")?;
        }
        let rejected: Vec<&StaleWrite> = stale.iter().filter(|write| write.is_rejected).collect();
        if !stale.is_empty() {
            writeln!(f, "  stale arrivals rejected: {} of {}", rejected.len(), stale.len())?;
        }
        if let Some(StaleWrite { node, version, held, .. }) = rejected.first() {
            let held = held.map_or(String::new(), |held| format!(" after v{held}"));
            writeln!(f, "  v{version} reaches {node}{held}: rejected as stale")?;
        }
        f.write_str(&table::left(nodes.iter().map(|(node, seen)| [node.to_string(), seen.to_string()])))?;
        for problem in problems {
            writeln!(f, "  {problem}")?;
        }
        writeln!(f, "{}", if self.0.passed() { "PASSED" } else { "FAILED" })
    }
}
