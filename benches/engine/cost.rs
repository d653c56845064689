//! How the cost of each checker grows with the run that it judges.
//!
//! The documentation of each checker states its cost: O(n log n) in the number of records, as long as the number of
//! followers and of crashes does not grow. Here every checker judges a run of n operations and one of 8 n, and callgrind
//! counts the instructions of both. Their ratio may be that of n log n with a margin. A quadratic checker takes 64 times
//! as many.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use clap::ValueEnum;
use semisync::base::history::{History, Kind};
use semisync::base::trace::Outcome;
use semisync::check::{self, Facts, Property, Recorded, Verdict};
use semisync::sim::scenario::Scenario;
use semisync::sim::{Engine, engine};

type Failure = Box<dyn Error + Send + Sync>;

/// The operations of the shorter run.
const OPERATIONS: usize = 600;

/// How many times as many operations the longer run has.
const TIMES: usize = 8;

/// How far the ratio of the instructions may exceed that of n log n.
const MARGIN: f64 = 1.3;

/// A checker that costs less than this share of the preparation is counted as if it cost that.
const LEAST_COST: f64 = 0.02;

/// The least share of the operations that are deletions, that find nothing, and whose outcome is unknown.
const LEAST_SHARE: f64 = 0.03;

/// A kind of run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// The operations are on one key, so that its history grows. Most writes delete it, and most reads find nothing.
    OneKey,
    /// Each key has a few operations, so the number of keys grows.
    ManyKeys,
    /// Rules are off, and the checkers find many operations that break a property.
    Broken,
    /// No fault happens, which is what the latency law is judged on.
    Calm,
    /// Nodes crash again and again.
    ManyCrashes,
    /// Only what the clients did is known, on one key as in the first shape.
    ClientsOnly,
}

impl Shape {
    fn scenario(self, operations: usize) -> Result<Scenario, Failure> {
        let (keys, deletes, from) = match self {
            Self::OneKey | Self::ClientsOnly => (1, 0.7, "leader"),
            Self::ManyKeys => (operations / 6, 0.4, "any"),
            Self::Broken | Self::Calm | Self::ManyCrashes => (3, 0.4, "any"),
        };
        let off: &[&str] = match self {
            Self::Broken => &["keep-quorum", "compare-stamps", "confirm-only-answers"],
            Self::OneKey | Self::ManyKeys | Self::Calm | Self::ManyCrashes | Self::ClientsOnly => &[],
        };
        let (crashes, drop, timeout_ms) = match self {
            Self::ManyCrashes => (operations / 60, "[[fault]]\ndrop = { per_mille = 200 }\n", 60),
            Self::Calm => (0, "", 1000),
            Self::OneKey | Self::ManyKeys | Self::Broken | Self::ClientsOnly => {
                (2, "[[fault]]\ndrop = { per_mille = 200 }\n", 60)
            }
        };
        let text = format!(
            "name = \"cost\"\nseed = 1\n\
             cluster = {{ followers = 3, write_quorum = 2, delay_ms = [0, 20], repl_timeout_ms = {timeout_ms}, rules = {{ off = {off:?} }} }}\n\
             [workload]\nclients = 8\noperations = {operations}\nkeys = {keys}\nreads = 0.5\ndeletes = {deletes}\nretries = 0.2\n\
             read_from = \"{from}\"\n\
             {drop}"
        );
        let crash = |place: usize| {
            // An operation takes about a millisecond.
            let at_ms = operations * (place + 1) / (crashes + 1);
            let (node, up_ms) = (if place.is_multiple_of(2) { "f1" } else { "leader" }, at_ms + 10);
            format!(
                "[[fault]]\nat_ms = {at_ms}\ncrash = \"{node}\"\n[[fault]]\nat_ms = {up_ms}\nrestart = \"{node}\"\n"
            )
        };
        Ok(Scenario::from_toml(&(0..crashes).map(crash).fold(text, |text, crash| text + &crash))?)
    }

    /// The least share of operations whose outcome is unknown.
    fn least_unknown(self) -> f64 {
        match self {
            Self::Broken | Self::Calm => 0.0,
            Self::OneKey | Self::ManyKeys | Self::ManyCrashes | Self::ClientsOnly => LEAST_SHARE,
        }
    }

