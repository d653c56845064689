//! Clients that take their time, in virtual time.

use std::time::Duration;

use semisync::base::NodeRef;
use semisync::sim::{Stage, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};
use turmoil::net::TcpStream;

use crate::support::f;

/// Writes the bytes one a second, until the node hangs up.
async fn drip(stage: &Stage, bytes: &'static [u8]) -> Duration {
    let began = Instant::now();
    let address = stage.cluster().address(NodeRef::Leader);
    let mut stream = TcpStream::connect((address.host(), address.port())).await.expect("it listens");
    for byte in bytes {
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        if let Ok(read) = timeout(Duration::from_secs(1), stream.read(&mut [0; 256])).await {
            let hung_up = matches!(read, Ok(0) | Err(_));
            assert!(hung_up, "it answered half a request");
            break;
        }
    }
    began.elapsed()
}

#[test]
fn a_header_that_drips_in_is_cut_off_and_holds_up_nobody() {
    let run = World::new(1).followers(1).write_quorum(1).delay_ms(0, 10).run(async |stage| {
        let others = async {
            let client = stage.client(0);
            for n in 0..30 {
                client.set("x", &n.to_string()).await.ok().expect("the leader goes on");
                sleep(Duration::from_secs(1)).await;
            }
        };
        let slow =
            drip(&stage, b"GET /dump HTTP/1.1\r\nx-nothing: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        tokio::join!(slow, others).0
    });
    let cut_off_after = run.expect("a simulation").result;
    assert!((29..=32).contains(&cut_off_after.as_secs()), "{cut_off_after:?}");
}

#[test]
fn a_body_that_never_comes_is_given_up() {
    let run = World::new(1).followers(1).write_quorum(1).run(async |stage| {
        let address = stage.cluster().address(NodeRef::Leader);
        let mut stream = TcpStream::connect((address.host(), address.port())).await.expect("it listens");
        let head = b"POST /set HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
        stream.write_all(head).await.expect("it reads");
        let mut answer = String::new();
        timeout(Duration::from_secs(60), stream.read_to_string(&mut answer)).await.expect("in time").expect("an answer");
        answer
    });
    let answer = run.expect("a simulation").result;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("did not arrive within 30 s"), "{answer}");
}

/// The write belongs to the leader from the moment it has a version.
#[test]
fn a_client_that_gives_up_does_not_stop_its_write() {
    crate::support::seeds::for_each_seed(0..20, |seed| {
        let run = World::new(seed).write_quorum(5).delay_ms(100, 1000).run(async |stage| {
            let client = stage.client(0);
            let gone = timeout(Duration::from_millis(20), client.set("x", "1")).await;
            assert!(gone.is_err(), "it was answered too soon to show anything");
            stage.settle().await;
            stage.cluster().dump(f(5)).await.expect("it answers").len()
        });
        let run = run.expect("a simulation");
        assert_eq!(run.result, 1);
        let completed = |e: &semisync::base::trace::Event| {
            matches!(e, semisync::base::trace::Event::Complete { ok: true, confirmations: 5, .. })
        };
        assert!(run.trace.records().iter().any(|record| completed(&record.event)));
    });
}
