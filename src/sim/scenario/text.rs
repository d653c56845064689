//! The text of a scenario in TOML. A fault takes few lines, so that a scenario fits a screen:
//! tables in a section are written inline, where the serializer of `toml` gives each a section of
//! its own.

use std::fmt::Write;

use toml::{Table, Value};

/// Writes a table as the text of a file: its plain values, a section for each table, and one for
/// each table of an array.
pub(super) fn write(file: &Table) -> String {
    let mut text = String::new();
    let (sections, values): (Vec<_>, Vec<_>) =
        file.iter().partition(|(_, value)| value.is_table() || is_array_of_tables(value));
    write_values(&mut text, values);
    for (name, value) in sections {
        match value {
            Value::Table(table) => {
                let (arrays, values): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| is_array_of_tables(value));
                if !values.is_empty() {
                    write_header(&mut text, &format!("[{name}]"));
                    write_values(&mut text, values);
                }
                arrays.into_iter().for_each(|(key, items)| write_items(&mut text, &format!("{name}.{key}"), items));
            }
            items => write_items(&mut text, name, items),
        }
    }
    text
}

/// Whether this is an array that has sections of its own.
fn is_array_of_tables(value: &Value) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(Value::is_table))
}

fn write_items(text: &mut String, name: &str, items: &Value) {
    for table in items.as_array().into_iter().flatten().filter_map(Value::as_table) {
        write_header(text, &format!("[[{name}]]"));
        write_values(text, table.iter().collect());
    }
}

fn write_header(text: &mut String, header: &str) {
    let gap = if text.is_empty() { "" } else { "\n" };
    writeln!(text, "{gap}{header}").expect("memory has room");
}

fn write_values(text: &mut String, values: Vec<(&String, &Value)>) {
    for (key, value) in values {
        writeln!(text, "{key} = {value}").expect("memory has room");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::base::Key;
    use crate::sim::scenario::Scenario;

    const TEXT: &str = r#"name = "both kinds of operations"
seed = 7

[cluster]
followers = 3
rules = { off = ["compare-stamps"] }

[workload]
operations = 2
without = ["c1#1"]

[[workload.operation]]
set = "x"

[[workload.operation]]
client = 2
at_ms = 5
get = "x"
from = "f1"

[[fault]]
delay = { operation = "c1#3", to = "f1", attempt = 1, delay_ms = 40 }

[[fault]]
at_ms = 3
until_ms = 4
drop = { per_mille = 10 }

[expect]
passes = true
"#;

    #[test]
    fn a_fault_takes_a_line_and_each_section_has_a_header() {
        assert_eq!(Scenario::from_toml(TEXT).unwrap().to_toml(), TEXT);
        let bare = "name = \"x\"\nseed = 0\n\n[[workload.operation]]\nset = \"x\"\n";
        assert_eq!(Scenario::from_toml(bare).unwrap().to_toml(), bare, "a section without values has no header");
    }

    proptest! {
        #[test]
        fn any_text_in_it_is_read_as_it_was_written(name: String, key: String) {
            let mut scenario = Scenario { name, ..Scenario::from_toml(TEXT).unwrap() };
            if let Ok(key) = Key::new(&key) {
                scenario.workload.explicit[0].key = key;
            }
            prop_assert_eq!(Scenario::from_toml(&scenario.to_toml()).unwrap(), scenario);
        }
    }
}
