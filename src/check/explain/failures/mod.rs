//! The catalogue of failures, by what goes wrong: the state after a start, the acknowledgement and reads, leaders and
//! replicas, the environment.

mod environment;
mod recovery;
mod replicas;
mod writes;

use super::{Explanation, FailureCode};
use crate::check::Property;

/// The explanation of a failure.
pub(super) struct FailureText {
    /// The number in its code.
    code: u8,
    summary: &'static str,
    meaning: &'static str,
    /// The properties that it violates, or adds cases to.
    pub(super) properties: &'static [Property],
    sources: &'static [&'static str],
    remedy: &'static str,
    scenarios: &'static [&'static str],
}

/// The texts, in the order of their codes.
const TEXTS: [&[FailureText]; 4] = [recovery::TEXTS, writes::TEXTS, replicas::TEXTS, environment::TEXTS];

/// How many failures there are.
pub(super) const COUNT: u8 = {
    let [recovery, writes, replicas, environment] = TEXTS;
    (recovery.len() + writes.len() + replicas.len() + environment.len()) as u8
};

/// Returns the text of a failure.
pub(super) fn of(code: FailureCode) -> &'static FailureText {
    let found = TEXTS.into_iter().flatten().find(|text| text.code == code.0);
    found.expect("codes are counted from 1, without gaps")
}

impl FailureText {
    pub(super) fn explanation(&self) -> Explanation {
        let Self { summary, meaning, sources, remedy, scenarios, .. } = *self;
        Explanation { summary, meaning, remedy, sources, scenarios }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_counted_without_gaps() {
        let codes: Vec<u8> = TEXTS.into_iter().flatten().map(|text| text.code).collect();
        assert_eq!(codes, (1..=COUNT).collect::<Vec<_>>());
    }
}
