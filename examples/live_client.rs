//! The typed client against a live cluster: `cargo run -- cluster --write-quorum 3` in another terminal, then
//!
//! `cargo run --example live_client`
//!
//! The leader's port can be given, `-- 9000`; the followers have the five ports after it.
//!
//! It ends with the history of what it did, in the form that `docs/RECORDS.md` describes.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use semisync::base::{Key, NodeId, Value};
use semisync::client::{Client, Cluster, HistoryRecorder, Outcome, RecordedClient};
use semisync::live::preflight;
use semisync::net::{HostPort, Tcp};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let port = match std::env::args().nth(1) {
        None => 8000,
        Some(text) => match text.parse::<u16>() {
            Ok(port @ 1..=65530) => port,
            _ => return Err(format!("{text:?} is not a port of the leader, 1 to 65530").into()),
        },
    };
    let node = |place: u16| HostPort::new("127.0.0.1", port + place);
    let cluster = Cluster::new(Client::new(Tcp, Duration::from_secs(10)), node(0), (1..=5).map(node).collect());
    if let Err(unfit) = preflight(&cluster).await {
        let lines: Vec<String> = unfit.iter().map(ToString::to_string).collect();
        let command = format!("cargo run -- cluster --write-quorum 3 --port {port}");
        let problem = lines.join("\n");
        return Err(
            format!("{problem}\nStart a cluster in another terminal and wait until it says ready:\n{command}").into()
        );
    }
    let recorder = HistoryRecorder::start(&Tcp);
    let client = RecordedClient::new(0, cluster.clone(), Some(recorder.observer(NodeId::Client(0))));
    let key = Key::new("greeting")?;
    for word in ["\"hello\"", "\"hello again\""] {
        match client.set(&key, &Value::from_json(word)?).await {
            Outcome::Ok(answer) => println!("version {} confirmed by {}", answer.version, answer.confirmations),
            Outcome::Failed(reason) => return Err(format!("it has no effect: {reason}").into()),
            Outcome::Unknown(reason) => println!("it may have taken effect: {reason}"),
        }
    }
    let dump = cluster.settle(Duration::from_secs(10)).await?;
    println!("all six nodes hold {} keys; greeting = {}", dump.len(), dump[&key].value);
    recorder.history().write_json_lines(std::io::stdout())?;
    Ok(())
}
