use super::*;
use crate::base::json_lines;

const CLUSTER: &str = r#"{"at_us":0,"node":"network","event":"cluster","followers":2,"write_quorum":1,"repl_timeout_us":1,"delay_us":[0,9],"link_us":1,"window":8}"#;

/// A right run of one write, one read, and a follower that crashes and restarts.
const RUN: [&str; 15] = [
    CLUSTER,
    r#"{"at_us":1,"node":"c1","event":"invoke_set","operation":1,"target":"n1","key":"k","value":1}"#,
    r#"{"at_us":2,"node":"n1","event":"accept","write":1,"key":"k","stamp":{"epoch":1,"version":1},"value":1}"#,
    r#"{"at_us":2,"node":"n1","event":"send","message":{"write":1,"to":"f1","attempt":1},"delay_us":0,"copy_delay_us":3}"#,
    r#"{"at_us":2,"node":"n1","event":"send","message":{"write":1,"to":"f2","attempt":1},"delay_us":0}"#,
    r#"{"at_us":3,"node":"n1","event":"dispatch","request":"0.1","to":"f1","messages":[{"write":1,"to":"f1","attempt":1}]}"#,
    r#"{"at_us":4,"node":"f1","event":"apply","request":"0.1","key":"k","stamp":{"epoch":1,"version":1},"value":1}"#,
    r#"{"at_us":5,"node":"n1","event":"ack","message":{"write":1,"to":"f1","attempt":1},"stored":{"epoch":1,"version":1}}"#,
    r#"{"at_us":5,"node":"n1","event":"complete","write":1,"ok":true,"confirmations":1}"#,
    r#"{"at_us":6,"node":"c1","event":"return","operation":1,"outcome":"ok","stamp":{"epoch":1,"version":1},"confirmed":[1,1]}"#,
    r#"{"at_us":7,"node":"f2","event":"crash"}"#,
    r#"{"at_us":8,"node":"c1","event":"invoke_get","operation":2,"target":"f1","key":"k"}"#,
    r#"{"at_us":9,"node":"c1","event":"return","operation":2,"outcome":"absent"}"#,
    r#"{"at_us":9,"node":"f2","incarnation":1,"event":"restart"}"#,
    r#"{"at_us":9,"node":"network","event":"fault","kind":"probe","what":"probe"}"#,
];

/// The line that does not fit, counted from 1, and why.
fn refused(lines: &[String]) -> Option<(usize, String)> {
    let text = lines.join("\n");
    let mut consistency = Consistency::default();
    json_lines::numbered::<Record>(text.as_bytes()).find_map(|item| {
        let (line, record) = item.expect("a record");
        consistency.follow(line, &record).err().map(|why| (line, why.to_string()))
    })
}

fn run() -> Vec<String> {
    RUN.map(str::to_owned).into()
}

#[test]
fn a_right_run_is_not_refused() {
    assert_eq!(refused(&run()), None);
}

/// Every line of the run, once more behind itself.
#[test]
fn a_doubled_line_is_refused() {
    for place in 0..RUN.len() {
        let mut lines = run();
        lines.insert(place, lines[place].clone());
        let found = refused(&lines);
        // The message to f1 has a copy, which may be answered, too.
        let is_fine = RUN[place].contains("\"ack\"");
        assert_eq!(found.as_ref().map(|(line, _)| *line), (!is_fine).then_some(place + 2), "{found:?}");
    }
}

#[test]
fn a_line_that_does_not_fit_is_named() {
    let with = |place: usize, from: &str, to: &str| {
        let mut lines = run();
        assert!(lines[place - 1].contains(from), "{from}");
        lines[place - 1] = lines[place - 1].replace(from, to);
        refused(&lines).unwrap_or_else(|| panic!("{to} is not refused"))
    };
    for (place, from, to, line, says) in [
        (1, "network", "n1", 1, "cluster: n1 is not the network"),
        (1, "\"write_quorum\":1", "\"write_quorum\":3", 1, "write_quorum 3 is more than the 2 followers"),
        (1, "[0,9]", "[9,0]", 1, "delay_us [9, 0]: the shortest delay is longer than the longest"),
        (1, "\"followers\":2", "\"followers\":1", 5, "f2 is not a node of this cluster: the first line says"),
        (2, "c1", "leader", 2, "invoke_set: n1 is not a client"),
        (2, "\"n1\"", "\"n2\"", 2, "n2 has not been started"),
        (2, "\"n1\"", "\"network\"", 2, "target: network is not a node that answers clients"),
        (2, "\"at_us\":1", "\"at_us\":9", 3, "at_us 2 is before 9, the time of the line before"),
        (2, "\"operation\":1", "\"operation\":7", 10, "c1#1 returns and was not invoked"),
        (3, "\"n1\"", "\"f1\"", 3, "accept: f1 is not a node that can lead"),
        (3, "\"write\":1", "\"write\":2", 4, "write 1 is sent, and no line before says that it was accepted"),
        (4, "\"to\":\"f1\"", "\"to\":\"f3\"", 4, "f3 is not a node of this cluster"),
        (4, "attempt\":1", "attempt\":2", 6, "request 0.1 carries message 1 of write 1 to f1, and no line"),
        (7, "\"0.1\"", "\"0.2\"", 7, "request 0.2 brings k v1 to f1, and no line before says"),
        (8, "attempt\":1", "attempt\":2", 8, "message 2 of write 1 to f1 is answered or lost, and no line"),
        (9, "\"write\":1", "\"write\":2", 9, "write 2 of n1 is complete, and no line before says"),
        (10, "\"ok\"", "\"absent\"", 10, "c1#1: only a get can have the outcome absent"),
        (13, "absent", "ok", 13, "c1#2: a get with the outcome ok needs the value that it found"),
        (12, "\"operation\":2", "\"operation\":1", 12, "the invocation of c1#1 again: line 2 has it already"),
        (13, "\"operation\":2", "\"operation\":1", 13, "c1#1 returns again: line 10 has it already"),
        (14, "\"incarnation\":1", "\"incarnation\":2", 14, "incarnation 2 of f2: it is in incarnation 1"),
        (
            11,
            "\"event\":\"crash\"",
            "\"incarnation\":1,\"event\":\"crash\"",
            11,
            "incarnation 1 of f2: it is in incarnation 0",
        ),
        (11, "f2", "f1", 14, "f2 restarts and has not crashed"),
        (5, "f2", "f1", 5, "message 1 of write 1 to f1 again: line 4 has it already"),
    ] {
        let (found, why) = with(place, from, to);
        assert!(found == line && why.starts_with(says), "{found}: {why}");
    }
    let mut lines = run();
    lines[13] = r#"{"at_us":9,"node":"f2","event":"promise","epoch":1,"leader":0}"#.into();
    assert_eq!(refused(&lines), Some((14, "f2 crashed in line 11 and has not restarted".into())));
    assert_eq!(refused(&run()[1..]).map(|(line, _)| line), Some(1), "the first line is missing");
}
