//! The words that evidence is put into.

use std::fmt;

use super::{Finding, Property, Verdict};
use crate::base::trace::Micros;

/// How many cases a count shows as examples.
const EXAMPLES: usize = 5;

/// A point in virtual time: `1512 ms`, or `1512.25 ms`.
pub(super) struct At(pub(super) Micros);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0.0 as f64 / 1e3)
    }
}

/// `nobody`, `f1`, `f1 and f3`, `f1, f3 and f4`.
pub(super) fn names(nodes: impl IntoIterator<Item = impl fmt::Display>) -> String {
    let mut names: Vec<String> = nodes.into_iter().map(|node| node.to_string()).collect();
    match (names.pop(), names.is_empty()) {
        (None, _) => "nobody".into(),
        (Some(only), true) => only,
        (Some(last), false) => format!("{} and {last}", names.join(", ")),
    }
}

/// `1 write`, `2 writes`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A verdict that counts and does not judge. Only the first of the cases are put into words.
pub(super) fn counted<T>(property: Property, rate: String, cases: &[T], words: impl Fn(&T) -> String) -> Verdict {
    let examples = cases.iter().take(EXAMPLES).map(words).collect();
    Verdict::new(property, Finding::Counted { rate, cases: cases.len(), examples })
}

/// A verdict on a run of which only the clients were recorded, where that is not enough.
pub(super) fn without_trace(property: Property) -> Verdict {
    not_applicable(property, "a history says nothing of what nodes do and store; a trace does")
}

/// A verdict on a run that the property says nothing about.
pub(super) fn not_applicable(property: Property, why: impl Into<String>) -> Verdict {
    Verdict::new(property, Finding::NotApplicable(why.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!(At(Micros(1_512_000)).to_string(), "1512 ms");
        assert_eq!(At(Micros(1_512_250)).to_string(), "1512.25 ms");
        assert_eq!(names([] as [&str; 0]), "nobody");
        assert_eq!(names(["f1"]), "f1");
        assert_eq!(names(["f1", "f3"]), "f1 and f3");
        assert_eq!(names(["f1", "f3", "f4"]), "f1, f3 and f4");
        assert_eq!((count(1, "write"), count(2, "write")), ("1 write".into(), "2 writes".into()));
    }
}
