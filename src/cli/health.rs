use std::process::ExitCode;
use std::time::Duration;

use semisync::client::Client;
use semisync::net::{HostPort, Tcp};

use super::{Failure, environment, runtime};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node to ask, host:port [default: 127.0.0.1 and the port in the environment variable PORT, or 8000]
    #[arg(value_name = "NODE")]
    node: Option<HostPort>,
    /// Seconds to wait for its answer
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    timeout: f64,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let timeout = Duration::try_from_secs_f64(args.timeout).ok().filter(|timeout| !timeout.is_zero());
    let timeout = timeout.ok_or_else(|| Failure::Usage(format!("--timeout {}: must be above 0", args.timeout)))?;
    let node = match &args.node {
        Some(node) => node.clone(),
        None => HostPort::new("127.0.0.1", own_port()?),
    };
    let health = runtime()?.block_on(Client::new(Tcp, timeout).health(&node));
    let health = health.map_err(|error| Failure::Failed(format!("{node}: {error}")))?;
    println!("{node}: {} ({})", health.status, health.role);
    Ok(ExitCode::SUCCESS)
}

fn own_port() -> Result<u16, Failure> {
    let Some(text) = environment("PORT").filter(|text| !text.is_empty()) else { return Ok(8000) };
    let port = text.trim().parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| Failure::Usage(format!("PORT={text:?}: must be a whole number from 1 to 65535")))
}
