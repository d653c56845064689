//! How each field of a scenario is written, for errors: a text where a list is required is answered with an example of the
//! list.

use super::FaultKind;

/// The fields, each with an example of how it is written and what to add to the example.
const FORMS: &[(&str, &str, &str)] = &[
    ("name", "name = \"what it shows\"", ", before the first section"),
    ("seed", "seed = 7", ""),
    ("cluster", "[cluster]", " in a line of its own, and its fields below"),
    ("workload", "[workload]", " in a line of its own, and its fields below"),
    ("fault", "[[fault]]", " in a line of its own, with two brackets, before each fault"),
    ("operation", "[[workload.operation]]", " in a line of its own, with two brackets, before each operation"),
    ("followers", "followers = 3", ""),
    ("spares", "spares = 1", ""),
    ("write_quorum", "write_quorum = 2", ""),
    ("delay_ms", "delay_ms = [0, 100]", ", the shortest and the longest"),
    ("repl_timeout_ms", "repl_timeout_ms = 5000", ""),
    ("link_ms", "link_ms = 1", ""),
    ("window", "window = 64", ""),
    ("part_keys", "part_keys = 100", ""),
    ("tick_ms", "tick_ms = 1", ""),
    ("rules", "rules = \"safe\"", ", rules = \"lab\" or rules = { off = [\"compare-stamps\"] }"),
    ("off", "off = [\"compare-stamps\"]", ""),
    ("operations", "operations = 100", ", or [[workload.operation]] for one that is written down"),
    ("clients", "clients = 5", ""),
    ("keys", "keys = 10", ""),
    ("reads", "reads = 0.5", ""),
    ("deletes", "deletes = 0.1", ""),
    ("retries", "retries = 0.1", ""),
    ("read_from", "read_from = \"any\"", ", \"leader\" or \"followers\""),
    ("read_mode", "read_mode = \"local\"", ", \"committed\" or \"linearizable\""),
    ("think_ms", "think_ms = [0, 10]", ", the shortest and the longest"),
    ("without", "without = [\"c1#1\"]", ""),
    ("client", "client = 1", ""),
    ("number", "number = 1", ""),
    ("at_ms", "at_ms = 100", ""),
    ("set", "set = \"key\"", "; the value is the name of the operation"),
    ("delete", "delete = \"key\"", ""),
    ("get", "get = \"key\"", ""),
    ("from", "from = \"f1\"", ""),
    ("mode", "mode = \"local\"", ", \"committed\" or \"linearizable\""),
    ("request", "request = \"c1#1\"", ""),
    ("if_version", "if_version = 1", ""),
    (
        "expect",
        "expect = \"ok\"",
        " in an operation; of the run, [expect] in a line of its own and passes = true below",
    ),
    ("until_ms", "until_ms = 2000", ""),
    ("when", "when = \"c1#1 was acknowledged\"", ""),
    ("after_ms", "after_ms = 5", ""),
    ("for_ms", "for_ms = 1000", ""),
    ("crash", "crash = \"f1\"", ", with a [[fault]] for each node"),
    ("restart", "restart = \"f1\"", ", with a [[fault]] for each node"),
    ("pause", "pause = \"f1\"", ", with a [[fault]] for each node"),
    ("resume", "resume = \"f1\"", ", with a [[fault]] for each node"),
    ("hold", "hold = \"f1\"", ", with a [[fault]] for each node"),
    ("release", "release = \"f1\"", ", with a [[fault]] for each node"),
    ("partition", "partition = { from = [\"leader\"], to = [\"f1\", \"f2\"] }", ", the nodes on either side"),
    ("heal", "heal = { from = [\"leader\"], to = [\"f1\", \"f2\"] }", ", as in the partition that ends"),
    ("slow", "slow = { node = \"f1\", latency_ms = 200 }", ""),
    ("drop", "drop = { to = \"f1\" }", ", with the messages that are meant"),
    ("drop_reply", "drop_reply = { to = \"f1\" }", ", with the messages that are meant"),
    ("duplicate", "duplicate = { to = \"f1\" }", ", with the messages that are meant"),
    ("delay", "delay = { to = \"f1\", delay_ms = 2000 }", ", with the messages that are meant"),
    ("disconnect", "disconnect = { operation = \"c1#1\", after_ms = 20 }", ""),
    ("clock", "clock = { node = \"leader\", rate_per_mille = 500 }", ""),
    ("replace", "replace = { keeps = [\"c2\"] }", " or replace = {}"),
    ("quorum", "quorum = 2", ""),
    ("misdirect", "misdirect = { follower = \"f2\", to = \"f1\" }", ""),
    ("members", "members = [\"f1\", \"f2\"]", ""),
    ("passes", "passes = true", ""),
    ("violates", "violates = \"durability\"", ""),
    ("loses", "loses = \"durability\"", ""),
    ("shows", "shows = \"sessions\"", ""),
    ("all_acknowledged", "all_acknowledged = true", ""),
    ("accept_loss", "accept_loss = \"leader\"", ""),
    ("lose_key", "lose_key = { follower = \"f1\", key = \"x\" }", ""),
];

