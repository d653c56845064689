use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use semisync::check::Property;
use semisync::check::explain::FailureCode;
use semisync::core::Rule;
use semisync::report::{ZooReport, ZooRow};
use semisync::sim::shrink::Shrunk;
use semisync::sim::zoo::{Exhibit, Finding};
use tokio::time::Instant;

use super::limits::parse_count;
use super::output::{require_different, shown};
use super::progress::{Extent, Progress};
use super::{Failure, complain, say};

/// Switches each rule of the protocol off, and runs generated scenarios until a property is violated: once from each of
/// several starts. What was found first is made as small as it can be.
///
/// A rule that another one hides is switched off together with it. Prints a table in Markdown.
///
/// Exit status: 0 if every rule is shown to be needed, 1 if one is not, or, with --check, if the file claims something else.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which rules [default: all of them]. RULE,OTHER switches others off with it, and looks for what does not break with those alone
    #[arg(value_name = "RULE", value_parser = parse_rules)]
    rules: Vec<Exhibit>,
    /// How many searches for each rule, each with seeds of its own
    #[arg(long, value_name = "N", value_parser = parse_starts, default_value = "20")]
    starts: NonZeroUsize,
    /// The most seeds of one search
    #[arg(long, value_name = "N", value_parser = parse_count, default_value = "5000")]
    seeds: NonZeroUsize,
    /// How many searches at a time [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    jobs: Option<NonZeroUsize>,
    /// Compare what is violated with what the table in this file says; times are left out
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Where to save the smallest scenario of each rule
    #[arg(long, value_name = "DIRECTORY")]
    save: Option<PathBuf>,
}

/// The most searches for each rule, far more than a machine can do in a day.
const MOST_STARTS: usize = 10_000;

fn parse_starts(text: &str) -> Result<NonZeroUsize, String> {
    let starts = text.parse::<NonZeroUsize>().ok().filter(|starts| starts.get() <= MOST_STARTS);
    starts.ok_or_else(|| format!("must be a whole number, 1 to {MOST_STARTS}"))
}

/// A rule alone stands for what the whole zoo shows of it.
fn parse_rules(text: &str) -> Result<Exhibit, String> {
    let off: Vec<Rule> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
    if let Some((_, twice)) = off.iter().enumerate().find(|(place, rule)| off[..*place].contains(rule)) {
        return Err(format!("{twice} is named twice"));
    }
    let known = Exhibit::all().find(|exhibit| off == [exhibit.rule()]);
    let (first, others) = off.split_first().ok_or("name at least one rule")?;
    Ok(known.unwrap_or_else(|| Exhibit::of(*first, others)))
}

/// What so many searches found is shrunk, to show the smallest: some finds end larger than others.
const MOST_SHRUNK: usize = 5;

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let exhibits: Vec<Exhibit> = if args.rules.is_empty() { Exhibit::all().collect() } else { args.rules.clone() };
    require_own_files(args, &exhibits)?;
    let claimed = args.check.as_deref().map(claims).transpose()?;
    if let Some(directory) = &args.save {
        fs::create_dir_all(directory)
            .map_err(|error| Failure::Usage(format!("--save {}: {error}", shown(directory))))?;
    }
    let searches = exhibits.len() * args.starts.get();
    let progress = Progress::start("zoo", Extent::Count(searches as u64, "searches"));
    let counter = progress.counter();
    let jobs = args.jobs.or(thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let found: Vec<Option<(Finding, Duration)>> = each(searches, jobs, |place| {
        let (exhibit, start) = (&exhibits[place / args.starts], place % args.starts);
        let began = Instant::now();
        let finding = exhibit.search(start as u64, args.seeds.get() as u64);
        counter.add_one();
        finding.map(|finding| (finding, began.elapsed()))
    });
    drop(progress);
    let progress = Progress::start("zoo", Extent::Count(exhibits.len() as u64, "rules shrunk"));
    let counter = progress.counter();
    let by_exhibit: Vec<&[Option<(Finding, Duration)>]> = found.chunks(args.starts.get()).collect();
    let smallest = each(exhibits.len(), jobs, |place| {
        let breaks = breaks(by_exhibit[place]);
        let of_it = by_exhibit[place].iter().flatten().filter(|(finding, _)| Some(finding.property) == breaks);
        let shrunk = of_it.take(MOST_SHRUNK).filter_map(|(finding, _)| finding.shrink());
        let smallest = shrunk.min_by_key(Shrunk::events);
        counter.add_one();
        smallest
    });
    drop(progress);
    let mut rows = Vec::new();
    for ((exhibit, findings), smallest) in exhibits.iter().zip(by_exhibit).zip(&smallest) {
        rows.push(row(exhibit, findings, smallest.as_ref().map(|shrunk| shrunk.events())));
        if let (Some(directory), Some(shrunk)) = (&args.save, smallest) {
            let path = saved(directory, exhibit);
            let written = fs::write(&path, shrunk.scenario.to_toml());
            written.map_err(|error| Failure::Failed(format!("{}: {error}", shown(&path))))?;
        }
    }
    let report = ZooReport { rows };
    say(&report);
    say("Names in the table are explained by: semisync explain NAME");
    let not_shown: Vec<&str> =
        report.rows.iter().filter(|row| row.breaks.is_none()).map(|row| row.rules[0].as_str()).collect();
    if !not_shown.is_empty() {
        complain(&format!("nothing breaks without {}; more --seeds may show it", not_shown.join(", ")));
    }
    let contradicted = claimed.is_some_and(|claimed| contradicts(&claimed, &report));
    Ok(if not_shown.is_empty() && !contradicted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where the smallest scenario of a rule is saved.
fn saved(directory: &Path, exhibit: &Exhibit) -> PathBuf {
    directory.join(format!("{}.toml", exhibit.rule()))
}

/// Refuses to save scenarios over one another, or over the file to compare with.
fn require_own_files(args: &Args, exhibits: &[Exhibit]) -> Result<(), Failure> {
    let Some(directory) = &args.save else { return Ok(()) };
    for (place, exhibit) in exhibits.iter().enumerate() {
        let path = saved(directory, exhibit);
        require_different(&[("--check", args.check.as_deref())], &[("--save", Some(&path))])?;
        if exhibits[..place].iter().any(|other| other.rule() == exhibit.rule()) {
            return Err(Failure::Usage(format!(
                "RULE {0} is named twice as the first of its rules, and --save would write both to {1}; name it once",
                exhibit.rule(),
                shown(&path)
            )));
        }
    }
    Ok(())
}

/// Does the work for each of so many places, several at a time. The results are in the order of the places.
fn each<R: Send>(places: usize, jobs: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..jobs.min(places) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= places {
                        return;
                    }
                    let result = work(place);
                    results.lock().expect("no search panics while it hands over its result").insert(place, result);
                }
            });
        }
    });
    results.into_inner().expect("all searches have ended").into_values().collect()
}

