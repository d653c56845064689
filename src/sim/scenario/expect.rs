//! Expectations of a scenario, for scenarios that are kept as tests.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::OperationName;
use crate::base::trace::Outcome;
use crate::check::{Finding, Property, Verdict};

/// The section `[expect]`: independent expectations. All must be met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawExpect", into = "RawExpect")]
pub struct Expect {
    /// No property is violated, and nothing is lost.
    pub passes: bool,
    /// This property is violated, and perhaps others with it.
    pub violates: Option<Property>,
    /// Acknowledged data is lost, as the checker of this property finds, and nothing is violated.
    pub loses: Option<Property>,
    /// This property is counted, and there are cases of it.
    pub shows: Option<Property>,
    /// Every write that a client invoked before everything was healed was acknowledged to that client.
    pub all_acknowledged: bool,
}

impl Expect {
    /// Expects that no property is violated, and nothing lost.
    pub const PASSES: Self = Self { passes: true, violates: None, loses: None, shows: None, all_acknowledged: false };

    /// Expects that this property is violated.
    pub fn violates(property: Property) -> Self {
        Self { violates: Some(property), ..Self::default() }
    }

    /// Expects that this property is lost.
    pub fn loses(property: Property) -> Self {
        Self { loses: Some(property), ..Self::default() }
    }

    /// The expectations one by one, in the order of the fields.
    pub fn claims(self) -> impl Iterator<Item = Claim> {
        let claims = [
            self.passes.then_some(Claim::Passes),
            self.violates.map(Claim::Violates),
            self.loses.map(Claim::Loses),
            self.shows.map(Claim::Shows),
            self.all_acknowledged.then_some(Claim::AllAcknowledged),
        ];
        claims.into_iter().flatten()
    }
}

/// One thing that a scenario expects of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// No property is violated, and nothing is lost.
    Passes,
    /// This property is violated.
    Violates(Property),
    /// Acknowledged data is lost, as the checker of this property finds, and nothing is violated.
    Loses(Property),
    /// There are cases of this property, which is counted.
    Shows(Property),
    /// Every write was acknowledged.
    AllAcknowledged,
    /// This operation ended so.
    Ends(OperationName, ExpectedOutcome),
}

impl Claim {
    /// Whether verdicts meet the claim. `None` if they do not tell, because it is about operations.
    pub fn is_met_by(self, verdicts: &[Verdict]) -> Option<bool> {
        let of = |property| verdicts.iter().find(move |verdict| verdict.property == property);
        match self {
            Self::Passes => Some(!verdicts.iter().any(|verdict| verdict.is_violated() || verdict.is_lost())),
            Self::Violates(property) => Some(of(property).is_some_and(Verdict::is_violated)),
            Self::Loses(property) => {
                let none_violated = !verdicts.iter().any(Verdict::is_violated);
                Some(none_violated && of(property).is_some_and(Verdict::is_lost))
            }
            Self::Shows(property) => {
                let has_cases = |finding: &Finding| matches!(finding, Finding::Counted { cases, .. } if *cases > 0);
                Some(of(property).is_some_and(|verdict| has_cases(&verdict.finding)))
            }
            Self::AllAcknowledged | Self::Ends(..) => None,
        }
    }
}

/// `durability is violated`, `c1#2 is refused`
impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passes => f.write_str("nothing is violated or lost"),
            Self::Violates(property) => write!(f, "{property} is violated"),
            Self::Loses(property) => write!(f, "{property} is lost"),
            Self::Shows(property) => write!(f, "there are cases of {property}"),
            Self::AllAcknowledged => f.write_str("every write is acknowledged"),
            Self::Ends(operation, outcome) => write!(f, "{operation} is {outcome}"),
        }
    }
}

/// How an operation is expected to end, as its client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedOutcome {
    /// A write is acknowledged; a read is answered, whether or not it finds something.
    Ok,
    /// A write may or may not have taken effect.
    Unknown,
    /// A write has no effect; a read is not answered.
    Refused,
}

