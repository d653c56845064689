//! How long one turn of a node's event loop takes at the most, by the number of keys.
//!
//! ```text
//! cargo bench --bench turns
//! cargo bench --bench turns -- --quick
//! ```
//!
//! A node does everything in one thread, so a long turn delays every other request. A leader with two
//! followers is filled; then three clients read the whole store at a time while others write; then a follower that has nothing
//! is brought up to date. Each turn is measured in processor time of the node's thread, so that other work on the machine does not
//! count. If one takes longer than the limit, the exit status is 1.

mod node;
mod writers;

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use comfy_table::Table;
use semisync::client::Client;
use semisync::net::Tcp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use node::{BusyNode, free_port};
use writers::{Writers, median};

/// That of the program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An error that ends the benchmark early.
type Failure = Box<dyn Error + Send + Sync>;

/// The longest turn of a node's event loop, by the number of keys.
#[derive(Debug, Parser)]
struct Args {
    /// Few keys, to see that it works
    #[arg(long)]
    quick: bool,
    /// The numbers of keys
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "10000,100000,1000000",
        default_value_if("quick", "true", "1000,5000")
    )]
    keys: Vec<u32>,
    /// The longest turn that is allowed, in milliseconds
    #[arg(long, default_value_t = 20)]
    limit: u64,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// How many clients write at a time.
const WRITERS: usize = 32;
/// How many clients read everything at a time.
const READERS: usize = 3;
/// How long the machine is watched before.
const IDLE: Duration = Duration::from_secs(5);
/// How long a follower may take to be brought up to date.
const CATCH_UP_DEADLINE: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    // `cargo test --all-targets` runs benchmarks too, and nextest asks them for a list of tests: there are none.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("turns: nothing to test here; cargo bench --bench turns measures");
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let measured = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(measure(&args)));
    match measured {
        Ok(longest) if longest <= Duration::from_millis(args.limit) => ExitCode::SUCCESS,
        Ok(longest) => {
            eprintln!("turns: a turn took {longest:?}, and {} ms are allowed", args.limit);
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("turns: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, prints a table, and returns the longest turn.
async fn measure(args: &Args) -> Result<Duration, Failure> {
    let returning = free_port()?;
    let follower = BusyNode::follower(0).await?;
    let leader = BusyNode::leader(vec![follower.address(), returning]).await?;
    let client = Client::new(Tcp, Duration::from_secs(10));
    // A cluster begins when all of its followers have answered once.
    let empty = BusyNode::follower(returning.port()).await?;
    until_all_count(&client, &leader).await?;
    empty.stop();
    // Interrupts and the hypervisor add to every turn; this shows by how much.
    leader.take_longest();
    sleep(IDLE).await;
    println!("the longest turn while nothing happens: {:.1} ms", leader.take_longest().as_secs_f64() * 1e3);
    let mut table = Table::new();
    table.set_header([
        "keys",
        "filling: leader",
        "follower",
        "three dumps: leader",
        "write, median",
        "meanwhile",
        "catch-up: leader",
        "follower",
    ]);
    let (mut filled, mut longest) = (0, Duration::ZERO);
    for &keys in &args.keys {
        leader.take_longest();
        follower.take_longest();
        Writers { to: leader.address(), clients: WRITERS, keys: filled..keys }.write().await?;
        filled = keys;
        let filling = [leader.take_longest(), follower.take_longest()];

        let some = (keys / 10).min(5_000);
        let alone = Writers { to: leader.address(), clients: 4, keys: 0..some }.write().await?;
        leader.take_longest();
        let writers = Writers { to: leader.address(), clients: 4, keys: 0..some };
        let (meanwhile, read) = tokio::join!(writers.write(), dump_by_all(leader.address()));
        let meanwhile = meanwhile?;
        read?;
        let dumping = leader.take_longest();

        let empty = BusyNode::follower(returning.port()).await?;
        timeout(CATCH_UP_DEADLINE, until_all_count(&client, &leader)).await??;
        let catching_up = [leader.take_longest(), empty.take_longest()];
        empty.stop();

        let turns = [filling[0], filling[1], dumping, catching_up[0], catching_up[1]];
        longest = turns.into_iter().fold(longest, Duration::max);
        let shown = turns.map(|turn| format!("{:.1} ms", turn.as_secs_f64() * 1e3));
        let [median, median_meanwhile] =
            [alone, meanwhile].map(|times| format!("{:.1} ms", median(times).as_secs_f64() * 1e3));
        let [filling_leader, filling_follower, dumping, sending, taking] = shown;
        table.add_row([
            keys.to_string(),
            filling_leader,
            filling_follower,
            dumping,
            median,
            median_meanwhile,
            sending,
            taking,
        ]);
    }
    println!("the longest turn of the event loop, in processor time of the node's thread\n{table}");
    Ok(longest)
}

/// Waits until every follower is up to date.
async fn until_all_count(client: &Client<Tcp>, leader: &BusyNode) -> Result<(), Failure> {
    loop {
        let status = client.status(&leader.address().into()).await?;
        if status.followers.iter().all(|follower| follower.counts && follower.keys_behind == 0) {
            return Ok(());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Reads the whole store several times at once.
async fn dump_by_all(node: SocketAddr) -> Result<(), Failure> {
    let readers: Vec<_> = (0..READERS).map(|_| tokio::spawn(dump(node))).collect();
    for reader in readers {
        reader.await??;
    }
    Ok(())
}

async fn dump(node: SocketAddr) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(node).await?;
    stream.write_all(b"GET /dump HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
    let (mut piece, mut total) = (vec![0; 256 << 10], 0);
    loop {
        match stream.read(&mut piece).await? {
            0 if total > 0 => return Ok(()),
            0 => return Err("a dump has no answer".into()),
            read => total += read,
        }
    }
}
