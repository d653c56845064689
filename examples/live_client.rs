//! The typed client against a live cluster: `cargo run -- cluster --write-quorum 3` in another terminal, then
//!
//! `cargo run --example live_client`
//!
//! It ends with the history of what it did, in the form that `docs/RECORDS.md` describes.

use std::error::Error;
use std::time::Duration;

use semisync::base::{Key, NodeId, Value};
use semisync::client::{Client, Cluster, HistoryRecorder, Outcome, RecordedClient};
use semisync::net::{HostPort, Tcp};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let node = |place: u16| HostPort::new("127.0.0.1", 8000 + place);
    let cluster = Cluster::new(Client::new(Tcp, Duration::from_secs(10)), node(0), (1..=5).map(node).collect());
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
