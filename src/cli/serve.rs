use std::io::IsTerminal;
use std::process::ExitCode;

use rlimit::Resource;
use semisync::net::Tcp;
use semisync::node::{self, Config, NodeIncarnation, Settings};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;
use tracing_subscriber::EnvFilter;

use super::{Failure, environment, runtime};

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
    init_log()?;
    config.max_connections = config.max_connections.min(connections_allowed());
    runtime()?.block_on(serve(config))?;
    Ok(ExitCode::SUCCESS)
}

/// Draws what distinguishes this process from all other nodes and from its earlier runs.
pub(super) fn draw_incarnation() -> Result<NodeIncarnation, Failure> {
    NodeIncarnation::draw().map_err(|error| Failure::Failed(format!("no random number from the system: {error}")))
}

async fn serve(config: Config) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")));
    let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    node::run(Tcp, config, first_of(terminate, interrupt)).await.map_err(Failure::usage)
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

/// Log lines go to the standard error. `RUST_LOG` chooses them as usual.
fn init_log() -> Result<(), Failure> {
    let text = environment("RUST_LOG").filter(|text| !text.is_empty()).unwrap_or_else(|| "info".into());
    let allowed = "must be a level such as info or debug, or a filter of tracing's EnvFilter";
    let filter = EnvFilter::builder().parse(&text);
    let filter = filter.map_err(|error| Failure::Usage(format!("RUST_LOG={text:?}: {error}; {allowed}")))?;
    // Colours are for people; a file or a container's log is searched.
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A log that cannot be written must not take the node down.
    log.with_ansi(colours).with_target(false).log_internal_errors(false).init();
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
