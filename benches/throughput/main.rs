//! How many writes a cluster of six processes confirms in a second at quorum 3, and how many reads one of its followers
//! answers, as a share of what a bare axum server does in the same run.
//!
//! ```text
//! cargo bench --bench throughput
//! cargo bench --bench throughput -- --quick
//! ```
//!
//! Requests a second tell as much about the machine and its other work as about the program; a share of what a server
//! that only parses and answers reaches in the same seconds does not. So the servers take turns in short rounds, the
//! share is taken in each round, and the median of the rounds is what counts. Afterwards all six replicas must be equal
//! and hold exactly the writes that were confirmed; if not, the exit status is 1.

mod bare;
mod load;
mod processes;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use comfy_table::{CellAlignment, Table};
use hdrhistogram::Histogram;
use semisync::base::wire::Dump;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use load::{Call, Load, Until};
use processes::{BareServer, ClusterProcesses};

/// What ends the benchmark early.
type Failure = Box<dyn Error + Send + Sync>;

/// Throughput of a six-process cluster, as a share of a bare axum server's.
#[derive(Debug, Parser)]
struct Args {
    /// Two short rounds, to see that it works
    #[arg(long)]
    quick: bool,
    /// How many rounds
    #[arg(long, default_value = "21", default_value_if("quick", "true", "2"), value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long each server is measured in a round, in milliseconds
    #[arg(long, default_value = "500", default_value_if("quick", "true", "200"), value_parser = clap::value_parser!(u64).range(1..=60_000))]
    millis: u64,
    /// How many connections ask, each for one thing at a time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
    /// How many keys are written and read
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    keys: u32,
    /// The leader's port; the followers take the five after it
    #[arg(long, default_value_t = 19_000, value_parser = clap::value_parser!(u16).range(1..=65_530))]
    port: u16,
    /// The semisync to measure, if not the one that was built along
    #[arg(long, default_value = env!("CARGO_BIN_EXE_semisync"))]
    program: PathBuf,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// How long anything but the load itself may take, all together.
const REST_DEADLINE: Duration = Duration::from_secs(120);
/// How long the replicas may take to become equal.
const SETTLE_DEADLINE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|argument| argument == bare::ARGUMENT) {
        return exit_code(runtime().and_then(|runtime| runtime.block_on(bare::serve())));
    }
    // `cargo test --all-targets` runs benchmarks too, and nextest asks them for a list of tests: there are none.
    if !arguments.iter().any(|argument| argument == "--bench") {
        eprintln!("throughput: nothing to test here; cargo bench --bench throughput measures");
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    exit_code(runtime().and_then(|runtime| runtime.block_on(benchmark(&args))))
}

fn exit_code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("throughput: {error}");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

async fn benchmark(args: &Args) -> Result<(), Failure> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let bare = BareServer::start().await?;
    let cluster = ClusterProcesses::start(&args.program, args.port).await?;
    let load_time = Duration::from_millis(args.millis) * args.rounds * Case::ALL.len() as u32;
    let result = tokio::select! {
        biased;
        _ = terminate.recv() => Err("terminated".into()),
        _ = interrupt.recv() => Err("interrupted".into()),
        () = sleep(load_time + REST_DEADLINE) => Err("it takes far too long and is given up".into()),
        result = measure(args, &bare, &cluster) => result,
    };
    bare.stop().await;
    cluster.stop().await;
    result
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    BareSet,
    ClusterSet,
    BareGet,
    FollowerGet,
}

impl Case {
    const ALL: [Self; 4] = [Self::BareSet, Self::ClusterSet, Self::BareGet, Self::FollowerGet];

    fn name(self) -> &'static str {
        match self {
            Self::BareSet => "POST /set, bare axum",
            Self::ClusterSet => "POST /set, quorum 3 of 5",
            Self::BareGet => "GET /get, bare axum",
            Self::FollowerGet => "GET /get, one follower",
        }
    }

    fn call(self) -> Call {
        match self {
            Self::BareSet | Self::ClusterSet => Call::Set,
            Self::BareGet | Self::FollowerGet => Call::Get,
        }
    }

    /// What it is a share of.
    fn yardstick(self) -> Option<Self> {
        match self {
            Self::ClusterSet => Some(Self::BareSet),
            Self::FollowerGet => Some(Self::BareGet),
            Self::BareSet | Self::BareGet => None,
        }
    }
}