/// What is violated most often; of what is as often, the first of the catalogue.
fn breaks(findings: &[Option<(Finding, Duration)>]) -> Option<Property> {
    let mut times: BTreeMap<Property, usize> = BTreeMap::new();
    findings.iter().flatten().for_each(|(finding, _)| *times.entry(finding.property).or_default() += 1);
    times.into_iter().rev().max_by_key(|(_, times)| *times).map(|(property, _)| property)
}

fn row(exhibit: &Exhibit, findings: &[Option<(Finding, Duration)>], events: Option<usize>) -> ZooRow {
    let found: Vec<&(Finding, Duration)> = findings.iter().flatten().collect();
    let median = |mut numbers: Vec<u64>| {
        numbers.sort_unstable();
        numbers.get(numbers.len() / 2).copied()
    };
    let seeds = median(found.iter().map(|(finding, _)| finding.seeds).collect());
    let millis = median(found.iter().map(|(_, took)| took.as_millis() as u64).collect());
    let failures: Vec<String> = FailureCode::prevented_by(exhibit.rule()).map(|code| code.to_string()).collect();
    ZooRow {
        rules: exhibit.off().iter().map(Rule::to_string).collect(),
        breaks: breaks(findings).map(|property| property.to_string()),
        found: (found.len(), findings.len()),
        median: seeds.zip(millis),
        events,
        failures: failures.join(", "),
    }
}

type Claims = Vec<(Vec<String>, Option<String>)>;

fn claims(file: &Path) -> Result<Claims, Failure> {
    let name = shown(file);
    let text = fs::read_to_string(file).map_err(|error| Failure::Usage(format!("--check {name}: {error}")))?;
    let claims = ZooReport::claims(&text);
    if claims.is_empty() {
        return Err(Failure::Usage(format!("--check {name}: it has no table such as this command prints")));
    }
    Ok(claims)
}

/// Whether a file says something else of any of the rules that were shown; and says what.
fn contradicts(claimed: &Claims, report: &ZooReport) -> bool {
    let mut contradicted = false;
    let words = |breaks: &Option<String>| breaks.clone().unwrap_or("nothing".into());
    for row in &report.rows {
        let (rules, breaks) = row.claim();
        let what = match claimed.iter().find(|(claimed, _)| *claimed == rules) {
            None => "the file says nothing of it".to_owned(),
            Some((_, claimed)) if *claimed != breaks => format!("the file says {}", words(claimed)),
            Some(_) => continue,
        };
        complain(&format!("without {}: {} is violated, but {what}", rules.join(", "), words(&breaks)));
        contradicted = true;
    }
    contradicted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_switched_off_once() {
        assert!(parse_rules("restamp,read-committed").is_ok());
        assert_eq!(parse_rules("restamp,read-committed,restamp").err().as_deref(), Some("restamp is named twice"));
    }
}
