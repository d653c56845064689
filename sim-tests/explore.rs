//! Exhaustive search: the scopes in `sim-tests/scopes` come out as their files say, and the searches are what they seem.

mod losses;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use semisync::check::{Finding, Property};
use semisync::core::Rule;
use semisync::sim::exhaustive::{Bound, Bounds, FaultBudgets, Order, Progress, Scope, Search, confirm, search};
use semisync::sim::scenario::{Expect, RuleSet, RulesSpec, Scenario};
use semisync::sim::shrink::Goal;

/// Far above what any search of these tests meets.
const BOUNDS: Bounds = Bounds { states: 1_000_000, depth: None, time: None, first_violation: false };

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sim-tests/scopes").join(format!("{name}.toml"))
}

fn scenario(name: &str) -> Scenario {
    Scenario::from_file(&file(name)).unwrap_or_else(|error| panic!("{error}"))
}

fn scope(name: &str) -> Scope {
    Scope::new(scenario(name), FaultBudgets::default()).expect("a scope")
}

fn safe(name: &str) -> Scope {
    let mut scenario = scenario(name);
    scenario.cluster.rules = RulesSpec::Named(RuleSet::Safe);
    Scope::new(scenario, FaultBudgets::default()).expect("a scope")
}

fn searched(scope: &Scope) -> Search {
    let search = search(scope, BOUNDS, Order::BreadthFirst, 2, |_| ControlFlow::Continue(())).expect("a search");
    assert!(search.is_exhausted(), "{:?}", search.progress);
    search
}

