use std::process::ExitCode;

use rlimit::Resource;
#[cfg(target_os = "linux")]
use rustix::process::{getppid, set_parent_process_death_signal};
use semisync::net::Tcp;
use semisync::node::{self, Config, NodeIncarnation, Settings};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

#[cfg(target_os = "linux")]
use super::local::PARENT;
use super::{Failure, environment, log, runtime};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: Settings,
}

/// Files that a node needs besides its clients' connections: its own to the followers, and the runtime's.
const RESERVED_FILES: u64 = 512;

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let system_seed = getrandom::u64().map_err(|error| Failure::Failed(format!("no seed from the system: {error}")))?;
    // A seed that is printed and can be typed again; JavaScript and spreadsheets keep 53 bits.
    let settings = args.settings.or_from(environment);
    let mut config = settings.validate(system_seed >> 11, draw_incarnation()?).map_err(Failure::usage)?;
    end_with_parent()?;
    let log = log::init()?;
    config.log_loss = Some(log.loss());
    config.max_connections = config.max_connections.min(connections_allowed());
    let runtime = runtime()?;
    let served = runtime.block_on(serve(config, &settings));
    // A name that is being looked up may take half a minute, and nobody waits for it any more.
    runtime.shutdown_background();
    log.finish();
    served.map(|()| ExitCode::SUCCESS)
}

/// Draws what distinguishes this process from all other nodes and from its earlier runs.
pub(super) fn draw_incarnation() -> Result<NodeIncarnation, Failure> {
    NodeIncarnation::draw().map_err(|error| Failure::Failed(format!("no random number from the system: {error}")))
}

async fn serve(config: Config, settings: &Settings) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")));
    let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let served = node::run(Tcp, config, first_of(terminate, interrupt)).await;
    served.map_err(|error| Failure::Usage(settings.describe(&error)))
}

/// Completes on the first signal. The second one ends the process at once, for whoever will not wait for the drain.
async fn first_of(mut terminate: Signal, mut interrupt: Signal) {
    let mut either = async move || {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    either().await;
    tokio::spawn(async move {
        either().await;
        warn!("stopped at once by a second signal");
        std::process::exit(1);
    });
}

/// A node of `semisync cluster` ends when that does, even if it was killed.
#[cfg(target_os = "linux")]
fn end_with_parent() -> Result<(), Failure> {
    let Some(parent) = environment(PARENT) else { return Ok(()) };
    let failed = |error| Failure::Failed(format!("cannot end with the process that started the node: {error}"));
    set_parent_process_death_signal(Some(rustix::process::Signal::TERM)).map_err(failed)?;
    // It may have ended before.
    let is_alive = getppid().is_some_and(|pid| pid.as_raw_nonzero().to_string() == parent);
    if is_alive { Ok(()) } else { Err(Failure::Failed("the process that started the node has ended".into())) }
}

/// Other systems have no means for it.
#[cfg(not(target_os = "linux"))]
fn end_with_parent() -> Result<(), Failure> {
    Ok(())
}

/// How many connections the limit on open files leaves room for, after raising it as far as we may.
fn connections_allowed() -> usize {
    let allowed = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => files,
        Err(error) => {
            warn!(%error, "cannot raise the limit on open files");
            Resource::NOFILE.get_soft().unwrap_or(1024)
        }
    };
    usize::try_from(allowed.saturating_sub(RESERVED_FILES).max(64)).unwrap_or(usize::MAX)
}
