//! The commands: arguments in, output out.

mod admin;
mod analyze;
mod check;
mod cluster;
#[cfg(feature = "sim")]
mod doctor;
mod explain;
#[cfg(feature = "sim")]
mod explore;
mod health;
#[cfg(feature = "sim")]
mod limits;
mod load;
mod local;
mod log;
mod numbers;
mod output;
mod progress;
mod race;
mod ranges;
#[cfg(feature = "sim")]
mod rules;
mod serve;
#[cfg(feature = "sim")]
mod shell;
#[cfg(feature = "sim")]
mod shrink;
mod signals;
#[cfg(feature = "sim")]
mod sim;
mod status;
mod stdout;
#[cfg(feature = "sim")]
mod swarm;
mod target;
mod verify;
#[cfg(feature = "sim")]
mod zoo;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};
use semisync::base::Visible;
use semisync::check::{Property, Verdict};
use semisync::report::ExplainHint;
use stdout::{Lines, say};

/// A key-value store with one leader, followers and semi-synchronous replication, and its deterministic simulator.
#[derive(Debug, Parser)]
#[command(name = "semisync", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node, configured by environment variables or flags
    Serve(serve::Args),
    /// Ask a node whether it lives, or is ready; exit status 0 or 1
    Health(health::Args),
    /// Show the nodes of a cluster: who leads, which followers count, and why others do not
    Status(status::Args),
    /// What only an operator can decide
    Admin(admin::Args),
    /// Run a whole cluster on this machine, a process for each node, until Ctrl-C
    Cluster(cluster::Args),
    /// Tell three stories to a cluster that a replicated store must stand
    Race(race::Args),
    /// Compare what the followers of a cluster store with what its leader does
    Verify(verify::Args),
    /// Write to and read from a cluster, and tell how fast it was
    Load(load::Args),
    /// Measure latency against quorum, and draw it
    Analyze(analyze::Args),
    /// Judge a recorded trace or history by every property
    Check(check::Args),
    /// Explain a property, a protocol rule or a failure code, or list all of them
    Explain(explain::Args),
    /// Simulate clients racing on few keys while messages overtake one another
    #[cfg(feature = "sim")]
    Sim(sim::Args),
    /// Simulate many generated scenarios, several at a time, and keep those that fail
    #[cfg(feature = "sim")]
    Swarm(swarm::Args),
    /// Find the smallest scenario that still violates the same property, and tell its story
    #[cfg(feature = "sim")]
    Shrink(shrink::Args),
    /// Search every order in which the events of a small scope can happen, and serve what was searched as a page
    #[cfg(feature = "sim")]
    Explore(explore::Args),
    /// Take each decision of the protocol away, and show what breaks
    #[cfg(feature = "sim")]
    Zoo(zoo::Args),
    /// Run one scenario in several processes, and show where the runs part if they do
    #[cfg(feature = "sim")]
    Doctor(doctor::Args),
}

/// How a command ended that could not do its work.
#[derive(Debug)]
enum Failure {
    /// What was asked for cannot be: exit status 2.
    Usage(String),
    /// It was tried and did not work: exit status 1.
    Failed(String),
}

