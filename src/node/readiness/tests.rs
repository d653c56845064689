use super::*;
use crate::net::http::Traffic;
use crate::node::contacts::Transfer;

const NOW: Duration = Duration::from_secs(100);

fn current() -> FollowerStatus {
    FollowerStatus {
        reachable: true,
        unanswered: 0,
        missed: 0,
        current: true,
        legacy: false,
        progress: Progress::Current,
        remembers: None,
        heard_at: Some(NOW - RECENT),
    }
}

/// A leader of these followers, two of which must confirm a write.
fn leader_of<'a>(names: &'a [String], status: Vec<FollowerStatus>, contacts: Vec<Contact>) -> Followers<'a> {
    Followers {
        now: NOW,
        own_address: "l:0",
        deposed: Vec::new(),
        names,
        status,
        contacts,
        write_quorum: 2,
        max_body: 16 << 20,
        max_delay: Duration::ZERO,
        repl_timeout: Duration::from_secs(5),
        waiting: None,
    }
}

/// Returns the readiness of a leader of three followers, the first of which is like this. The second counts or does not.
fn says(first: FollowerStatus, contact: Contact, second_counts: bool) -> Ready {
    let names = ["a:1", "b:2", "c:3"].map(String::from);
    let silent = FollowerStatus { heard_at: Some(Duration::from_secs(88)), ..current() };
    let second = if second_counts { current() } else { silent };
    let contacts = vec![contact, Contact::default(), Contact::default()];
    leader_of(&names, vec![first, second, current()], contacts).readiness()
}

#[test]
fn a_leader_is_ready_while_enough_followers_count() {
    let all = says(current(), Contact::default(), true);
    assert_eq!(all, Ready { ready: true, detail: "3 of 3 followers count, 2 must for a write".into() });
    let late = FollowerStatus { heard_at: Some(NOW - RECENT - Duration::from_millis(1)), ..current() };
    let two = says(late, Contact::default(), true);
    assert_eq!(
        two,
        Ready {
            ready: true,
            detail: "2 of 3 followers count, 2 must for a write; a:1: has not answered for 2 s".into()
        }
    );
    let one = says(late, Contact::default(), false);
    assert!(
        !one.ready
            && one.detail.starts_with("1 of 3 followers count")
            && one.detail.contains("b:2: has not answered for 12 s")
    );
}

/// What a leader says that does not serve: while it looks for who remembers, who does not answer; then who is not up to date.
#[test]
fn a_leader_that_does_not_serve_says_what_it_waits_for_and_what_to_do() {
    let names = ["a:1".to_owned()];
    let says = |waiting: Waiting| {
        let status = vec![FollowerStatus { progress: Progress::Behind { keys: 3 }, ..current() }];
        let trouble = Trouble::Unreachable("cannot connect: refused".into());
        let question = Some(Problem { trouble, since: NOW });
        let asked = if matches!(waiting, Waiting::Quorum { .. }) { None } else { question };
        let contacts = vec![Contact { question: asked, ..Contact::default() }];
        let waiting = Some(waiting);
        Followers {
            now: NOW,
            own_address: "l:0",
            deposed: Vec::new(),
            names: &names,
            status,
            contacts,
            write_quorum: 1,
            max_body: 1,
            max_delay: Duration::ZERO,
            repl_timeout: Duration::from_secs(5),
            waiting,
        }
        .readiness()
    };
    let nobody = || (Vec::new(), Vec::new(), Vec::new());
    let (forgetful, foreign, gone) = nobody();
    let silent = vec!["a:1".to_owned()];
    let Ready { ready, detail } = says(Waiting::Survivors { normal: 0, needed: 1, silent, forgetful, foreign, gone });
    assert!(!ready && detail.contains("a:1: cannot connect: refused (so for 0 s); start it"), "{detail}");
    let resort =
        "; if a:1 will not come back with what was stored, accept that it is lost: semisync admin accept-loss l:0 (";
    assert!(detail.contains(resort) && !detail.contains("brought up to date"), "{detail}");
    let Ready { ready, detail } = says(Waiting::Quorum { current: 0, needed: 1 });
    assert!(!ready && detail.ends_with("a:1: is being brought up to date: 3 keys to go"), "{detail}");
    assert!(last_resort(&[], &[], "l:0").starts_with("if nobody else can remember it, accept that it is lost: "));
    let gone = last_resort(&["a:1".to_owned()], &["b:2".to_owned()], "l:0");
    assert!(gone.starts_with("put b:2 back into FOLLOWERS, or if a:1 will not come back"), "{gone}");
}