/// What the rounds brought for one case.
struct Measured {
    /// Requests a second, by round.
    rates: Vec<f64>,
    /// Latencies of all rounds, in microseconds.
    latencies: Histogram<u64>,
}

async fn measure(args: &Args, bare: &BareServer, cluster: &ClusterProcesses) -> Result<(), Failure> {
    let address = |case| match case {
        Case::BareSet | Case::BareGet => bare.address(),
        Case::ClusterSet => SocketAddr::from(([127, 0, 0, 1], args.port)),
        Case::FollowerGet => SocketAddr::from(([127, 0, 0, 1], args.port + 1)),
    };
    let load = |case: Case, until| {
        Load { to: address(case), call: case.call(), connections: args.connections, keys: args.keys, until }.run()
    };

    // Warms everything up, and gives every key a value.
    let each = args.keys.div_ceil(args.connections);
    let mut confirmed = load(Case::ClusterSet, Until::Requests(each)).await?.requests();
    cluster.nodes().settle(SETTLE_DEADLINE).await?;
    for case in [Case::BareSet, Case::BareGet, Case::FollowerGet] {
        load(case, Until::Requests(each)).await?;
    }

    println!("{} connections, {} keys, {} rounds of {} ms", args.connections, args.keys, args.rounds, args.millis);
    let mut measured = Vec::new();
    for _ in Case::ALL {
        measured.push(Measured { rates: Vec::new(), latencies: Histogram::new(3)? });
    }
    for round in 1..=args.rounds {
        // A machine that becomes slower as the benchmark goes on must not favour who comes first.
        let mut order = Case::ALL;
        if round % 2 == 0 {
            order.reverse();
        }
        for case in order {
            let result = load(case, Until::Elapsed(Duration::from_millis(args.millis))).await?;
            if case == Case::ClusterSet {
                confirmed += result.requests();
            }
            let measured = &mut measured[case as usize];
            measured.rates.push(result.rate());
            for latency in &result.latencies {
                measured.latencies.record(u64::try_from(latency.as_micros())?)?;
            }
        }
        println!("{}", progress(round, &measured));
    }
    println!("{}", table(&measured));
    let dump = cluster.nodes().settle(SETTLE_DEADLINE).await?;
    check(&dump, confirmed)
}

/// Every write raises one key's version by one, so the versions add up to the writes.
fn check(dump: &Dump, confirmed: usize) -> Result<(), Failure> {
    let stored: u64 = dump.values().map(|entry| entry.version.get()).sum();
    if stored != confirmed as u64 {
        return Err(format!("{confirmed} writes were confirmed, but the versions add up to {stored}").into());
    }
    println!("all six replicas are equal: {} keys, {stored} writes, each confirmed", dump.len());
    Ok(())
}

fn progress(round: u32, measured: &[Measured]) -> String {
    let cases = Case::ALL.map(|case| {
        let rate = measured[case as usize].rates.last().copied().unwrap_or_default();
        let share = shares(measured, case).last().map_or(String::new(), |share| format!(" ({share:.2})"));
        format!("{} {rate:.0}/s{share}", case.name())
    });
    format!("round {round}: {}", cases.join("; "))
}

/// The share of the yardstick's rate, by round.
fn shares(measured: &[Measured], case: Case) -> Vec<f64> {
    let Some(yardstick) = case.yardstick() else { return Vec::new() };
    let rates = measured[case as usize].rates.iter().zip(&measured[yardstick as usize].rates);
    rates.map(|(rate, full)| rate / full).collect()
}

fn table(measured: &[Measured]) -> Table {
    let mut table = Table::new();
    table.set_header(["", "requests/s", "p50 ms", "p99 ms", "share of bare", "min–max"]);
    for case in Case::ALL {
        let Measured { rates, latencies } = &measured[case as usize];
        let latency = |quantile| format!("{:.2}", latencies.value_at_quantile(quantile) as f64 / 1000.0);
        let shares = sorted(shares(measured, case));
        let (share, range) = match shares.as_slice() {
            [] => (String::new(), String::new()),
            [least, ..] => {
                let most = shares.last().unwrap_or(least);
                (format!("{:.2}", median(&shares)), format!("{least:.2}–{most:.2}"))
            }
        };
        let rate = format!("{:.0}", median(&sorted(rates.clone())));
        table.add_row([case.name().to_owned(), rate, latency(0.5), latency(0.99), share, range]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn sorted(mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// The middle one, or the lower of the two in the middle.
fn median(sorted: &[f64]) -> f64 {
    sorted[(sorted.len() - 1) / 2]
}
