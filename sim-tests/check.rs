//! `semisync check`: files that somebody recorded, right ones, wrong ones, and what is no recording at all.

mod histories;
#[cfg(feature = "sim")]
mod mutated;
#[cfg(feature = "sim")]
mod simulated;

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// What the command says of the text as its standard input.
fn check(text: impl AsRef<[u8]>) -> Output {
    check_with(&[], text)
}

/// The same with more arguments.
fn check_with(arguments: &[&str], text: impl AsRef<[u8]>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_semisync"));
    command.args(["check", "-"]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(text.as_ref()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn check_file(path: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_semisync")).args(["check", path]).output().expect("the binary runs")
}

fn text(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).expect("text")
}

/// The line on a property.
#[track_caller]
fn verdict<'a>(text: &'a str, property: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(property));
    line.unwrap_or_else(|| panic!("no word of {property}:\n{text}")).trim_start()
}

/// Two writes and three reads on one register; `{…}` is left to each test.
fn register(first_read: &str, second_read: &str, version: fn(u8) -> String) -> String {
    let (one, two) = (version(1), version(2));
    format!(
        r#"{{"type":"invoke","f":"write","process":0,"key":"x","value":1,"time":1000000}}
{{"type":"invoke","f":"read","process":1,"key":"x","value":null,"time":1500000}}
{{"type":"ok","f":"read","process":1,"key":"x","value":null,"time":1800000}}
{{"type":"ok","f":"write","process":0,"key":"x","value":1,"time":2000000{one}}}
{{"type":"invoke","f":"write","process":0,"key":"x","value":2,"time":3000000}}
{{"type":"invoke","f":"read","process":1,"key":"x","value":null,"time":3500000}}
{{"type":"ok","f":"read","process":1,"key":"x",{first_read},"time":3800000}}
{{"type":"ok","f":"write","process":0,"key":"x","value":2,"time":4000000{two}}}
{{"type":"invoke","f":"read","process":1,"key":"x","value":null,"time":5000000}}
{{"type":"ok","f":"read","process":1,"key":"x",{second_read},"time":5500000}}
{{"type":"invoke","f":"write","process":0,"key":"x","value":3,"time":6000000}}
{{"type":"info","f":"write","process":0,"key":"x","value":3,"time":7000000}}
"#
    )
}

fn with_versions(version: u8) -> String {
    format!(",\"version\":{version}")
}

fn without_versions(_: u8) -> String {
    String::new()
}

#[test]
fn a_right_history_in_the_style_of_jepsen() {
    let output = check(register("\"value\":2,\"version\":2", "\"value\":2,\"version\":2", with_versions));
    let text = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.starts_with("standard input: a Jepsen-style history of 6 operations by 2 clients, 0.0 s\n"), "{text}");
    assert!(verdict(&text, "integrity").starts_with("holds    2 stamps of 6 operations"), "{text}");
    assert!(verdict(&text, "linearizability").starts_with("holds    5 operations on 1 key"), "{text}");
    assert!(verdict(&text, "durability").starts_with("–        a history says nothing of what nodes do"), "{text}");
    assert!(verdict(&text, "acknowledgement").starts_with("–        no client was told"), "{text}");
}

#[test]
fn a_stale_read_in_the_style_of_jepsen() {
    let output = check(register("\"value\":2,\"version\":2", "\"value\":1,\"version\":1", with_versions));
    let text = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let evidence =
        "VIOLATED  c2#3, from 5 to 5.5 ms, read x v1, though before that c2#2, from 3.5 to 3.8 ms, read x v2";
    assert_eq!(verdict(&text, "linearizability"), evidence);
    let end = "\nViolated: linearizability\nExplained by: semisync explain linearizability\n";
    assert!(text.ends_with(end), "{text}");
}

/// The example of the document is what it says.
#[test]
fn the_example_of_the_document() {
    let document = include_str!("../docs/RECORDS.md");
    let example = document.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let output = check(example);
    assert_eq!(output.status.code(), Some(1));
    let evidence = "VIOLATED  c2#1, from 4 to 5 ms, found no x, though before that c1#1, from 1 to 3 ms, wrote x v1";
    assert_eq!(verdict(&text(&output.stdout), "linearizability"), evidence);
}