/// Names that people use in place of those of the format.
const OTHER_NAMES: [(&str, &str); 3] = [("faults", "fault"), ("expects", "expect"), ("value", "set")];

/// Names of the deserializer's types, and what a file calls them.
const TYPES: [(&str, &str); 10] = [
    ("expected u64", "expected a whole number, 0 or more"),
    ("expected u32", "expected a whole number, 0 or more"),
    ("expected u16", "expected a whole number from 0 to 65535"),
    ("expected usize", "expected a whole number, 0 or more"),
    ("expected f64", "expected a number"),
    ("expected a sequence", "expected a list"),
    ("expected an array of length 2", "expected a list of two"),
    ("invalid type: sequence", "invalid type: a list"),
    ("invalid type: map", "invalid type: a table"),
    ("wanted string or table", "invalid type: expected a text"),
];

/// Returns the error with the types in the words of the format, and how the field is written.
pub(super) fn explain(text: &str, error: &toml::de::Error) -> String {
    let mut problem = error.to_string().trim_end().to_owned();
    let message = error.message();
    // Where a whole table is expected, the name of its Rust type says nothing.
    if let Some((before, _)) = problem.rsplit_once("expected struct ") {
        problem = format!("{before}expected a table");
    }
    for (of_type, of_file) in TYPES {
        problem = problem.replace(of_type, of_file);
    }
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let unknown = ["unknown field `", "unknown variant `"].iter().find_map(|kind| message.strip_prefix(kind));
    let unknown = unknown.and_then(|rest| rest.split('`').next());
    let is_of_form = ["invalid type", "invalid value", "invalid length", "wanted ", "duplicate key"]
        .iter()
        .any(|kind| message.starts_with(kind));
    let field = error.span().and_then(|span| field_at(text, span.start));
    let form = match (missing, unknown) {
        (Some("name"), _) => form_of("name"),
        (Some(missing), _) => field.and_then(form_of).or_else(|| form_of(missing)),
        (_, Some(unknown)) => {
            // One of a table within a fault.
            let of_fault = || field.filter(|field| FaultKind::NAMES.contains(field));
            other_name(unknown).or_else(of_fault).and_then(form_of)
        }
        _ if is_of_form => field.and_then(form_of),
        // An array stands for the fields of a table in their order, so its items are taken for something else.
        _ => field.filter(|field| FaultKind::NAMES.contains(field) && is_list(text, field)).and_then(form_of),
    };
    match (form, unknown.and_then(|unknown| similar(message, unknown))) {
        (Some(form), _) => format!("{problem}; write {form}"),
        (None, Some(similar)) => format!("{problem}; `{similar}` is similar"),
        (None, None) => problem,
    }
}

/// How to write a field.
fn form_of(field: &str) -> Option<String> {
    FORMS.iter().find(|(name, ..)| *name == field).map(|(_, example, note)| format!("{example}{note}"))
}

fn other_name(field: &str) -> Option<&'static str> {
    OTHER_NAMES.into_iter().find(|(other, _)| *other == field).map(|(_, name)| name)
}

/// The first field in the line of this position, or the last part of the name of a section.
fn field_at(text: &str, position: usize) -> Option<&str> {
    let start = text.get(..position)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(start..)?.lines().next()?.trim();
    if let Some(section) = line.strip_prefix('[') {
        return section.trim_matches(['[', ']', ' ']).rsplit('.').next().map(singular_section);
    }
    line.split_once('=').map(|(field, _)| field.trim())
}

/// A section of operations that has the name of their number.
fn singular_section(name: &str) -> &str {
    if name == "operations" { "operation" } else { name }
}

/// Whether the field has a list for its value.
fn is_list(text: &str, field: &str) -> bool {
    text.lines().any(|line| {
        let value = line.trim().strip_prefix(field).and_then(|rest| rest.trim_start().strip_prefix('='));
        value.is_some_and(|value| value.trim_start().starts_with('['))
    })
}

