use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::join_all;
use semisync::base::wire::Status;
use semisync::client::Client;
use semisync::net::{HostPort, Tcp};
use semisync::report::{AskedNode, StatusReport};
use serde::Serialize;

use super::stdout::{Lines, is_lost, say_raw};
use super::{Failure, NO, runtime, say};

/// Asks nodes how they are, and their leaders how their followers are, and shows the whole cluster.
///
/// Exit status: 0 if all nodes that were named are ready and no more than one of them leads, 1 if not, 2 if an address is not what it
/// should be.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The nodes, host:port; the followers of a leader among them are asked, too
    #[arg(value_name = "ADDRESS", default_value = "localhost:8000")]
    nodes: Vec<HostPort>,
    /// Show it every second, until Ctrl-C; on a pipe when something has changed
    #[arg(long)]
    watch: bool,
    /// One JSON text instead of tables
    #[arg(long)]
    json: bool,
}

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(1);
/// To the upper left corner of a terminal, and nothing below.
const CLEAR: &str = "\x1b[H\x1b[J";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let runtime = runtime()?;
    let client = Client::new(Tcp, PATIENCE);
    let mut shown = String::new();
    loop {
        let nodes = runtime.block_on(ask(&client, &args.nodes));
        let text = if args.json { in_json(&nodes) } else { StatusReport(&nodes).to_string() };
        if !args.watch {
            if args.json {
                say_raw(text.trim_end())
            } else {
                say(text.trim_end())
            }
            let named = &nodes[..args.nodes.len()];
            let are_ready = named.iter().all(|node| node.answer.as_ref().is_ok_and(|status| status.ready));
            let is_well = are_ready && StatusReport(&nodes).leaders().count() <= 1;
            return Ok(if is_well { ExitCode::SUCCESS } else { NO });
        }
        let is_terminal = std::io::stdout().is_terminal();
        // What only says how long ago something was changes every time.
        let told = without_times(&nodes);
        if is_terminal {
            say_raw(format_args!("{CLEAR}{}", Lines(text.trim_end())));
        } else if args.json && told != shown {
            say_raw(format_args!("{}\n", text.trim_end()));
        } else if told != shown {
            say(format_args!("{}\n", text.trim_end()));
        }
        if is_lost() {
            return Ok(ExitCode::SUCCESS);
        }
        shown = told;
        runtime.block_on(async { tokio::time::sleep(PAUSE).await });
    }
}

/// The nodes that were named, in their order, and then the followers that leaders among them name.
async fn ask(client: &Client<Tcp>, named: &[HostPort]) -> Vec<AskedNode> {
    let ask = async |address: &HostPort| {
        let answer = client.status(address).await.map_err(|error| in_a_line(&error.to_string()));
        AskedNode { address: address.to_string(), answer }
    };
    let mut nodes = join_all(named.iter().map(ask)).await;
    let followers = nodes.iter().filter_map(|node| node.answer.as_ref().ok()).flat_map(|status| &status.followers);
    let mut others: Vec<HostPort> = followers.filter_map(|follower| follower.address.parse().ok()).collect();
    others.retain(|address| !named.contains(address));
    others.sort();
    others.dedup();
    let others = join_all(others.iter().map(ask)).await.into_iter().map(|node| AskedNode {
        answer: node.answer.map_err(|error| format!("{error} (at the address that its leader knows it by)")),
        ..node
    });
    nodes.extend(others);
    nodes
}

/// What another program answers may be a whole page.
fn in_a_line(text: &str) -> String {
    const LONGEST: usize = 200;
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > LONGEST { line.chars().take(LONGEST).chain(['…']).collect() } else { line }
}

#[derive(Serialize)]
struct InJson<'a> {
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

fn in_json(nodes: &[AskedNode]) -> String {
    let nodes: Vec<InJson<'_>> = nodes
        .iter()
        .map(|node| InJson {
            address: &node.address,
            status: node.answer.as_ref().ok(),
            error: node.answer.as_ref().err().map(String::as_str),
        })
        .collect();
    serde_json::to_string(&nodes).expect("our own types can be written as JSON")
}

/// What there is to be seen but for how long ago something was.
fn without_times(nodes: &[AskedNode]) -> String {
    let nodes: Vec<AskedNode> = nodes
        .iter()
        .cloned()
        .map(|mut node| {
            if let Ok(status) = &mut node.answer {
                status.detail = String::new();
                status.leader.iter_mut().for_each(|leader| leader.heard_ago_s = 0.0);
                for follower in &mut status.followers {
                    (follower.heard_ago_s, follower.behind_for_s, follower.why) = (None, None, None);
                }
            }
            node
        })
        .collect();
    in_json(&nodes)
}
