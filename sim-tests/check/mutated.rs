//! Files that were damaged: whatever is in them, they are refused with a line or judged, and nothing panics.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use semisync::base::Recording;
use semisync::base::history::{History, Kind, Operation};
use semisync::base::trace::{Event, Outcome, Trace};
use semisync::check::{self, Facts, Recorded};
use semisync::sim::scenario::{RuleSet, RulesSpec};
use semisync::sim::{Engine, Generator, Strategy as Order, engine};

/// Right files: traces and histories of generated runs, and the histories once more in the style of Jepsen.
struct Files {
    traces: Vec<Vec<String>>,
    histories: Vec<Vec<String>>,
}

static FILES: LazyLock<Files> = LazyLock::new(|| {
    let mut files = Files { traces: Vec::new(), histories: Vec::new() };
    for seed in 0..24 {
        let rules = RulesSpec::Named(if seed % 2 == 0 { RuleSet::Lab } else { RuleSet::Safe });
        let generator = Generator { rules, crashes: true, engine: Engine::Core, strategy: Order::Timed };
        let scenario = generator.scenario(seed);
        let run = engine::run(Engine::Core, &scenario, Arc::default()).expect("a simulation");
        files.traces.push(lines(|out| run.trace.write_json_lines(out)));
        files.histories.push(lines(|out| run.history.write_json_lines(out)));
        files.histories.push(jepsen(&run.history));
    }
    files
});

