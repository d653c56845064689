//! Explanations of the names that the program prints: properties, protocol rules and failure codes.
//!
//! `semisync explain` prints them, and `docs/FAILURES.md` has all of them on one page. A property or a rule without an
//! explanation does not compile. Relations between names are written down once, here: a failure says which properties it
//! violates, a rule says which failures it prevents, and the other direction is derived.

mod failures;
mod properties;
mod rules;

use std::fmt;

use super::Property;
use crate::core::Rule;

/// A name that can be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// A property that checkers judge or count.
    Property(Property),
    /// A rule of the protocol.
    Rule(Rule),
    /// A failure of the catalogue.
    Failure(FailureCode),
}

/// The code of a failure in the catalogue: `F1` to `F49`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FailureCode(u8);

/// The meaning of a name and what can be done.
#[derive(Debug, Clone, Copy)]
pub struct Explanation {
    /// One sentence.
    pub summary: &'static str,
    /// A paragraph.
    pub meaning: &'static str,
    /// How it is prevented, or what to do about it. Empty if the meaning says so.
    pub remedy: &'static str,
    /// Papers, manuals and bug reports.
    pub sources: &'static [&'static str],
    /// The scenarios of the corpus that show it: file names without `.toml`.
    pub scenarios: &'static [&'static str],
}

impl FailureCode {
    /// Every code, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=failures::COUNT).map(Self)
    }

    /// The failures that the rule prevents.
    pub fn prevented_by(rule: Rule) -> impl Iterator<Item = Self> {
        rules::of(rule).prevents.iter().copied().map(Self)
    }

    /// The properties that the failure violates, or adds cases to.
    pub fn properties(self) -> &'static [Property] {
        failures::of(self).properties
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "F{}", self.0)
    }
}

impl Topic {
    /// Every topic: properties, rules, failures.
    pub fn all() -> impl Iterator<Item = Self> {
        let properties = Property::ALL.into_iter().map(Self::Property);
        let rules = Rule::ALL.into_iter().map(Self::Rule);
        properties.chain(rules).chain(FailureCode::all().map(Self::Failure))
    }

    /// Returns the topic of this name. Upper and lower case are equal.
    pub fn find(name: &str) -> Option<Self> {
        Self::all().find(|topic| topic.to_string().eq_ignore_ascii_case(name))
    }

    /// Returns up to three names that are similar to this one, the most similar first.
    pub fn nearest(name: &str) -> Vec<String> {
        /// From 0, nothing in common, to 1, equal. Below this a suggestion is no help.
        const SIMILAR: f64 = 0.75;
        let name = name.to_lowercase();
        let rated = Self::all().map(|topic| {
            let other = topic.to_string();
            (strsim::jaro_winkler(&name, &other.to_lowercase()), other)
        });
        let mut similar: Vec<(f64, String)> = rated.filter(|(similarity, _)| *similarity >= SIMILAR).collect();
        similar.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        similar.into_iter().take(3).map(|(_, name)| name).collect()
    }

    /// Returns what the name means.
    pub fn explanation(self) -> Explanation {
        match self {
            Self::Property(property) => properties::of(property),
            Self::Rule(rule) => rules::of(rule).explanation(),
            Self::Failure(code) => failures::of(code).explanation(),
        }
    }

    /// Returns the names that have to do with this one: of a failure, the properties that it violates and the rules that
    /// prevent it; of a property, the failures that violate it; of a rule, the failures that it prevents.
    pub fn related(self) -> Vec<Self> {
        match self {
            Self::Property(property) => {
                let failures = FailureCode::all().filter(|code| code.properties().contains(&property));
                failures.map(Self::Failure).collect()
            }
            Self::Rule(rule) => FailureCode::prevented_by(rule).map(Self::Failure).collect(),
            Self::Failure(code) => {
                let properties = code.properties().iter().copied().map(Self::Property);
                let prevent = |rule: &Rule| FailureCode::prevented_by(*rule).any(|prevented| prevented == code);
                properties.chain(Rule::ALL.into_iter().filter(prevent).map(Self::Rule)).collect()
            }
        }
    }
}

/// The name: `durability`, `compare-stamps`, `F18`.
impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Property(property) => property.fmt(f),
            Self::Rule(rule) => rule.fmt(f),
            Self::Failure(code) => code.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_name_is_unique_and_found_in_any_case() {
        let names: BTreeSet<String> = Topic::all().map(|topic| topic.to_string().to_lowercase()).collect();
        assert_eq!(names.len(), Topic::all().count());
        for topic in Topic::all() {
            let name = topic.to_string();
            for spelling in [name.clone(), name.to_uppercase(), name.to_lowercase()] {
                assert_eq!(Topic::find(&spelling), Some(topic), "{spelling}");
            }
        }
        for unknown in ["", "F0", "F50", "F", "durable", "compare_stamps"] {
            assert_eq!(Topic::find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn each_text_is_there_and_ends_as_a_sentence_does() {
        for topic in Topic::all() {
            let Explanation { summary, meaning, remedy, sources, .. } = topic.explanation();
            for text in [summary, meaning] {
                assert!(text.ends_with('.'), "{topic}: {text:?}");
            }
            assert!(remedy.is_empty() || remedy.ends_with('.'), "{topic}: {remedy:?}");
            assert!(sources.iter().all(|source| !source.is_empty()), "{topic}");
            assert!(summary.chars().count() <= 110, "{topic}: the summary must fit a line: {summary:?}");
        }
    }

    /// A rule that prevents nothing would need no name, and a failure must show somewhere.
    #[test]
    fn rules_and_failures_are_related_both_ways() {
        for topic in Topic::all() {
            let related = topic.related();
            match topic {
                Topic::Rule(_) | Topic::Failure(_) => assert!(!related.is_empty(), "{topic} stands alone"),
                Topic::Property(_) => {}
            }
            for other in related {
                let is_rule_of_property = matches!((topic, other), (Topic::Rule(_), Topic::Property(_)));
                assert!(is_rule_of_property || other.related().contains(&topic), "{topic} and {other}");
            }
        }
    }

    #[test]
    fn every_failure_that_a_rule_prevents_exists() {
        for rule in Rule::ALL {
            for code in FailureCode::prevented_by(rule) {
                assert!(FailureCode::all().any(|known| known == code), "{rule} prevents {code}");
            }
        }
    }

    #[test]
    fn a_misspelt_name_leads_to_the_right_one() {
        for (misspelt, meant) in [
            ("durabilty", "durability"),
            ("compare_stamps", "compare-stamps"),
            ("linearisability", "linearizability"),
            ("latency", "latency-law"),
            ("Keep-Quorums", "keep-quorum"),
        ] {
            assert_eq!(Topic::nearest(misspelt).first().map(String::as_str), Some(meant), "{misspelt}");
        }
        assert!(Topic::nearest("xyzzy").is_empty());
    }
}