/// What the search finds is what the file expects, every run that it finds is shortest, and whole nodes in the simulated
/// network violate the same property when they do the same.
fn comes_out_and_is_confirmed(name: &str) -> Search {
    let scope = scope(name);
    let search = searched(&scope);
    let expect = scope.scenario.expect.unwrap_or_else(|| panic!("{name} expects nothing"));
    for claim in expect.claims() {
        assert_eq!(claim.is_met_by(&search.verdicts()), Some(true), "{name}: {claim}, but {:?}", search.violated());
    }
    for found in &search.counterexamples {
        assert!(found.is_shortest, "{name}: {found:?}");
        let confirmation = confirm(&scope, found).expect("a run");
        let text = confirmation.scenario.to_toml();
        assert!(confirmation.result.is_ok(), "{name}: {}: {:?} in\n{text}", found.goal.property(), confirmation.result);
        let again = Scenario::from_toml(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(again, confirmation.scenario);
        assert_eq!(again.expect.and_then(Goal::of), Some(found.goal));
    }
    search
}

#[test]
fn without_a_rule_its_scope_shows_a_violation_and_with_all_rules_none() {
    for rule in Rule::ALL {
        let name = rule.name();
        // What matters only when nodes crash has no scope of its own.
        if !file(name).exists() {
            continue;
        }
        let scenario = scenario(name);
        let RulesSpec::Without { off } = &scenario.cluster.rules else { panic!("{name} has other rules") };
        assert!(off.contains(&rule), "{name}");
        comes_out_and_is_confirmed(name);
        assert_eq!(searched(&safe(name)).violated(), [], "{name}");
    }
}

#[test]
fn the_textbook_design_does_not_converge() {
    assert_eq!(comes_out_and_is_confirmed("lab").violated(), [Property::Convergence]);
    assert_eq!(searched(&safe("lab")).violated(), []);
}

#[test]
fn a_leader_that_crashes_recovers_in_every_order() {
    assert_eq!(searched(&safe("confirm-only-stored")).violated(), []);
}

#[test]
fn with_all_rules_every_order_is_safe() {
    for name in ["safe-reads", "safe-three-followers", "safe-quorum-change", "safe-3-writes-a-crash", "safe-members"] {
        comes_out_and_is_confirmed(name);
    }
    for name in ["safe-3-writes-quorum-1", "safe-3-writes-quorum-2", "safe-every-message-fault", "safe-small-window"] {
        // With all their faults they take minutes in a debug build; .ci/run searches them in a release build.
        let few = FaultBudgets { drops: Some(1), drop_replies: Some(0), duplicates: Some(0), late: Some(0) };
        let scope = Scope::new(scenario(name), few).expect("a scope");
        assert_eq!(searched(&scope).violated(), [], "{name}");
    }
    let copies = FaultBudgets { duplicates: Some(1), late: Some(0), ..FaultBudgets::default() };
    let scope = Scope::new(scenario("safe-deletions"), copies).expect("a scope");
    assert_eq!(searched(&scope).violated(), [], "a copy of what was deleted");
}

/// Where members change, what makes sure that every acknowledged write is known is decisive.
#[test]
fn changes_of_the_members_are_searched() {
    for name in ["safe-members", "safe-members-lower-quorum"] {
        assert_eq!(searched(&scope(name)).violated(), [], "{name}");
        for rule in [Rule::RecoverFromEnough, Rule::BootstrapOnlyNew] {
            let mut scenario = scenario(name);
            scenario.cluster.rules = RulesSpec::Without { off: vec![rule] };
            let scope = Scope::new(scenario, FaultBudgets::default()).expect("a scope");
            assert_eq!(searched(&scope).violated(), [Property::Durability], "{name} without {}", rule.name());
        }
    }
}

#[test]
fn reduction_takes_states_away_and_no_violation() {
    for name in ["compare-stamps", "one-writer", "keep-quorum", "lab", "resend-missed", "safe-three-followers"] {
        let scope = scope(name);
        assert!(scope.is_reduced());
        let apart = scope.clone().without_reduction();
        assert!(!apart.is_reduced());
        let (alike, apart) = (searched(&scope), searched(&apart));
        assert_eq!(alike.violated(), apart.violated(), "{name}");
        let lengths =
            |search: &Search| search.counterexamples.iter().map(|found| found.steps.len()).collect::<Vec<_>>();
        assert_eq!(lengths(&alike), lengths(&apart), "{name}");
        // Of two followers, nearly every state has a mirror image; of three, five.
        let followers = scope.scenario.cluster.followers;
        let saved = apart.progress.unique as f64 / alike.progress.unique as f64;
        assert!(saved > if followers == 3 { 4.0 } else { 1.4 }, "{name}: {saved}");
    }
}

/// Two followers, what clients do and which faults there may be, with all rules but one.
fn small(quorum: usize, operations: &[&str], faults: &[&str], off: Rule) -> Scenario {
    let operations = operations.iter().map(|operation| format!("[[workload.operation]]\n{operation}\n"));
    let faults = faults.iter().map(|fault| format!("[[fault]]\n{fault}\n"));
    let rest: String = operations.chain(faults).collect();
    let head = format!("name = 'small'\n[cluster]\nfollowers = 2\nwrite_quorum = {quorum}\n");
    let mut scenario = Scenario::from_toml(&(head + &rest)).expect("a scenario");
    scenario.cluster.rules = RulesSpec::Without { off: vec![off] };
    scenario
}

/// Where messages are kept out by something newer that is stored, and a rule is off by which they stay out when that goes.
#[test]
fn reduction_leaves_out_nothing_that_can_come_back() {
    let two_writes = ["client = 1\nset = 'x'", "client = 2\nset = 'x'"];
    let crash = small(2, &two_writes, &["crash = 'leader'"], Rule::RefuseDeposed);
    let mut late = small(2, &["set = 'x'", "delete = 'x'"], &["delay = { delay_ms = 0 }"], Rule::KeepTombstones);
    late.cluster.window = 1;
    for (scenario, property, depth) in [(crash, Property::MonotonicState, 17), (late, Property::Durability, 22)] {
        let scope = Scope::new(scenario, FaultBudgets::default()).expect("a scope");
        let bounds = Bounds { depth: Some(depth), ..BOUNDS };
        let found = |scope: &Scope| {
            let search =
                search(scope, bounds, Order::BreadthFirst, 2, |_| ControlFlow::Continue(())).expect("a search");
            let lengths = search.counterexamples.iter().map(|found| (found.goal.property(), found.steps.len()));
            lengths.collect::<Vec<_>>()
        };
        let (reduced, all) = (found(&scope), found(&scope.clone().without_reduction()));
        assert_eq!(reduced, all, "{property}");
        assert!(all.iter().any(|(violated, _)| *violated == property), "{property}: {all:?}");
    }
}

/// Whatever rule is off, a search finds the same as one that tells all states apart.
#[test]
fn without_any_rule_reduction_finds_the_same_around_a_crash() {
    let scope = |quorum, operations: &[&str], faults: &[&str], rule| {
        Scope::new(small(quorum, operations, faults, rule), FaultBudgets::default()).expect("a scope")
    };
    let (leader, follower) = ("crash = 'leader'", "crash = 'f1'");
    let set = ["set = 'x'"];
    let read = ["client = 1\nset = 'x'", "client = 1\ndelete = 'x'", "client = 2\nget = 'x'\nfrom = 'leader'"];
    let mut violated = 0;
    // Those that are about crashes of both. (The others come out the same as well, and it takes minutes to see that.)
    let of_both =
        [Rule::LeaveOutForgetful, Rule::ForgetLostConfirmations, Rule::ConfirmBeforeInstall, Rule::RememberQuorums];
    let of_reads = [Rule::ReadCommitted, Rule::KeepTombstones];
    // Without these the leader goes on for ever, and so would a search.
    let ends = |rule: &Rule| ![Rule::RecoverOnStart, Rule::ResyncFollowers].contains(rule);
    for rule in Rule::ALL.into_iter().filter(ends) {
        let both = of_both.contains(&rule).then(|| scope(2, &set, &[leader, follower], rule));
        let reads = of_reads.contains(&rule).then(|| scope(2, &read, &[leader], rule));
        let all = [scope(1, &set, &[leader], rule), scope(2, &set, &[follower], rule)];
        for scope in all.into_iter().chain(both).chain(reads) {
            let (reduced, all) = (searched(&scope), searched(&scope.clone().without_reduction()));
            assert_eq!(reduced.violated(), all.violated(), "{rule}");
            assert!(reduced.progress.unique < all.progress.unique, "{rule}");
            violated += usize::from(!all.violated().is_empty());
        }
    }
    assert!(violated > 3, "{violated}: little was compared");
}

#[test]
fn a_follower_that_is_named_is_told_apart() {
    let text = fs::read_to_string(file("safe-three-followers")).expect("a file");
    let with = |drop: &str| {
        let scenario = Scenario::from_toml(&text.replace("drop = {}", drop)).expect("a scenario");
        let scope = Scope::new(scenario, FaultBudgets::default()).expect("a scope");
        searched(&scope).progress.unique
    };
    let (any, first, last) = (with("drop = {}"), with("drop = { to = \"f1\" }"), with("drop = { to = \"f3\" }"));
    assert_eq!(first, last, "it does not matter which one is named");
    assert_ne!(first, any);
}

/// A change of these numbers is a change of the protocol or of what is searched, and should be meant.
#[test]
fn the_number_of_states_of_a_scope() {
    let progress = searched(&scope("compare-stamps")).progress;
    assert_eq!((progress.unique, progress.depth), (264, 22));
    let progress = searched(&safe("compare-stamps")).progress;
    assert_eq!((progress.unique, progress.depth), (80, 10));
}

#[test]
fn a_bound_ends_a_search_and_is_named() {
    let scope = scope("safe-3-writes-quorum-2");
    let bounded =
        |bounds| search(&scope, bounds, Order::BreadthFirst, 2, |_| ControlFlow::Continue(())).expect("a search").bound;
    assert_eq!(bounded(Bounds { depth: Some(5), ..BOUNDS }), Some(Bound::Depth));
    assert_eq!(bounded(Bounds { states: 1000, ..BOUNDS }), Some(Bound::States));
    let small = self::scope("resend-missed");
    let depth = searched(&small).progress.depth;
    let at = |depth| {
        search(&small, Bounds { depth: Some(depth), ..BOUNDS }, Order::BreadthFirst, 1, |_| ControlFlow::Continue(()))
            .expect("a search")
            .bound
    };
    assert_eq!((at(depth), at(depth - 1)), (None, Some(Bound::Depth)), "a bound that is not met is none");
    let first = Bounds { first_violation: true, ..BOUNDS };
    assert_eq!(
        search(&small, first, Order::BreadthFirst, 2, |_| ControlFlow::Continue(())).expect("a search").bound,
        Some(Bound::FirstViolation)
    );
}

/// Whichever way they are come to, the states are the same, and the run that is told is as short.
#[test]
fn the_order_of_a_search_changes_nothing_but_the_way() {
    for name in ["safe-quorum-change", "resend-missed", "keep-quorum"] {
        let scope = scope(name);
        let in_order = |order| search(&scope, BOUNDS, order, 2, |_| ControlFlow::Continue(())).expect("a search");
        let [broad, deep] = [Order::BreadthFirst, Order::DepthFirst].map(in_order);
        assert!(broad.is_exhausted() && deep.is_exhausted(), "{name}");
        assert_eq!(broad.progress.unique, deep.progress.unique, "{name}");
        assert_eq!(broad.violated(), deep.violated(), "{name}");
        let lengths = |search: &Search| -> Vec<usize> {
            search.counterexamples.iter().map(|found| if found.is_shortest { found.actions.len() } else { 0 }).collect()
        };
        assert_eq!(lengths(&broad), lengths(&deep), "{name}");
    }
}

/// Convergence is judged where a run has come to rest: where none has, it does not hold, it was not looked at.
#[test]
fn what_was_not_judged_does_not_hold() {
    let scope = scope("resend-missed");
    let convergence = |bounds| {
        let search = search(&scope, bounds, Order::BreadthFirst, 2, |_| ControlFlow::Continue(())).expect("a search");
        let verdict = search.verdicts().into_iter().find(|verdict| verdict.property == Property::Convergence);
        verdict.expect("it is one of them").finding
    };
    let early = convergence(Bounds { depth: Some(2), ..BOUNDS });
    assert!(matches!(&early, Finding::NotApplicable(why) if why.contains("none has in what was seen")), "{early:?}");
    assert!(matches!(convergence(BOUNDS), Finding::Violated(_)));
}

#[test]
fn whoever_watches_can_end_a_search() {
    let scope = scope("safe-3-writes-quorum-2");
    let stop =
        |progress: Progress| if progress.unique > 1000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let search =
        search(&scope, Bounds { states: usize::MAX, ..BOUNDS }, Order::BreadthFirst, 2, stop).expect("a search");
    assert_eq!((search.bound, search.violated()), (Some(Bound::Watcher), Vec::new()));
}

#[test]
fn what_was_found_before_a_bound_is_told() {
    let mut scenario = scenario("safe-every-message-fault");
    scenario.cluster.rules = RulesSpec::Without { off: vec![Rule::CompareStamps] };
    let scope = Scope::new(scenario, FaultBudgets::default()).expect("a scope");
    let search =
        search(&scope, Bounds { states: 20_000, ..BOUNDS }, Order::BreadthFirst, 2, |_| ControlFlow::Continue(()))
            .expect("a search");
    assert_eq!(search.bound, Some(Bound::States));
    let found = search.of(Goal::Violates(Property::MonotonicState)).expect("it takes few steps");
    assert_eq!((found.steps.len(), found.is_shortest), (4, true), "{found:?}");
}

/// Crashes, and messages that are late, can be played by whole nodes too.
#[test]
fn every_kind_of_fault_can_be_confirmed() {
    let cluster = |followers: usize, rules: &str| {
        format!("name = \"x\"\n[cluster]\nfollowers = {followers}\nwrite_quorum = 2\nrules = {rules}\n")
    };
    let write = "[[workload.operation]]\nset = \"x\"\n";
    let other = "[[workload.operation]]\nclient = 2\nset = \"x\"\n";
    let read = "[[workload.operation]]\nget = \"x\"\n";
    let fault = |fault: &str| format!("[[fault]]\n{fault}\n");
    for (text, violated) in [
        (
            cluster(2, "\"lab\"") + write + &fault("crash = \"f2\""),
            &[Property::Durability, Property::Convergence, Property::Acknowledgement][..],
        ),
        (
            cluster(2, "{ off = [\"confirm-only-answers\"] }") + write + &fault("crash = \"f2\""),
            &[Property::Durability, Property::Acknowledgement],
        ),
        (
            cluster(2, "{ off = [\"keep-quorum\"] }") + write + other + &fault("delay = { delay_ms = 0 }"),
            &[Property::Durability, Property::Acknowledgement],
        ),
        (
            cluster(3, "\"lab\"") + write + read + &fault("crash = \"leader\""),
            &[Property::Linearizability, Property::Durability, Property::Convergence],
        ),
    ] {
        let scope = Scope::new(Scenario::from_toml(&text).expect("a scenario"), FaultBudgets::default());
        let scope = scope.expect("a scope");
        let search = searched(&scope);
        assert_eq!(search.violated(), violated, "{text}");
        for found in &search.counterexamples {
            let confirmation = confirm(&scope, found).expect("a run");
            assert!(confirmation.result.is_ok(), "{}: {:?}", found.goal.property(), confirmation);
        }
    }
}

/// That a run violates something else confirms nothing.
#[test]
fn a_run_confirms_only_what_it_is_said_to_violate() {
    let scope = scope("compare-stamps");
    let mut found = searched(&scope).of(Goal::Violates(Property::MonotonicState)).expect("it is violated").clone();
    found.goal = Goal::Violates(Property::Linearizability);
    assert!(confirm(&scope, &found).expect("a run").result.is_err());
}

#[test]
fn what_has_no_meaning_without_time_is_refused() {
    let head = "name = \"x\"\n[cluster]\nfollowers = 2\nwrite_quorum = 1\n";
    let operation = "[[workload.operation]]\nset = \"x\"\n";
    for (text, what) in [
        (format!("{head}[workload]\noperations = 3\n"), "workload.operations: drawn operations have no place"),
        (format!("{head}{operation}[[fault]]\nhold = \"f1\"\n"), "fault 1: hold has no meaning here"),
        (
            format!("{head}{operation}[[fault]]\ndrop = {{ rpc = \"promise\" }}\n"),
            "fault 1: rpc = \"promise\": faults of RPCs have no meaning here",
        ),
        (
            format!("{head}{operation}[[fault]]\nwhen = \"n1 serves\"\ncrash = \"f1\"\n"),
            "fault 1: when has no meaning here",
        ),
        (
            format!("{head}{operation}[[fault]]\nslow = {{ node = \"f1\", latency_ms = 3 }}\n"),
            "fault 1: slow has no meaning",
        ),
        (format!("{head}{operation}[[fault]]\ndrop = {{ per_mille = 10 }}\n"), "fault 1: per_mille = 10: a share"),
        (format!("{head}{}", operation.repeat(17)), "17 operations are too many to be searched; at most 16"),
        (format!("{}{operation}", head.replace("= 2", "= 5")), "5 followers are too many to be searched; at most 4"),
    ] {
        let scenario = Scenario::from_toml(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
        let error = Scope::new(scenario, FaultBudgets::default()).expect_err(what).to_string();
        assert!(error.contains(what), "{error}");
        assert!(what.contains("too many") || error.contains("of faults drop, drop_reply, duplicate, delay"), "{error}");
    }
}

fn explore(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_semisync")).arg("explore").args(arguments).output().expect("it runs")
}

fn name_of(path: &Path) -> &str {
    path.to_str().expect("a name in Unicode")
}

#[test]
fn the_command_tells_what_it_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let saved = directory.path().join("saved.toml");
    let (lab, keep, resend) = (file("lab"), file("keep-quorum"), file("resend-missed"));
    let (lab, keep, resend) = (name_of(&lab), name_of(&keep), name_of(&resend));
    for (arguments, status, says) in [
        (vec![lab, "--rules", "safe"], 0, "The scope is EXHAUSTED"),
        (vec![keep, "--save", name_of(&saved)], 1, "CONFIRMED by whole nodes"),
        (vec![resend], 3, "Expected by the file: convergence is violated: met"),
        (vec![resend, "--drops", "0"], 0, "faults: none"),
        (vec![lab, "--max-depth", "3"], 4, "NOT exhausted: --max-depth 3 was reached"),
        (vec![resend, "--max-depth", "2"], 4, "not known before the scope is exhausted"),
        (vec![resend, "--first"], 3, "Nothing else is violated in what was seen, and that was not everything"),
        (vec![lab, "--port", "3001"], 2, "'--port <PORT>'"),
        (vec![lab, "--threads", "0"], 2, "must be a whole number from 1 to 512"),
        (vec![lab, "--rules", "safe", "--for", "1ns"], 4, "Nothing is violated in what was seen"),
        (vec!["sim-tests/corpus/f21-back-in-time.toml"], 0, "there are cases of sessions: not searched for"),
        (vec!["no-such-file.toml"], 2, "no-such-file.toml: No such file"),
    ] {
        let output = explore(&[arguments.as_slice(), &["--headless"]].concat());
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{arguments:?}:\n{text}");
        assert!(text.contains(says), "{arguments:?}:\n{text}");
    }
    let sim = Command::new(env!("CARGO_BIN_EXE_semisync")).arg("sim").arg(&saved).output().expect("it runs");
    assert_eq!(sim.status.code(), Some(1), "what was saved violates the property in `semisync sim` too");
    let saved = Scenario::from_file(&saved).expect("a scenario");
    assert_eq!(saved.expect, Some(Expect::violates(Property::Acknowledgement)), "what the scope expects, of several");
    assert!(String::from_utf8_lossy(&sim.stdout).contains("acknowledgement is violated: met"));
}

#[test]
fn a_port_that_is_taken_is_said_before_the_search() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let output = explore(&[name_of(&file("lab")), "--port", &port]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains(&format!("--port: cannot listen at 127.0.0.1:{port}: ")), "{error}");
    assert!(output.stdout.is_empty());
}