fn lines(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> Vec<String> {
    let mut file = Vec::new();
    write(&mut file).expect("memory");
    String::from_utf8(file).expect("JSON").lines().map(str::to_owned).collect()
}

/// A history in the style of Jepsen.
fn jepsen(history: &History) -> Vec<String> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for operation in &history.operations {
        let Operation { client, key, kind, target, outcome, .. } = operation;
        let process: u32 = client.to_string()[1..].parse::<u32>().expect("c1, c2, …") - 1;
        let (f, value) = match kind {
            Kind::Write(value) => ("write", value.to_string()),
            Kind::Delete => ("delete", "null".into()),
            Kind::Read(found) => ("read", found.as_ref().map_or_else(|| "null".into(), ToString::to_string)),
        };
        let line = |kind: &str, value: &str, at: u64, more: &str| {
            format!(
                "{{\"type\":\"{kind}\",\"f\":\"{f}\",\"process\":{process},\"key\":\"{key}\",\"value\":{value},\
                 \"time\":{}{more}}}",
                at * 1000
            )
        };
        let asked = if f == "read" { "null" } else { &value };
        let node = format!(",\"node\":\"{target}\"");
        lines.push((operation.invoked.index, line("invoke", asked, operation.invoked.at.0, &node)));
        let Some(returned) = operation.returned else { continue };
        let kind = match outcome {
            Outcome::Ok | Outcome::Absent => "ok",
            Outcome::Failed => "fail",
            Outcome::Unknown => "info",
        };
        let version = operation.stamp.map(|stamp| format!(",\"version\":{}", stamp.version)).unwrap_or_default();
        lines.push((returned.index, line(kind, &value, returned.at.0, &version)));
    }
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

/// Damage to one line.
#[derive(Debug, Clone)]
enum Damage {
    Delete,
    Double,
    Swap(Index),
    /// It moves elsewhere.
    Move(Index),
    /// It ends early.
    Cut(Index),
    /// A word, number or name in it becomes another from anywhere in the file.
    Replace(Index, Index, Index),
    /// A word, number or name in it becomes this.
    Set(Index, &'static str),
}

const TEXTS: [&str; 22] = [
    "0",
    "1",
    "2",
    "7",
    "-1",
    "127",
    "128",
    "65535",
    "65536",
    "9007199254740992",
    "9007199254740993",
    "18446744073709551615",
    "1e400",
    "null",
    "true",
    "\"\"",
    "\"leader\"",
    "\"f128\"",
    "\"c1\"",
    "\"network\"",
    "[]",
    "{}",
];

fn damage() -> impl Strategy<Value = (Index, Damage)> {
    let index = any::<Index>;
    let damage = prop_oneof![
        1 => Just(Damage::Delete),
        1 => Just(Damage::Double),
        1 => index().prop_map(Damage::Swap),
        1 => index().prop_map(Damage::Move),
        1 => index().prop_map(Damage::Cut),
        4 => (index(), index(), index()).prop_map(|(part, line, other)| Damage::Replace(part, line, other)),
        4 => (index(), prop::sample::select(&TEXTS[..])).prop_map(|(part, text)| Damage::Set(part, text)),
    ];
    (index(), damage)
}

/// The places of the words, numbers and names of a line: what stands between two of the characters that structure JSON.
fn parts(line: &str) -> Vec<(usize, usize)> {
    let mut parts = Vec::new();
    let mut begin = 0;
    for (at, character) in line.char_indices() {
        if "{}[]:,".contains(character) {
            if at > begin {
                parts.push((begin, at));
            }
            begin = at + character.len_utf8();
        }
    }
    parts
}

fn suffer(lines: &mut Vec<String>, at: Index, damage: &Damage) {
    if lines.is_empty() {
        return;
    }
    let at = at.index(lines.len());
    let part_of = |line: &str, index: &Index| {
        let parts = parts(line);
        (!parts.is_empty()).then(|| parts[index.index(parts.len())])
    };
    match damage {
        Damage::Delete => drop(lines.remove(at)),
        Damage::Double => lines.insert(at, lines[at].clone()),
        Damage::Swap(other) => {
            let other = other.index(lines.len());
            lines.swap(at, other);
        }
        Damage::Move(to) => {
            let line = lines.remove(at);
            let to = to.index(lines.len() + 1);
            lines.insert(to, line);
        }
        Damage::Cut(end) => {
            let end = end.index(lines[at].len() + 1);
            let end = (0..=end).rev().find(|end| lines[at].is_char_boundary(*end)).unwrap_or(0);
            lines[at].truncate(end);
        }
        Damage::Replace(part, line, other) => {
            let other_line = lines[line.index(lines.len())].clone();
            if let (Some((begin, end)), Some((from, to))) = (part_of(&lines[at], part), part_of(&other_line, other)) {
                lines[at].replace_range(begin..end, &other_line[from..to]);
            }
        }
        Damage::Set(part, text) => {
            if let Some((begin, end)) = part_of(&lines[at], part) {
                lines[at].replace_range(begin..end, text);
            }
        }
    }
}

/// What `semisync check` does with a file, once as a file and once as a program would that reads a trace by itself. True if it
/// was judged.
fn judge(text: &str) -> bool {
    if let Ok(trace) = Trace::read_json_lines(text.as_bytes())
        && let Some(facts) = Facts::from_records(trace.records())
    {
        check::of_trace(trace.records(), &facts);
    }
    match Recording::read(text.as_bytes()) {
        Ok(Recording::Trace(trace)) => {
            let facts = Facts::from_records(trace.records()).expect("it begins with its cluster");
            check::of_trace(trace.records(), &facts);
        }
        Ok(Recording::History(history) | Recording::Jepsen(history)) => {
            check::all(&Recorded::of_clients(&history));
        }
        Err(error) => {
            assert!(error.to_string().starts_with("line "), "{error}");
            return false;
        }
    }
    true
}

fn nothing_panics(files: &[Vec<String>]) {
    let judged = std::cell::Cell::new(0);
    const CASES: u32 = 500;
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let mutations = prop::collection::vec(damage(), 0..4);
    let result = TestRunner::new(config).run(&(any::<Index>(), mutations), |(file, mutations)| {
        let mut lines = files[file.index(files.len())].clone();
        mutations.iter().for_each(|(at, damage)| suffer(&mut lines, *at, damage));
        judged.set(judged.get() + u32::from(judge(&lines.join("\n"))));
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    let (judged, refused) = (judged.get(), CASES - judged.get());
    assert!(judged > CASES / 10 && refused > CASES / 10, "{judged} files were judged and {refused} refused");
}

#[test]
fn a_damaged_trace_is_refused_or_judged() {
    nothing_panics(&FILES.traces);
}

#[test]
fn a_damaged_history_is_refused_or_judged() {
    nothing_panics(&FILES.histories);
}

/// Every line of a trace that can be there only once, doubled.
#[test]
fn a_doubled_line_is_refused() {
    for lines in FILES.traces.iter().take(2) {
        let text = lines.join("\n");
        let Ok(Recording::Trace(trace)) = Recording::read(text.as_bytes()) else { panic!("it is right") };
        let mut refused = 0;
        for (place, record) in trace.records().iter().enumerate() {
            let mut doubled = lines.clone();
            doubled.insert(place, lines[place].clone());
            let is_refused = Recording::read(doubled.join("\n").as_bytes()).is_err();
            refused += usize::from(is_refused);
            // What was sent may arrive later, and what is done to the network may be done twice.
            let may_be_right = matches!(
                record.event,
                Event::Apply { .. }
                    | Event::Reject { .. }
                    | Event::Ack { .. }
                    | Event::Lost { .. }
                    | Event::Fault { .. }
            );
            assert!(is_refused || may_be_right, "line {}: {}", place + 1, lines[place]);
        }
        assert!(refused * 10 > lines.len() * 9, "only {refused} of {} lines", lines.len());
    }
    for lines in FILES.histories.iter().take(4) {
        for place in 0..lines.len() {
            let mut doubled = lines.clone();
            doubled.insert(place, lines[place].clone());
            let error = Recording::read(doubled.join("\n").as_bytes()).expect_err(&lines[place]).to_string();
            assert!(error.starts_with(&format!("line {}: ", place + 2)), "{error}");
        }
    }
}
