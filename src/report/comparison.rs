use std::fmt;

use super::table;
use crate::base::wire::DumpEntry;
use crate::live::verify::{Comparison, KeyDifference};

/// How followers compare with their leader, printed by its `Display`.
#[derive(Debug)]
pub struct ComparisonReport<'a>(pub &'a Comparison);

impl fmt::Display for ComparisonReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Comparison { keys, followers, differences } = self.0;
        let leader = ["leader".to_owned(), keys.to_string()].into_iter().chain(vec![String::new(); 4]).collect();
        let rows = followers.iter().map(|(node, counts)| {
            let numbers = [counts.keys, counts.missing, counts.extra, counts.version, counts.value];
            let is_unknown = counts.unreadable.is_some() && counts.keys == 0;
            let shown = numbers.map(|number| if is_unknown { "–".to_owned() } else { number.to_string() });
            [node.to_string()].into_iter().chain(shown).collect::<Vec<_>>()
        });
        let header = ["", "keys", "missing", "extra", "other version", "other value"].map(str::to_owned);
        f.write_str(&table::plain(header, std::iter::once(leader).chain(rows)))?;
        for (node, counts) in followers {
            if let Some(why) = &counts.unreadable {
                writeln!(f, "{node} was not compared to the end: {why}")?;
            }
        }
        let all: u64 = followers.iter().map(|(_, counts)| counts.differences()).sum();
        if all > 0 {
            let first = if all > differences.len() as u64 {
                format!(", the first {}", differences.len())
            } else {
                String::new()
            };
            writeln!(f, "Differences: {all}{first}")?;
        }
        for KeyDifference { node, key, leader, follower, .. } in differences {
            writeln!(f, "  {key:?}: leader has {}, {node} has {}", side(leader.as_ref()), side(follower.as_ref()))?;
        }
        f.write_str(match all {
            0 if self.0.is_equal() => "EQUAL",
            0 => "NOT ALL COMPARED",
            _ => "DIFFERENT",
        })
    }
}

/// The longest value that is shown whole.
const LONGEST_VALUE: usize = 60;

fn side(entry: Option<&DumpEntry>) -> String {
    let Some(entry) = entry else { return "nothing".into() };
    let value = entry.value.as_json();
    let shown: String = value.chars().take(LONGEST_VALUE).collect();
    let more = if shown.len() < value.len() { "…" } else { "" };
    format!("v{} = {shown}{more}", entry.version)
}
