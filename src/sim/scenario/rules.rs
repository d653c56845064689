use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::core::{Rule, Rules};

/// Rules, as a scenario names them: `"safe"`, `"lab"`, or `{ off = ["compare-stamps"] }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RulesSpec {
    /// A set that has a name.
    Named(RuleSet),
    /// All rules but these.
    Without {
        /// The rules that are switched off.
        off: Vec<Rule>,
    },
}

/// The sets of rules that have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleSet {
    /// [`Rules::SAFE`]
    Safe,
    /// [`Rules::LAB`]
    Lab,
}

impl RulesSpec {
    /// Those that ship.
    pub const SAFE: Self = Self::Named(RuleSet::Safe);

    /// The rules that are meant.
    pub fn rules(&self) -> Rules {
        match self {
            Self::Named(RuleSet::Safe) => Rules::SAFE,
            Self::Named(RuleSet::Lab) => Rules::LAB,
            Self::Without { off } => off.iter().fold(Rules::SAFE, |rules, rule| rules.without(*rule)),
        }
    }
}

/// As a person reads it: `all but compare-stamps`
impl fmt::Display for RulesSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(RuleSet::Safe) => f.write_str("safe"),
            Self::Named(RuleSet::Lab) => f.write_str("lab"),
            Self::Without { off } => {
                let off: Vec<&str> = off.iter().map(|rule| rule.name()).collect();
                write!(f, "all but {}", off.join(", "))
            }
        }
    }
}

/// By hand, for what serde derives for an enum without tags takes fields that do not exist, and of a misspelt rule says
/// only that nothing fits.
impl<'de> Deserialize<'de> for RulesSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpecVisitor)
    }
}

struct SpecVisitor;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Without {
    off: Vec<Rule>,
}

impl<'de> Visitor<'de> for SpecVisitor {
    type Value = RulesSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"safe\", \"lab\" or { off = [rule, …] }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RulesSpec, E> {
        RuleSet::deserialize(StrDeserializer::new(text)).map(RulesSpec::Named)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RulesSpec, A::Error> {
        let Without { off } = Without::deserialize(MapAccessDeserializer::new(map))?;
        Ok(RulesSpec::Without { off })
    }
}
