use std::process::ExitCode;

use semisync::check::explain::{FailureCode, Topic};
use semisync::report::{ExplanationReport, FailuresPage, TopicList};

use super::{Failure, say};

/// Says what a property, a protocol rule or a failure code means, where it is known from, what prevents it, and which
/// scenario shows it. Without a name, lists all of them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A name that the program prints, such as durability, compare-stamps or F18
    #[arg(value_name = "NAME", value_parser = parse_topic)]
    name: Option<Topic>,
    /// Print all explanations as one page in Markdown, which is docs/FAILURES.md
    #[arg(long, conflicts_with = "name")]
    markdown: bool,
}

fn parse_topic(name: &str) -> Result<Topic, String> {
    Topic::find(name).ok_or_else(|| {
        let similar = match Topic::nearest(name).as_slice() {
            [] => String::new(),
            names => format!("; similar: {}", names.join(", ")),
        };
        let last = FailureCode::all().last().map_or_else(String::new, |code| code.to_string());
        format!("no property, rule or failure has this name{similar}; failures are F1 to {last}, and `semisync explain` lists all names")
    })
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    match args.name {
        Some(topic) => say(ExplanationReport(topic).to_string().trim_end()),
        None if args.markdown => say(FailuresPage.to_string().trim_end()),
        None => say(TopicList),
    }
    Ok(ExitCode::SUCCESS)
}