/// What does not keep a follower from counting, and a person should know.
#[tokio::test(start_paused = true)]
async fn a_slow_transfer_and_a_small_limit_are_told_of() {
    let transfer = Transfer { size: 12_600_000, traffic: Traffic::default() };
    let sent = |missed, reachable| {
        let status = FollowerStatus { missed, reachable, ..current() };
        says(status, Contact { transfers: vec![transfer.clone()], ..Contact::default() }, true)
    };
    assert_eq!(sent(0, true).detail, "3 of 3 followers count, 2 must for a write");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(sent(0, true).detail.ends_with("; a:1: 12.6 MB are being sent to it: 0.0 MB in 4 s, 0.0 MB/s"));
    let behind = sent(1, false).detail;
    assert!(
        behind.ends_with("is behind by 1 key, to be sent again; 12.6 MB are being sent to it: 0.0 MB in 4 s, 0.0 MB/s"),
        "{behind}"
    );
    let limited = says(current(), Contact { takes: Some(FollowerLimit(1 << 20)), ..Contact::default() }, true);
    assert!(
        limited.ready
            && limited
                .detail
                .contains("a:1: it has MAX_BODY=1.0 MiB, and the leader MAX_BODY=16.0 MiB: values over 9.0 MiB"),
        "{}",
        limited.detail
    );
    let equal = says(current(), Contact { takes: Some(FollowerLimit(16 << 20)), ..Contact::default() }, true);
    assert_eq!(equal.detail, "3 of 3 followers count, 2 must for a write");
}

#[test]
fn an_operator_is_shown_what_a_loss_would_be() {
    let names = ["a:1", "b:2", "c:3"].map(String::from);
    let remembers = FollowerStatus { remembers: Some(12), ..current() };
    let would = |status: [FollowerStatus; 3], forgetful: Vec<String>| {
        let (silent, foreign, gone) = (vec!["c:3".to_owned()], Vec::new(), vec!["d:4".to_owned()]);
        let waiting = Some(Waiting::Survivors { normal: 1, needed: 2, silent, forgetful, foreign, gone });
        let leader = leader_of(&names, status.to_vec(), vec![Contact::default(); 3]);
        Followers { waiting, ..leader }.loss_to_accept().unwrap()
    };
    assert_eq!(
        would([remembers, current(), current()], vec!["b:2".into()]),
        "the leader would go on with what is remembered by a:1 (12 keys); lost would be every acknowledged write that only these \
         have: c:3 (have not joined), b:2 (are new, or restarted empty), d:4 (are not in FOLLOWERS any more); those that are empty are brought up to date once all \
         followers have joined, so start an empty one in place of c:3"
    );
    assert!(would([current(); 3], Vec::new()).starts_with("the leader would begin empty, because nobody"));
}

#[test]
fn each_reason_names_the_follower_and_what_to_do() {
    let with = |progress| FollowerStatus { progress, ..current() };
    let problem = |trouble| Some(Problem { trouble, since: Duration::from_secs(40) });
    let asked = |trouble| Contact { question: problem(trouble), ..Contact::default() };
    let sent = |trouble| Contact { writes: problem(trouble), ..Contact::default() };
    let behind = FollowerStatus { missed: 3, reachable: false, ..current() };
    let never = FollowerStatus { heard_at: None, ..with(Progress::Unpromised) };
    let silent: FollowerSet = [FollowerId(2)].into_iter().collect();
    for (status, contact, said) in [
        (
            never,
            asked(Trouble::Unreachable("cannot connect: refused".into())),
            "a:1: cannot connect: refused (so for 60 s, and never did); start it, or correct its address in FOLLOWERS",
        ),
        (
            with(Progress::Unpromised),
            asked(Trouble::WrongToken { shows_one: false }),
            "it has a PEER_TOKEN and the leader has none (so for 60 s); start both with the same PEER_TOKEN",
        ),
        (with(Progress::Unconfirmed { silent }), Contact::default(), "when c:3 can be asked"),
        (with(Progress::Behind { keys: 7 }), Contact::default(), "a:1: is being brought up to date: 7 keys to go"),
        (behind, sent(Trouble::TooLarge), "is behind by 3 keys: it refuses a request with 413"),
        (behind, Contact::default(), "is behind by 3 keys, to be sent again"),
        (with(Progress::Elsewhere), Contact::default(), "another follower answers at this address"),
        (
            with(Progress::Legacy),
            asked(Trouble::NoFollower(http::StatusCode::NOT_FOUND)),
            "a:1: it answers 404 to a leader's questions",
        ),
        (with(Progress::Doubted), Contact::default(), "a:1: has not answered for 2 s"),
    ] {
        let Ready { ready, detail } = says(status, contact, false);
        assert!(!ready && detail.contains(said), "{detail}");
    }
}