impl Failure {
    fn usage(error: impl ToString) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Exit status 1 without a further word, for what has been said already.
const NO: ExitCode = ExitCode::FAILURE;

pub(crate) fn main() -> ExitCode {
    stdout::finish(match parse_arguments() {
        Ok(Cli { command }) => run(command),
        Err(error) => refuse_arguments(&error),
    })
}

/// Prints the help that was asked for, or what is wrong with the arguments.
fn refuse_arguments(error: &clap::Error) -> ExitCode {
    // An error quotes arguments.
    let has_control = |text: OsString| text.to_string_lossy().contains(Visible::is_control);
    if error.use_stderr() && std::env::args_os().any(has_control) {
        let text = error.render().to_string();
        let _ = std::io::stderr().write_all(Lines(&text).to_string().as_bytes());
    } else if let Err(error) = error.print() {
        stdout::fail(error);
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn run(command: Command) -> ExitCode {
    let result = match command {
        Command::Serve(args) => serve::run(args),
        Command::Health(args) => health::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Admin(args) => admin::run(&args),
        Command::Cluster(args) => cluster::run(args),
        Command::Race(args) => race::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Analyze(args) => analyze::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        #[cfg(feature = "sim")]
        Command::Sim(args) => sim::run(args),
        #[cfg(feature = "sim")]
        Command::Swarm(args) => swarm::run(&args),
        #[cfg(feature = "sim")]
        Command::Shrink(args) => shrink::run(&args),
        #[cfg(feature = "sim")]
        Command::Explore(args) => explore::run(&args),
        #[cfg(feature = "sim")]
        Command::Zoo(args) => zoo::run(&args),
        #[cfg(feature = "sim")]
        Command::Doctor(args) => doctor::run(&args),
    };
    let (message, status) = match result {
        Ok(status) => return status,
        Err(Failure::Usage(message)) => (message, 2),
        Err(Failure::Failed(message)) => (message, 1),
    };
    complain(&message);
    ExitCode::from(status)
}

fn parse_arguments() -> Result<Cli, clap::Error> {
    let matches = with_negative_numbers(Cli::command()).try_get_matches()?;
    Cli::from_arg_matches(&matches)
}

/// Takes `-1` for the value of an option, so that the parser of the option refuses it and names what is allowed.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let takes_value = |arg: &clap::Arg| matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let of_arguments = command.mut_args(|arg| if takes_value(&arg) { arg.allow_negative_numbers(true) } else { arg });
    of_arguments.mut_subcommands(with_negative_numbers)
}

/// What verdicts mean for the exit status.
struct Status {
    code: ExitCode,
    /// What is wrong, if anything.
    problem: Option<String>,
    /// How to have that explained.
    hint: ExplainHint,
}

fn status_of(verdicts: &[Verdict]) -> Status {
    let violated: Vec<_> =
        verdicts.iter().filter(|verdict| verdict.is_violated()).map(|verdict| verdict.property).collect();
    let lost: Vec<_> = verdicts.iter().filter(|verdict| verdict.is_lost()).map(|verdict| verdict.property).collect();
    let kinds = [("Violated", &violated), ("Lost", &lost)].into_iter().filter(|(_, some)| !some.is_empty());
    let kinds = kinds.map(|(kind, some)| {
        let names: Vec<_> = some.iter().map(|property| property.name()).collect();
        format!("{kind}: {}", names.join(", "))
    });
    let problem = kinds.collect::<Vec<_>>().join(". ");
    let code = if lost.is_empty() { code_of(&violated) } else { NO };
    let hint = ExplainHint::new(violated.iter().chain(&lost));
    Status { code, problem: Some(problem).filter(|problem| !problem.is_empty()), hint }
}

/// 1 if something bad happened, 3 if something good never did, else 0.
fn code_of(violated: &[Property]) -> ExitCode {
    match violated {
        [] => ExitCode::SUCCESS,
        some if some.iter().all(|property| property.is_liveness()) => ExitCode::from(3),
        _ => ExitCode::from(1),
    }
}

/// Prints to the standard error, in one piece: of several processes that complain at once, each keeps its line.
/// Control characters are escaped.
fn complain(message: &str) {
    let _ = std::io::stderr().write_all(format!("semisync: {}\n", Lines(message)).as_bytes());
}

/// A runtime of one thread. On two cores it serves more requests than one of two threads, for a node's work is many
/// small steps and each would pay for waking the other thread.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Failed(format!("cannot start a runtime: {error}")))
}

/// The value of an environment variable, if it is set and is text.
fn environment(variable: &'static str) -> Option<String> {
    std::env::var_os(variable).map(|value| value.to_string_lossy().into_owned())
}