/// The first Ctrl-C ends a search, which tells what it saw.
#[test]
fn an_interrupted_search_tells_what_it_saw() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_semisync"));
    // So many states that it does not end by itself before.
    command.arg("explore").arg(file("safe-3-writes-quorum-1")).args([
        "--headless",
        "--drops",
        "9",
        "--duplicates",
        "9",
    ]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut output = BufReader::new(child.stdout.take().expect("its output"));
    let mut line = String::new();
    // What it searches is told once it listens for signals.
    output.read_line(&mut line).expect("a line");
    let id = Pid::from_raw(i32::try_from(child.id()).expect("an id")).expect("an id");
    kill_process(id, Signal::INT).expect("it still runs");
    let mut text = String::new();
    output.read_to_string(&mut text).expect("text");
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{text}");
    assert!(text.contains("NOT exhausted: it was stopped by SIGINT") && text.contains("Verdicts"), "{text}");
}

/// A process that ends with the test.
struct Explorer(Child);

impl Drop for Explorer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_explorer_is_served() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let mut command = Command::new(env!("CARGO_BIN_EXE_semisync"));
    command.arg("explore").arg(file("resend-missed")).args(["--port", &free.port().to_string()]);
    let mut explorer = Explorer(command.stdout(Stdio::piped()).spawn().expect("it runs"));
    let output = BufReader::new(explorer.0.stdout.take().expect("its output"));
    let mut lines = output.lines().map(|line| line.expect("a line"));
    let line = lines.find(|line| line.starts_with("The explorer is at")).expect("an address");
    assert_eq!(line, format!("The explorer is at http://{free}/ until Ctrl-C."));
    let get = |path: &str| {
        // The address is told just before it is listened at.
        let mut stream =
            std::iter::repeat_with(|| TcpStream::connect(free)).find_map(Result::ok).expect("a connection");
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    assert!(get("/").contains("<html"), "{}", get("/"));
    let status = get("/.status");
    assert!(status.contains("semisync") && status.contains("convergence"), "{status}");
    let states = get("/.states/0");
    assert!(states.contains("c1#1 writes x") && states.contains("f1"), "{states}");
}
