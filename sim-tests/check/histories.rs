//! Histories of other programs: what is judged of them, and what is not.

use super::{check, check_with, text, verdict};

/// A history in the style of Jepsen: `w0 1 ok v1` writes 1 by process 0 and gets version 1; `r1 1 v1` reads 1;
/// `w0 1 fail` is refused, `w0 1 info` stays open. One operation follows another.
fn jepsen(operations: &[&str]) -> String {
    let mut lines = String::new();
    for (number, operation) in (1..).zip(operations) {
        let mut words = operation.split(' ');
        let name = words.next().expect("an operation");
        let (f, process) = (if name.starts_with('w') { "write" } else { "read" }, &name[1..]);
        let (key, value) = words.next().expect("a value").split_once('=').expect("key=value");
        let (mut kind, mut version) = ("ok", String::new());
        for word in words {
            match word.strip_prefix('v') {
                Some(number) => version = format!(",\"version\":{number}"),
                None => kind = word,
            }
        }
        let common = format!("\"f\":\"{f}\",\"process\":{process},\"key\":\"{key}\",\"value\":{value}");
        let (begin, end) = (2_000_000 * number, 2_000_000 * number + 1_000_000);
        lines.push_str(&format!("{{\"type\":\"invoke\",{common},\"time\":{begin}}}\n"));
        lines.push_str(&format!("{{\"type\":\"{kind}\",{common},\"time\":{end}{version}}}\n"));
    }
    lines
}

#[track_caller]
fn judged(operations: &[&str], status: i32) -> String {
    let output = check(jepsen(operations));
    let text = text(&output.stdout);
    assert_eq!(output.status.code(), Some(status), "{text}");
    text
}

#[test]
fn a_value_of_a_refused_write_is_read() {
    for read in ["r1 r=1 v1", "r1 r=1"] {
        let text = judged(&["w0 r=1 fail", read], 1);
        let evidence = "which nobody had written before, for c1#1, which was to, was refused";
        assert!(verdict(&text, "integrity").ends_with(evidence), "{text}");
    }
    judged(&["w0 r=1 fail", "w2 r=1 info", "r1 r=1 v1"], 0);
}

/// Two writes of 0 stay open, and both are seen, with a version each.
#[test]
fn a_value_that_several_operations_write_is_matched_by_version() {
    let twice = ["w0 r=1 v1", "w0 r=4 info", "r1 r=4 v2", "w1 r=0 info", "r2 r=4 v2", "w2 r=0 info", "r3 r=0 v3"];
    let with = |more: &'static str| twice.iter().copied().chain([more]).collect::<Vec<_>>();
    let text = judged(&with("r4 r=0 v4"), 0);
    assert!(verdict(&text, "linearizability").starts_with("holds    8 operations on 1 key"), "{text}");
    let text = judged(&[with("r4 r=0 v4"), vec!["r4 r=0 v5"]].concat(), 1);
    let evidence = "VIOLATED  c3#2, from 12 ms on, wrote r both as v4 and as v5";
    assert_eq!(verdict(&text, "linearizability").split(" r both").last(), evidence.split(" r both").last(), "{text}");
    let text = judged(&with("r4 r=4 v2"), 1);
    assert!(verdict(&text, "linearizability").starts_with("VIOLATED  c5#1, from 16 to 17 ms, read r v2"), "{text}");
}

/// Without versions, every way to match them is tried.
#[test]
fn a_value_that_several_operations_write_without_versions_is_searched() {
    let text = judged(&["w0 r=1", "w1 r=2", "w0 r=1", "r2 r=1", "w3 r=2 info", "r2 r=2", "r2 r=2"], 0);
    assert!(verdict(&text, "linearizability").starts_with("holds  7 operations on 1 key"), "{text}");
    let text = judged(&["w0 r=1", "w1 r=2", "w0 r=1", "r2 r=1", "w3 r=2 info", "r2 r=2", "r2 r=1"], 1);
    let evidence = "VIOLATED  c3#3, from 14 to 15 ms, read r = 1, but no order of the operations up to then allows that: \
                    r can only be = 2";
    assert_eq!(verdict(&text, "linearizability"), evidence);
}

#[test]
fn a_version_that_one_operation_lacks_hides_nothing() {
    let stale = ["w0 x=1 v1", "w0 x=2 v2", "r1 x=1 v1"];
    let evidence = "VIOLATED  c2#1, from 6 to 7 ms, read x v1, though before that c1#2, from 4 to 5 ms, wrote x v2";
    let of_another_key = [&stale[..], &["w2 unrelated=7"]].concat();
    assert_eq!(verdict(&judged(&of_another_key, 1), "linearizability"), evidence);
    let of_the_same_key = [&stale[..], &["w2 x=3"]].concat();
    assert_eq!(verdict(&judged(&of_the_same_key, 1), "linearizability"), evidence);
    let text = judged(&["w0 x=1 v1", "w0 x=2", "r1 x=1 v1"], 1);
    assert!(
        verdict(&text, "linearizability").starts_with("VIOLATED  c2#1, from 6 to 7 ms, read x v1, but no"),
        "{text}"
    );
}

