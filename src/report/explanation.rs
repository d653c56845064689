use std::fmt;

use crate::check::explain::{Explanation, Topic};

/// The explanation of a name, for a terminal. Printed by its `Display`.
#[derive(Debug)]
pub struct ExplanationReport(pub Topic);

/// Every name with its summary, a line each. Printed by its `Display`.
#[derive(Debug)]
pub struct TopicList;

/// Every explanation on one page, in Markdown. Printed by its `Display`.
#[derive(Debug)]
pub struct FailuresPage;

/// The commands that explain names, to end a report with. Printed by its `Display`; empty without names.
#[derive(Debug)]
pub struct ExplainHint(Vec<String>);

/// The width of a line of text, in characters.
const WIDTH: usize = 96;
/// The directory of the scenarios, from the root of the repository.
const CORPUS: &str = "sim-tests/corpus";
/// The most names of a hint.
const MOST_NAMES: usize = 3;

/// A kind of names.
type Kind = fn(Topic) -> bool;

/// The kinds of names, in the order of the list, with the heading of each.
const KINDS: [(&str, Kind); 3] = [
    ("Properties", |topic| matches!(topic, Topic::Property(_))),
    ("Protocol rules", |topic| matches!(topic, Topic::Rule(_))),
    ("Failures", |topic| matches!(topic, Topic::Failure(_))),
];

impl ExplainHint {
    /// A hint for these names.
    pub fn new(names: impl IntoIterator<Item = impl ToString>) -> Self {
        Self(names.into_iter().map(|name| name.to_string()).collect())
    }
}

impl fmt::Display for ExplainHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(names) = self;
        let commands: Vec<String> =
            names.iter().take(MOST_NAMES).map(|name| format!("semisync explain {name}")).collect();
        match commands.as_slice() {
            [] => Ok(()),
            commands => write!(f, "Explained by: {}", commands.join(", ")),
        }
    }
}

impl fmt::Display for ExplanationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(topic) = *self;
        let Explanation { summary, meaning, remedy, sources, .. } = topic.explanation();
        writeln!(f, "{topic} ({})\n", kind(topic))?;
        for text in [summary, meaning, remedy].into_iter().filter(|text| !text.is_empty()) {
            writeln!(f, "{}\n", wrapped(text))?;
        }
        for (title, names) in relations(topic) {
            let names: Vec<String> = names.iter().map(Topic::to_string).collect();
            writeln!(f, "{}", wrapped(&format!("{title}: {}", names.join(", "))))?;
        }
        for (title, lines) in
            [("Sources", sources.iter().map(ToString::to_string).collect()), ("To see it", commands(topic))]
        {
            section(f, title, &lines)?;
        }
        Ok(())
    }
}

impl fmt::Display for TopicList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<(Topic, String)> = Topic::all().map(|topic| (topic, topic.to_string())).collect();
        let width = names.iter().map(|(_, name)| name.len()).max().unwrap_or(0);
        for (heading, is_of_kind) in KINDS {
            writeln!(f, "{heading}")?;
            for (topic, name) in names.iter().filter(|(topic, _)| is_of_kind(*topic)) {
                writeln!(f, "  {name:<width$}  {}", topic.explanation().summary)?;
            }
            writeln!(f)?;
        }
        write!(f, "semisync explain NAME explains one of them.")
    }
}

impl fmt::Display for FailuresPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Properties, rules and failures\n")?;
        writeln!(
            f,
            "Every name that the program prints for a property, a protocol rule or a failure, as `semisync explain NAME`\n\
             explains it. The page is the output of `semisync explain --markdown`; a test compares the two."
        )?;
        for (heading, is_of_kind) in KINDS {
            writeln!(f, "\n## {heading}")?;
            Topic::all().filter(|topic| is_of_kind(*topic)).try_for_each(|topic| on_page(f, topic))?;
        }
        Ok(())
    }
}

/// Writes the part of the page about one name.
fn on_page(f: &mut fmt::Formatter<'_>, topic: Topic) -> fmt::Result {
    let Explanation { summary, meaning, remedy, sources, scenarios } = topic.explanation();
    writeln!(f, "\n### {topic}\n\n**{summary}**")?;
    for text in [meaning, remedy].into_iter().filter(|text| !text.is_empty()) {
        writeln!(f, "\n{}", wrapped(text))?;
    }
    let mut items = Vec::new();
    for (title, names) in relations(topic) {
        // As GitHub makes the anchors of headings.
        let links = names.iter().map(|name| format!("[{name}](#{})", name.to_string().to_lowercase()));
        items.push(format!("{title}: {}", links.collect::<Vec<_>>().join(", ")));
    }
    items.extend(sources.iter().map(|source| format!("Source: {source}")));
    items.extend(scenarios.iter().map(|name| format!("Scenario: [{name}](../{CORPUS}/{name}.toml)")));
    if !items.is_empty() {
        writeln!(f)?;
    }
    items.iter().try_for_each(|item| writeln!(f, "- {item}"))
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title}:")?;
    lines.iter().try_for_each(|line| writeln!(f, "  {line}"))
}

/// The related names, by how they are related.
fn relations(topic: Topic) -> Vec<(&'static str, Vec<Topic>)> {
    let (rules, others): (Vec<Topic>, Vec<Topic>) =
        topic.related().into_iter().partition(|other| matches!(other, Topic::Rule(_)));
    let of_others = match topic {
        Topic::Property(_) => "Failures that violate it",
        Topic::Rule(_) => "Prevents",
        Topic::Failure(_) => "Shows as",
    };
    let all = [(of_others, others), ("Prevented by the rules", rules)];
    all.into_iter().filter(|(_, names)| !names.is_empty()).collect()
}

/// The commands that show it in the simulator.
fn commands(topic: Topic) -> Vec<String> {
    let scenarios = topic.explanation().scenarios.iter();
    let mut commands: Vec<String> = scenarios.map(|name| format!("semisync sim {CORPUS}/{name}.toml")).collect();
    if let Topic::Rule(rule) = topic {
        commands.push(format!("semisync zoo {rule}"));
    }
    commands
}

fn kind(topic: Topic) -> &'static str {
    match topic {
        Topic::Property(property) if property.is_counted() => "property, counted and not judged",
        Topic::Property(_) => "property",
        Topic::Rule(_) => "protocol rule",
        Topic::Failure(_) => "failure",
    }
}

/// Breaks a text into lines between words.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is a line");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= WIDTH {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Rule;

    #[test]
    fn a_rule_explained() {
        insta::assert_snapshot!(ExplanationReport(Topic::Rule(Rule::CompareStamps)));
    }

    #[test]
    fn no_line_of_an_explanation_is_wider_than_a_terminal() {
        for topic in Topic::all() {
            for line in ExplanationReport(topic).to_string().lines() {
                assert!(line.chars().count() <= 112, "{topic}: {line}");
            }
        }
    }

    #[test]
    fn a_hint_names_no_more_commands_than_a_line_holds() {
        assert_eq!(ExplainHint::new(["a", "b"]).to_string(), "Explained by: semisync explain a, semisync explain b");
        assert_eq!(ExplainHint::new(["a", "b", "c", "d"]).0.len(), 4);
        assert!(!ExplainHint::new(["a", "b", "c", "d"]).to_string().contains("explain d"));
        assert_eq!(ExplainHint::new([""; 0]).to_string(), "");
    }
}
