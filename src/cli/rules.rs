use semisync::core::Rule;
use semisync::sim::scenario::{RuleSet, RulesSpec};

/// Which decisions of the protocol are in force.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RulesArgs {
    /// Which decisions of the protocol are in force [default: the scenario's own, or else safe]
    #[arg(long, value_name = "safe|lab", value_parser = parse_set)]
    rules: Option<RuleSet>,
    /// Switch these rules off, such as compare-stamps, and no others, whatever the scenario says
    #[arg(long, value_name = "RULE,…", value_delimiter = ',', conflicts_with = "rules")]
    off: Vec<Rule>,
}

fn parse_set(text: &str) -> Result<RuleSet, &'static str> {
    match text {
        "safe" => Ok(RuleSet::Safe),
        "lab" => Ok(RuleSet::Lab),
        _ => Err("must be safe or lab; --off RULE switches a single rule off"),
    }
}

impl RulesArgs {
    /// The rules that were asked for, if any were.
    pub(super) fn spec(&self) -> Option<RulesSpec> {
        match (&self.rules, self.off.as_slice()) {
            (Some(set), _) => Some(RulesSpec::Named(*set)),
            (None, []) => None,
            (None, off) => Some(RulesSpec::Without { off: off.to_vec() }),
        }
    }

    /// What was typed, to be typed again, with a blank before it.
    pub(super) fn again(&self) -> String {
        match self.spec() {
            None => String::new(),
            Some(RulesSpec::Named(RuleSet::Safe)) => " --rules safe".into(),
            Some(RulesSpec::Named(RuleSet::Lab)) => " --rules lab".into(),
            Some(RulesSpec::Without { off }) => {
                format!(" --off {}", off.iter().map(Rule::to_string).collect::<Vec<_>>().join(","))
            }
        }
    }
}