/// A check that judged nothing does not look like one that found nothing.
#[test]
fn a_check_that_judges_nothing_says_so() {
    let nothing = jepsen(&["w0 x=1 fail"]);
    for (arguments, status) in [(&[][..], 0), (&["--strict"], 4)] {
        let output = check_with(arguments, &nothing);
        let text = text(&output.stdout);
        assert_eq!(output.status.code(), Some(status), "{text}");
        assert!(text.ends_with("\nNothing was judged\n"), "{text}");
    }
    let old = jepsen(&["w0 x=1 info", "r0 x=7"]);
    for (arguments, status) in [(&[][..], 0), (&["--strict"], 4)] {
        let output = check_with(arguments, &old);
        let text = text(&output.stdout);
        assert_eq!(output.status.code(), Some(status), "{text}");
        let why = "1 operation on 1 key (x): the value has no version and may be older than the history";
        assert!(text.contains(why) && text.ends_with("\nNot judged for any operation: integrity\n"), "{text}");
    }
    let violated = jepsen(&["w0 r=1 fail", "r1 r=1 v1"]);
    assert_eq!(check_with(&["--strict"], violated).status.code(), Some(1));
    let right = jepsen(&["w0 r=1 v1", "r1 r=1 v1"]);
    assert_eq!(check_with(&["--strict"], right).status.code(), Some(0));
}

/// As Jepsen writes it: EDN, independent keys, lines of the nemesis, keywords, processes that come and go.
#[test]
fn a_raw_history_of_jepsen() {
    let history = |last: u8| {
        format!(
            "{{:type :invoke, :f :write, :value [3 1], :process 0, :time 10, :index 0}}\n\
             {{:type :info, :f :start-partition, :value :majority, :process :nemesis, :time 20, :index 1}}\n\
             {{:type :ok, :f :write, :value [3 1], :process 0, :time 30, :index 2}}\n\
             {{:type :invoke, :f :cas, :value [3 [1 2]], :process 1, :time 40, :index 3}}\n\
             {{:type :ok, :f :cas, :value [3 [1 2]], :process 1, :time 50, :index 4}}\n\
             {{:type :invoke, :f :cas, :value [3 [{last} 4]], :process 2, :time 60, :index 5}}\n\
             {{:type :invoke, :f :read, :value [5 nil], :process 0, :time 60, :index 6}}\n\
             {{:type :ok, :f :read, :value [5 nil], :process 0, :time 70, :index 7}}\n\
             {{:type :ok, :f :cas, :value [3 [{last} 4]], :process 2, :time 80, :index 8}}\n"
        )
    };
    let right = check(history(2));
    let output = text(&right.stdout);
    assert_eq!(right.status.code(), Some(0), "{output}");
    assert!(output.starts_with("standard input: a Jepsen-style history of 4 operations by 3 clients"), "{output}");
    assert!(verdict(&output, "linearizability").starts_with("holds  4 operations on 2 keys"), "{output}");
    let wrong = check(history(1));
    let output = text(&wrong.stdout);
    assert_eq!(wrong.status.code(), Some(1), "{output}");
    let evidence = "VIOLATED  c3#1, from 0 to 0 ms, wrote 3 = 4 if the value is 1, but no order of the operations up to then \
                    allows that: 3 can only be = 2";
    assert_eq!(verdict(&output, "linearizability"), evidence);
}

/// A client sends a request twice, and it takes effect twice.
#[test]
fn a_request_that_takes_effect_twice() {
    let line = |operation: usize, value: &str, version: u64| {
        let at = 2 * operation;
        format!(
            "{{\"client\":\"c1\",\"operation\":{operation},\"kind\":\"set\",\"node\":\"n1\",\"key\":\"x\",\"value\":{value},\
             \"invoked_us\":{at},\"invoked_order\":{at},\"returned_us\":{end},\"returned_order\":{end},\"outcome\":\"ok\",\
             \"stamp\":{{\"epoch\":7,\"version\":{version}}},\"request_id\":\"r{value}\"}}\n",
            end = at + 1
        )
    };
    for (version, status) in [(1, 0), (3, 1)] {
        let output = check([line(1, "1", 1), line(2, "2", 2), line(3, "1", version)].concat());
        let text = text(&output.stdout);
        assert_eq!(output.status.code(), Some(status), "{text}");
        let says =
            if status == 0 { "holds    2 requests in 3 attempts" } else { "VIOLATED  request \"r1\" took effect on x" };
        assert!(verdict(&text, "idempotence").starts_with(says), "{text}");
    }
}
