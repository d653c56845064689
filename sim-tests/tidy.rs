//! The layers hold: imports point downward only, and the pure layers know nothing of I/O.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// From the lowest to the highest. A layer may import from those before it and from itself.
const LAYERS: [&str; 11] =
    ["base", "core", "check", "net", "client", "live", "node", "sim", "report", "testing", "cli"];

/// `report` and `sim` stand side by side: one draws what was recorded, the other records it.
const STRANGERS: [(&str, &str); 2] = [("report", "sim"), ("report", "node")];

/// What the pure layers must not name.
const PURE: [&str; 4] = ["base", "core", "check", "report"];
const IO: [&str; 9] =
    ["tokio", "axum", "hyper", "turmoil", "std::net", "std::fs", "Instant", "SystemTime", "getrandom"];

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The lines of code of each layer, with where they stand. Comments do not count.
fn code() -> BTreeMap<&'static str, Vec<(String, String)>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let of = |layer: &'static str| {
        let mut lines = Vec::new();
        for file in rust_files(&source.join(layer)) {
            let text = fs::read_to_string(&file).expect("a source file");
            for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                lines.push((format!("{}:{}", file.display(), number + 1), line.to_owned()));
            }
        }
        assert!(!lines.is_empty(), "there is no layer {layer}");
        (layer, lines)
    };
    LAYERS.map(of).into()
}

fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        let part_of_a_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !part_of_a_word(before) && !part_of_a_word(after)
    })
}

/// The line without string literals, which may name what a failure was found in.
fn without_texts(line: &str) -> String {
    line.replace("\\\"", "").split('"').step_by(2).collect()
}

#[test]
fn imports_point_downward() {
    let mut upward = Vec::new();
    for (layer, lines) in code() {
        let height = LAYERS.iter().position(|other| *other == layer).expect("a layer");
        for (place, line) in lines {
            // Written so, an import could not be found by the search below.
            if line.contains("crate::{") || line.contains("semisync::{") || line.contains("super::super") {
                upward.push(format!("{place}: import from one layer at a time: {}", line.trim()));
            }
            let above = LAYERS[height + 1..].iter().copied();
            let strangers = STRANGERS.iter().filter(|(from, _)| *from == layer).map(|(_, to)| *to);
            for other in above.chain(strangers) {
                if names(&line, &format!("crate::{other}")) || names(&line, &format!("semisync::{other}")) {
                    upward.push(format!("{place}: {layer} imports {other}: {}", line.trim()));
                }
            }
        }
    }
    assert!(upward.is_empty(), "{}", upward.join("\n"));
}

#[test]
fn pure_layers_do_no_io() {
    let code = code();
    let mut impure = Vec::new();
    for layer in PURE {
        for (place, line) in &code[layer] {
            let code = without_texts(line);
            for name in IO.iter().filter(|name| names(&code, name)) {
                impure.push(format!("{place}: {layer} names {name}: {}", line.trim()));
            }
        }
    }
    assert!(impure.is_empty(), "{}", impure.join("\n"));
}

#[test]
fn the_search_finds_what_it_looks_for() {
    assert!(names("use crate::node::run;", "crate::node"));
    assert!(!names("use crate::nodes::run;", "crate::node"));
    assert!(!names("use mycrate::node;", "crate::node"));
    assert!(names("    tokio::spawn(x)", "tokio"));
    assert_eq!(without_texts(r#"f("a \" b", tokio, "c")"#), "f(, tokio, )");
}