impl ExpectedOutcome {
    /// The name of an outcome in these terms.
    pub fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ok | Outcome::Absent => Self::Ok,
            Outcome::Unknown => Self::Unknown,
            Outcome::Failed => Self::Refused,
        }
    }
}

impl fmt::Display for ExpectedOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
        })
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExpect {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    passes: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    violates: Option<Property>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loses: Option<Property>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shows: Option<Property>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    all_acknowledged: Option<bool>,
}

impl TryFrom<RawExpect> for Expect {
    type Error = String;

    fn try_from(raw: RawExpect) -> Result<Self, Self::Error> {
        let RawExpect { passes, violates, loses, shows, all_acknowledged } = raw;
        for (key, value) in [("passes", passes), ("all_acknowledged", all_acknowledged)] {
            if value == Some(false) {
                return Err(format!("expect.{key} = false: must be true; leave it out to expect nothing of the kind"));
            }
        }
        if let Some(property) = violates.filter(|property| property.is_counted()) {
            return Err(format!(
                "expect.violates: {property} is counted and never violated; shows = \"{property}\" can be expected"
            ));
        }
        if let Some(property) = loses.filter(|property| !property.can_be_lost()) {
            return Err(format!(
                "expect.loses: no verdict on {property} is ever LOST; durability and linearizability find losses"
            ));
        }
        if let Some(property) = shows.filter(|property| !property.is_counted()) {
            return Err(format!(
                "expect.shows: {property} is judged and not counted; violates = \"{property}\" can be expected"
            ));
        }
        let claims =
            [("passes = true", passes.is_some()), ("violates", violates.is_some()), ("loses", loses.is_some())];
        let mut exclusive = claims.into_iter().filter_map(|(claim, is_made)| is_made.then_some(claim));
        if let (Some(one), Some(other)) = (exclusive.next(), exclusive.next()) {
            return Err(format!("expect.{one} contradicts expect.{other}: leave one of them out"));
        }
        let expect =
            Self { passes: passes.is_some(), violates, loses, shows, all_acknowledged: all_acknowledged.is_some() };
        if expect.claims().next().is_none() {
            return Err("expect is empty: it needs at least one of passes = true, violates = \"property\", loses = \
                        \"property\", shows = \"property\" or all_acknowledged = true"
                .into());
        }
        Ok(expect)
    }
}

impl From<Expect> for RawExpect {
    fn from(expect: Expect) -> Self {
        let Expect { passes, violates, loses, shows, all_acknowledged } = expect;
        let all_acknowledged = all_acknowledged.then_some(true);
        Self { passes: passes.then_some(true), violates, loses, shows, all_acknowledged }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Expect, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| error.to_string())
    }

    #[test]
    fn expectations_are_independent_and_survive_being_written() {
        for text in [
            "passes = true",
            "violates = \"durability\"",
            "loses = \"durability\"",
            "violates = \"durability\"\nshows = \"prefix\"\nall_acknowledged = true",
            "passes = true\nshows = \"sessions\"\nall_acknowledged = true",
        ] {
            let expect = read(text).unwrap();
            assert_eq!(expect.claims().count(), text.lines().count());
            assert_eq!(toml::to_string(&expect).unwrap().trim_end(), text);
        }
    }

    #[test]
    fn expectations_that_make_no_sense_are_refused() {
        for (text, says) in [
            ("", "expect is empty"),
            ("passes = false", "expect.passes = false: must be true"),
            ("all_acknowledged = false", "expect.all_acknowledged = false: must be true"),
            ("passes = true\nviolates = \"fencing\"", "expect.passes = true contradicts expect.violates"),
            ("violates = \"fencing\"\nloses = \"durability\"", "expect.violates contradicts expect.loses"),
            ("loses = \"fencing\"", "no verdict on fencing is ever LOST"),
            ("violates = \"prefix\"", "shows = \"prefix\" can be expected"),
            ("shows = \"fencing\"", "violates = \"fencing\" can be expected"),
            ("pases = true", "unknown field `pases`"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(says), "{text}: {message}");
        }
    }
}