/// Values alone show a stale read, and one that no operation wrote.
#[test]
fn values_without_versions_are_judged() {
    let right = check(register("\"value\":2", "\"value\":2", without_versions));
    let output = text(&right.stdout);
    assert_eq!(right.status.code(), Some(0), "{output}");
    assert!(verdict(&output, "linearizability").starts_with("holds  5 operations on 1 key"), "{output}");
    assert!(verdict(&output, "sessions").starts_with("–      it needs versions"), "{output}");
    assert!(verdict(&output, "integrity").contains("2 values without a version"), "{output}");
    let stale = check(register("\"value\":2", "\"value\":1", without_versions));
    let output = text(&stale.stdout);
    assert_eq!(stale.status.code(), Some(1), "{output}");
    let evidence = "VIOLATED  c2#3, from 5 to 5.5 ms, read x = 1, though before that c2#2, from 3.5 to 3.8 ms, read x = 2, \
                    which came after c1#1, from 1 to 2 ms, wrote x = 1";
    assert_eq!(verdict(&output, "linearizability"), evidence);
    let output = check(register("\"value\":2", "\"value\":9", without_versions));
    let text = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let evidence = "VIOLATED  x has the value 9 (c2#3 read it from n1 at 5.5 ms), which nobody had written before";
    assert_eq!(verdict(&text, "integrity"), evidence);
}

/// A history that is recorded on a cluster which held keys already, and goes on from there.
#[test]
fn what_was_there_before_is_not_accused() {
    let line = |client: &str, kind: &str, node: &str, value: &str, order: usize, version: u64| {
        format!(
            "{{\"client\":\"{client}\",\"operation\":{order},\"kind\":\"{kind}\",\"node\":\"{node}\",\"key\":\"x\",\"value\":{value},\
             \"invoked_us\":{order},\"invoked_order\":{order},\"returned_us\":{end},\"returned_order\":{end},\
             \"outcome\":\"ok\",\"stamp\":{{\"epoch\":1,\"version\":{version}}}}}\n",
            end = order + 1
        )
    };
    let right = [
        line("c1", "get", "leader", "\"old\"", 1, 40),
        line("c1", "get", "f1", "\"older\"", 3, 38),
        line("c1", "set", "leader", "\"c1#3\"", 5, 41),
        line("c1", "get", "f1", "\"older\"", 7, 38),
        line("c1", "get", "leader", "\"c1#3\"", 9, 41),
    ]
    .concat();
    let output = check(&right);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let found_new = right.clone() + &line("c2", "get", "f2", "\"nobody's\"", 11, 42);
    let output = check(found_new);
    assert!(verdict(&text(&output.stdout), "integrity").starts_with("VIOLATED  x v42 has the value \"nobody's\""));
    let found_old = right + &line("c2", "get", "leader", "\"old\"", 11, 40);
    let output = check(found_old);
    assert!(verdict(&text(&output.stdout), "linearizability").contains("read x v40, though before that c1#"));
}

#[test]
fn what_is_no_recording_is_named_in_a_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, content).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    };
    let crash = r#"{"at_us":1,"node":"f1","event":"crash"}"#;
    let cluster = r#"{"at_us":0,"node":"network","event":"cluster","followers":1,"write_quorum":1,"repl_timeout_us":1000000,"delay_us":[0,0],"link_us":1000,"window":8}"#;
    let here = directory.path().to_str().expect("UTF-8").to_owned();
    for (path, says) in [
        (file("empty", b""), "the file is empty. A file must hold one JSON object on each line: of a trace ("),
        (
            file("blank", b"\n"),
            "the only line of the file is blank. A file must hold one JSON object on each line: of a trace (",
        ),
        (file("text", b"Hello.\n"), "line 1 is not a JSON object. A file must hold"),
        (file("binary", &[0, 159, 146, 150, 10, 255]), "line 1 is not a JSON object. A file must hold"),
        (file("other", b"{\"name\":\"x\"}"), "line 1 is an object of another kind. A file must hold"),
        (file("headless", crash.as_bytes()), "line 1: a trace begins with an event \"cluster\""),
        (file("cut", format!("{cluster}\n{}", &crash[..30]).as_bytes()), "line 2: EOF while parsing"),
        (file("mixed", format!("{cluster}\n\n[]").as_bytes()), "line 3: "),
        (file("garbage", &[cluster.as_bytes(), b"\n\xff\xfe\n"].concat()), "line 2: not UTF-8"),
        (
            file("unknown", format!("{cluster}\n{}", crash.replace("f1", "f2")).as_bytes()),
            "line 2: f2 is not a node of this",
        ),
        (here, "Is a directory"),
        (format!("{}/nowhere", directory.path().display()), "No such file or directory"),
    ] {
        let output = check_file(&path);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.starts_with(&format!("semisync: {path}: {says}")), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(output.stdout.is_empty());
    }
    let output = check("");
    assert!(text(&output.stderr).starts_with("semisync: standard input: the file is empty"));
}