    /// Why the documentation of a checker allows more than O(n log n) in a run of this shape, if it does.
    fn exemption(self, property: Property) -> Option<&'static str> {
        match (self, property) {
            (Self::ManyCrashes, Property::Durability | Property::Prefix) => Some("it goes back for each crash"),
            // Some absences are explained only by deletions of unknown version.
            (Self::ClientsOnly, Property::Linearizability) => Some("it searches"),
            _ => None,
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Has every checker judge a run of this shape and number of operations.
pub fn judge(shape: Shape, operations: usize) -> Result<(), Failure> {
    let scenario = shape.scenario(operations)?;
    let played = engine::play(Engine::Core, &scenario, Arc::default())?;
    let records = played.trace.records();
    let history = History::from_records(records);
    require_variety(&history, shape.least_unknown())?;
    let facts = Facts::from_records(records);
    let run = match shape {
        Shape::ClientsOnly => Recorded::of_clients(&history),
        _ => Recorded { records, history: &history, states: &played.states, facts: facts.as_ref() },
    };
    for property in Property::ALL {
        let verdict = black_box(measured_check(property, &run));
        println!("{property}: {:?}", verdict.finding);
    }
    Ok(())
}

/// The function whose calls callgrind counts, one by one.
#[inline(never)]
fn measured_check(property: Property, run: &Recorded<'_>) -> Verdict {
    check::check(property, run)
}

/// Fails if a run lacks what makes checkers slow.
fn require_variety(history: &History, least_unknown: f64) -> Result<(), Failure> {
    let operations = &history.operations;
    let share = |count: usize| count as f64 / operations.len() as f64;
    let with_outcome = |outcome| operations.iter().filter(|operation| operation.outcome == outcome).count();
    let deletions = operations.iter().filter(|operation| operation.kind == Kind::Delete).count();
    for (what, number, least) in [
        ("deletions", deletions, LEAST_SHARE),
        ("absences", with_outcome(Outcome::Absent), LEAST_SHARE),
        ("unknown outcomes", with_outcome(Outcome::Unknown), least_unknown),
    ] {
        if share(number) < least {
            return Err(format!("{number} {what} in {} operations are too few", operations.len()).into());
        }
    }
    Ok(())
}

/// Fewer instructions an operation cannot be told from what the preparation takes more or less.
const NOISE: f64 = 250.0;

/// Counts the instructions of every checker on shorter and on longer runs. Returns false if any grows faster than it may.
pub fn compare() -> Result<bool, Failure> {
    let (short, long) = (OPERATIONS as f64, (TIMES * OPERATIONS) as f64);
    let limit = (long * long.log2()) / (short * short.log2()) * MARGIN;
    let mut within = true;
    for shape in Shape::value_variants() {
        let few = counted(*shape, OPERATIONS)?;
        let many = counted(*shape, TIMES * OPERATIONS)?;
        // The index over the run is prepared for each checker. One that does not apply does nothing else.
        let least = |counts: &[f64]| counts.iter().copied().fold(f64::INFINITY, f64::min);
        let (prepare_few, prepare_many) = (least(&few), least(&many));
        let mut hold = |what: &str, few: f64, many: f64, exemption: Option<&str>| {
            let ratio = many / few;
            let is_within = exemption.is_some() || ratio <= limit || many <= NOISE * long;
            let verdict = match exemption {
                Some(why) => format!(" (no limit: {why})"),
                None if is_within => format!(" (limit {limit:.1})"),
                None => format!(" (limit {limit:.1}): TOO MANY"),
            };
            let each = few / short;
            println!(
                "{}, {what}: {each:.0} instructions an operation, {ratio:.1} times as many{verdict}",
                shape.name()
            );
            within &= is_within;
        };
        hold("preparation", prepare_few, prepare_many, None);
        for ((property, few), many) in Property::ALL.into_iter().zip(few).zip(many) {
            // Of next to nothing, a little more is no sign.
            let few = (few - prepare_few).max(prepare_few * LEAST_COST);
            hold(property.name(), few, many - prepare_many, shape.exemption(property));
        }
    }
    Ok(within)
}

/// Returns the counts of callgrind for each property, in the order of [`Property::ALL`].
fn counted(shape: Shape, operations: usize) -> Result<Vec<f64>, Failure> {
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--zero-before=*measured_check", "--dump-after=*measured_check"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args(["--bench", "--cost", &shape.name(), "--operations", &operations.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}; Debian's package of that name has it"))?;
    if !output.status.success() {
        return Err(format!("valgrind: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    (1..=Property::ALL.len()).map(|dump| total(&directory.path().join(format!("out.{dump}")))).collect()
}

/// Returns the total of a file that callgrind wrote.
fn total(file: &Path) -> Result<f64, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.ok_or_else(|| format!("{}: callgrind counted nothing", file.display()).into())
}
