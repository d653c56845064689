use std::fmt;

/// What breaks without each rule, as a table in Markdown. Printed by its `Display`.
#[derive(Debug)]
pub struct ZooReport {
    /// One row for each rule.
    pub rows: Vec<ZooRow>,
}

/// What breaks without a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZooRow {
    /// The rule, and those that had to be switched off with it.
    pub rules: Vec<String>,
    /// What is violated, if anything was found.
    pub breaks: Option<String>,
    /// From how many of how many starts something was found.
    pub found: (usize, usize),
    /// The median number of seeds, and of milliseconds, until it was.
    pub median: Option<(u64, u64)>,
    /// How many operations and faults the smallest scenario has that shows it.
    pub events: Option<usize>,
    /// The failures of the catalogue that the rule prevents.
    pub failures: String,
}

const HEAD: [&str; 6] = ["without", "is violated", "seeds", "ms", "events", "failures"];

impl ZooRow {
    fn cells(&self) -> [String; 6] {
        let (first, others) =
            self.rules.split_first().map_or(("", &[][..]), |(first, others)| (first.as_str(), others));
        let without =
            if others.is_empty() { format!("`{first}`") } else { format!("`{first}` and `{}`", others.join("`, `")) };
        let (found, starts) = self.found;
        let breaks = match &self.breaks {
            None => "nothing was found".to_owned(),
            Some(breaks) if found < starts => format!("{breaks} (from {found} of {starts} starts)"),
            Some(breaks) => breaks.clone(),
        };
        let number = |number: Option<u64>| number.map_or_else(|| "–".to_owned(), |number| number.to_string());
        let seeds = number(self.median.map(|(seeds, _)| seeds));
        let millis = number(self.median.map(|(_, millis)| millis));
        let events = number(self.events.map(|events| events as u64));
        [without, breaks, seeds, millis, events, self.failures.clone()]
    }

    /// What does not depend on the machine: the rules, and what is violated without them, as they stand in the table.
    pub fn claim(&self) -> (Vec<String>, Option<String>) {
        (self.rules.clone(), self.breaks.clone())
    }
}

impl ZooReport {
    /// The claims of every table of this form in a text: for each row the rules, and what is violated without them.
    pub fn claims(text: &str) -> Vec<(Vec<String>, Option<String>)> {
        let head = format!("| {} |", HEAD.join(" | "));
        let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let tables = text.lines().map(squeezed).skip_while(|line| *line != head);
        let rows = tables.skip(2).take_while(|line| line.starts_with('|'));
        let claim = |line: String| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let rules = cells.next()?.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            let breaks = cells.next()?.split(" (").next()?.to_owned();
            Some((rules, (breaks != "nothing was found").then_some(breaks)))
        };
        rows.filter_map(claim).collect()
    }
}

impl fmt::Display for ZooReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 6]> = self.rows.iter().map(ZooRow::cells).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([HEAD[column].len()]).max().unwrap_or(0)
        };
        let widths: [usize; 6] = std::array::from_fn(width);
        let is_number = |column: usize| (2..5).contains(&column);
        let mut line = |cells: [&str; 6]| {
            let padded = cells.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
                if is_number(column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            writeln!(f, "| {} |", padded.collect::<Vec<_>>().join(" | "))
        };
        line(HEAD)?;
        let rules = std::array::from_fn::<String, 6, _>(|column| {
            let dashes = "-".repeat(widths[column] - usize::from(is_number(column)));
            if is_number(column) { dashes + ":" } else { dashes }
        });
        line(rules.each_ref().map(String::as_str))?;
        rows.iter().try_for_each(|row| line(row.each_ref().map(String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_table_claims_is_read_back() {
        let row = |rules: &[&str], breaks: Option<&str>, found| ZooRow {
            rules: rules.iter().map(ToString::to_string).collect(),
            breaks: breaks.map(str::to_owned),
            found,
            median: breaks.map(|_| (12, 345)),
            events: breaks.map(|_| 4),
            failures: "F1, F2".into(),
        };
        let rows = vec![
            row(&["one"], Some("durability"), (20, 20)),
            row(&["two", "one"], Some("fencing"), (3, 20)),
            row(&["three"], None, (0, 20)),
        ];
        let report = ZooReport { rows };
        let text = format!("# Before\n\n| a | b |\n| - | - |\n| c | d |\n\n{report}\nAfter, | no row |\n");
        insta::assert_snapshot!(report);
        assert_eq!(ZooReport::claims(&text), report.rows.iter().map(ZooRow::claim).collect::<Vec<_>>());
        assert!(ZooReport::claims("no table").is_empty());
    }
}