/// The field that is most similar to an unknown one, of those that the message lists.
fn similar<'a>(message: &'a str, unknown: &str) -> Option<&'a str> {
    const SIMILAR: f64 = 0.8;
    let (_, listed) = message.split_once("expected ")?;
    let names = listed.split('`').skip(1).step_by(2);
    let rated = names.map(|name| (strsim::jaro_winkler(unknown, name), name));
    rated.filter(|(rate, _)| *rate >= SIMILAR).max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::scenario::{Fault, Scenario};

    const HEAD: &str = "name = \"x\"\n";
    const OPERATION: &str = "[[workload.operation]]\nset = \"x\"\n";

    fn error(text: &str) -> String {
        Scenario::from_toml(text).expect_err(text).to_string()
    }

    fn of_fault(fault: &str) -> String {
        error(&format!("{HEAD}{OPERATION}[[fault]]\n{fault}\n"))
    }

    #[test]
    fn a_fault_of_the_wrong_type_is_answered_with_one_of_the_right_type() {
        for (fault, says) in [
            ("partition = \"f2\"", "expected a table; write partition = { from = [\"leader\"], to = "),
            ("partition = [\"f2\"]", "write partition = { from = "),
            ("partition = { from = \"leader\", to = \"f2\" }", "expected a list; write partition = { from = "),
            ("partition = { from = [\"leader\"] }", "missing field `to`; write partition = "),
            ("heal = true", "write heal = { from = "),
            ("slow = \"f1\"", "write slow = { node = \"f1\", latency_ms = 200 }"),
            ("drop = \"f1\"", "write drop = { to = \"f1\" }"),
            ("drop = [\"f1\"]", "write drop = { to = \"f1\" }"),
            ("delay = { to = \"f1\" }", "delay_ms is missing; write delay = { to = \"f1\", delay_ms = 2000 }"),
            ("disconnect = \"c1#1\"", "write disconnect = { operation = "),
            ("replace = [\"c1\"]", "write replace = { keeps = [\"c2\"] } or replace = {}"),
            ("members = \"f1,f2\"", "expected a list; write members = [\"f1\", \"f2\"]"),
            ("quorum = \"2\"", "expected a whole number, 0 or more; write quorum = 2"),
            ("crash = [\"f1\", \"f2\"]", "write crash = \"f1\", with a [[fault]] for each node"),
            ("at_ms = -5\ncrash = \"f1\"", "expected a whole number, 0 or more; write at_ms = 100"),
            ("at = 5\ncrash = \"f1\"", "`at_ms` is similar"),
            ("slow = { node = \"f1\", ms = 5 }", "write slow = { node = \"f1\", latency_ms = 200 }"),
            ("crash = \"f1\"\nrestart = \"f2\"", "crash and restart need a [[fault]] each"),
        ] {
            let message = of_fault(fault);
            assert!(message.contains(says), "{fault}: {message}");
            assert!(!message.contains("struct"), "{fault}: {message}");
        }
    }

    #[test]
    fn other_sections_are_answered_likewise() {
        for (text, says) in [
            (format!("{HEAD}{OPERATION}[fault]\ncrash = \"f1\"\n"), "write [[fault]] in a line of its own"),
            (format!("{HEAD}{OPERATION}[[faults]]\ncrash = \"f1\"\n"), "write [[fault]] in a line of its own"),
            (format!("{HEAD}[workload.operation]\nset = \"x\"\n"), "write [[workload.operation]] in a line of its own"),
            (
                format!("{HEAD}[workload]\noperations = 5\n[[workload.operations]]\nset = \"x\"\n"),
                "write [[workload.operation]]",
            ),
            (format!("{HEAD}[cluster]\ndelay_ms = 100\n{OPERATION}"), "write delay_ms = [0, 100]"),
            (format!("{HEAD}[cluster]\nfollowers = \"3\"\n{OPERATION}"), "write followers = 3"),
            (
                format!("{HEAD}[cluster]\nrules = {{ off = \"restamp\" }}\n{OPERATION}"),
                "rules = { off = [\"compare-stamps\"] }",
            ),
            (format!("{HEAD}[workload]\nwithout = \"c1#1\"\n"), "write without = [\"c1#1\"]"),
            (format!("{HEAD}{OPERATION}client = \"c1\"\n"), "from 0 to 65535; write client = 1"),
            (format!("{HEAD}expect = \"passes\"\n{OPERATION}"), "of the run, [expect] in a line of its own"),
            (OPERATION.to_owned(), "missing field `name`; write name = "),
        ] {
            let message = error(&text);
            assert!(message.contains(says), "{text}: {message}");
        }
    }

    /// The examples that errors show are accepted.
    #[test]
    fn each_form_of_a_fault_is_one() {
        for kind in FaultKind::NAMES {
            let example = FORMS.iter().find(|(name, ..)| *name == kind).map(|(_, example, _)| example);
            let text = format!("[[fault]]\n{}\n", example.unwrap_or_else(|| panic!("{kind} has no form")));
            toml::from_str::<Faults>(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }

    #[derive(serde::Deserialize)]
    struct Faults {
        #[serde(rename = "fault")]
        _faults: Vec<Fault>,
    }
}
