use std::process::ExitCode;
use std::time::Duration;

use semisync::base::wire::Ready;
use semisync::client::Client;
use semisync::net::{HostPort, Tcp};

use super::target::parse_seconds;
use super::{Failure, NO, environment, runtime, say};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node to ask, host:port [default: this machine, at the HOST and PORT of the environment, or port 8000]
    #[arg(value_name = "NODE")]
    node: Option<HostPort>,
    /// Ask whether it can do its work, too, and if not, why and what to do
    #[arg(long)]
    ready: bool,
    /// Seconds to wait for its answer
    #[arg(long, default_value = "2", value_name = "SECONDS", value_parser = parse_seconds)]
    timeout: Duration,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let node = match &args.node {
        Some(node) => node.clone(),
        None => HostPort::new(&own_host(), own_port()?),
    };
    let client = Client::new(Tcp, args.timeout);
    let failed = |error| Failure::Failed(format!("{node}: {error}"));
    if args.ready {
        let Ready { ready, detail } = runtime()?.block_on(client.ready(&node)).map_err(failed)?;
        say(format_args!("{node}: {}: {detail}", if ready { "ready" } else { "not ready" }));
        return Ok(if ready { ExitCode::SUCCESS } else { NO });
    }
    let health = runtime()?.block_on(client.health(&node)).map_err(failed)?;
    say(format_args!("{node}: {} ({})", health.status, health.role));
    Ok(ExitCode::SUCCESS)
}

/// Where the node on this machine listens: everywhere, unless HOST says otherwise.
fn own_host() -> String {
    let host = environment("HOST").filter(|host| !host.is_empty() && host != "0.0.0.0" && host != "::");
    host.unwrap_or_else(|| "127.0.0.1".into())
}

fn own_port() -> Result<u16, Failure> {
    let Some(text) = environment("PORT").filter(|text| !text.is_empty()) else { return Ok(8000) };
    let port = text.trim().parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| Failure::Usage(format!("PORT={text:?}: must be a whole number from 1 to 65535")))
}
