use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The decisions of the protocol that keep it correct, each of which can be switched off in a simulation to show what it
/// is for. A node that serves has them all; there is no setting for it.
///
/// The numbers F1, F13, … are those of the stories in `sim-tests/corpus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A follower applies a write only if its stamp is greater than the stored one. Without it the last to arrive wins
    /// (F18).
    pub compare_stamps: bool,
    /// An answer confirms a write only if it shows that the follower stores it or a later one of this leader. Without it
    /// every answer with status 200 does, that of a stale write too (F1).
    pub confirm_only_stored: bool,
    /// A follower confirms a write once, however often it answers. Without it every answer counts (F13).
    pub count_distinct: bool,
    /// An error or a silence confirms nothing. Without it the end of a request is taken for its success.
    pub confirm_only_answers: bool,
    /// A write that misses its quorum is not acknowledged. Without it the deadline lowers the quorum to what there is.
    pub keep_quorum: bool,
    /// What a follower missed is sent again until it arrives. Without it a lost message stays lost (F36).
    pub resend_missed: bool,
    /// A write gets the version after the key's last. Without it the version is read before earlier writes have ended, as
    /// by two handlers that do not wait for one another, and is given twice (F17).
    pub one_writer: bool,
    /// A write is answered at its deadline at the latest. Without it its client waits for the quorum for ever.
    pub answer_by_deadline: bool,
    /// What is under way to a follower is bounded. Without it a follower that does not answer costs memory for each write
    /// (F32).
    pub bound_window: bool,
}

/// One of the [`Rules`], by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// [`Rules::compare_stamps`]
    CompareStamps,
    /// [`Rules::confirm_only_stored`]
    ConfirmOnlyStored,
    /// [`Rules::count_distinct`]
    CountDistinct,
    /// [`Rules::confirm_only_answers`]
    ConfirmOnlyAnswers,
    /// [`Rules::keep_quorum`]
    KeepQuorum,
    /// [`Rules::resend_missed`]
    ResendMissed,
    /// [`Rules::one_writer`]
    OneWriter,
    /// [`Rules::answer_by_deadline`]
    AnswerByDeadline,
    /// [`Rules::bound_window`]
    BoundWindow,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 9] = [
        Self::CompareStamps,
        Self::ConfirmOnlyStored,
        Self::CountDistinct,
        Self::ConfirmOnlyAnswers,
        Self::KeepQuorum,
        Self::ResendMissed,
        Self::OneWriter,
        Self::AnswerByDeadline,
        Self::BoundWindow,
    ];

    /// The name that scenarios and commands use.
    pub fn name(self) -> &'static str {
        match self {
            Self::CompareStamps => "compare-stamps",
            Self::ConfirmOnlyStored => "confirm-only-stored",
            Self::CountDistinct => "count-distinct",
            Self::ConfirmOnlyAnswers => "confirm-only-answers",
            Self::KeepQuorum => "keep-quorum",
            Self::ResendMissed => "resend-missed",
            Self::OneWriter => "one-writer",
            Self::AnswerByDeadline => "answer-by-deadline",
            Self::BoundWindow => "bound-window",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = Self::ALL.into_iter().find(|rule| rule.name() == text);
        rule.ok_or_else(|| format!("there is no rule {text:?}; the rules are {}", Self::ALL.map(Self::name).join(", ")))
    }
}

impl Rules {
    /// Every rule in force.
    pub const SAFE: Self = Self {
        compare_stamps: true,
        confirm_only_stored: true,
        count_distinct: true,
        confirm_only_answers: true,
        keep_quorum: true,
        resend_missed: true,
        one_writer: true,
        answer_by_deadline: true,
        bound_window: true,
    };

    /// The textbook design that many start from: versions are compared and followers counted once, but any answer with
    /// status 200 counts, and what is lost is not sent again.
    pub const LAB: Self = Self { confirm_only_stored: false, resend_missed: false, ..Self::SAFE };

    /// These rules without one of them.
    #[must_use]
    pub fn without(mut self, rule: Rule) -> Self {
        *match rule {
            Rule::CompareStamps => &mut self.compare_stamps,
            Rule::ConfirmOnlyStored => &mut self.confirm_only_stored,
            Rule::CountDistinct => &mut self.count_distinct,
            Rule::ConfirmOnlyAnswers => &mut self.confirm_only_answers,
            Rule::KeepQuorum => &mut self.keep_quorum,
            Rule::ResendMissed => &mut self.resend_missed,
            Rule::OneWriter => &mut self.one_writer,
            Rule::AnswerByDeadline => &mut self.answer_by_deadline,
            Rule::BoundWindow => &mut self.bound_window,
        } = false;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_has_one_name() {
        for rule in Rule::ALL {
            assert_eq!(rule.name().parse(), Ok(rule));
            assert_eq!(serde_json::to_string(&rule).unwrap(), format!("{:?}", rule.name()));
        }
        assert!("none".parse::<Rule>().unwrap_err().contains("the rules are compare-stamps, "));
    }

    #[test]
    fn each_rule_can_be_switched_off_alone() {
        for rule in Rule::ALL {
            assert_ne!(Rules::SAFE.without(rule), Rules::SAFE, "{rule:?}");
            for other in Rule::ALL.into_iter().filter(|other| *other != rule) {
                assert_ne!(Rules::SAFE.without(rule), Rules::SAFE.without(other), "{rule:?} and {other:?}");
            }
        }
    }
}
