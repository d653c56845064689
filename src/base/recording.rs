//! Files of which it is not known yet what they are: a trace, a history, or a history as Jepsen's tests keep it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Cursor, Read};

use serde::de::IgnoredAny;

use super::consistency::{Consistency, Inconsistency};
use super::history::{self, History, JepsenError};
use super::json_lines::{self, JsonLinesError};
use super::trace::{Record, Trace};

/// What is in a file that was recorded.
#[derive(Debug, Clone)]
pub enum Recording {
    /// Everything that happened.
    Trace(Trace),
    /// What clients did and saw.
    History(History),
    /// The same, a line for each invocation and each completion.
    Jepsen(History),
}

/// Why a file is none of them.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The first line tells what a file is, and this one tells nothing.
    #[error("line {line} {problem}. A file must hold {FORMS}")]
    Unrecognised {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Every line is blank, or there is none.
    #[error("{}. A file must hold {FORMS}", blank(*.lines))]
    Blank {
        /// The number of lines.
        lines: usize,
    },
    /// It begins like a trace or a history, and does not go on like one.
    #[error(transparent)]
    Lines(#[from] JsonLinesError),
    /// It begins like a Jepsen-style history, and does not go on like one.
    #[error(transparent)]
    Jepsen(#[from] JepsenError),
    /// A line of a trace contradicts those before it.
    #[error("line {line}: {problem}")]
    Inconsistent {
        /// Counted from 1.
        line: usize,
        /// The contradiction.
        problem: Inconsistency,
    },
}

/// What a line of a file can be.
const FORMS: &str = "one JSON object on each line: of a trace (with \"at_us\", \"node\" and \"event\"), of a history (with \
     \"client\", \"operation\" and \"kind\") or of a Jepsen-style history (with \"type\", \"f\" and \"process\")";

/// Says how a file of so many lines has nothing in it.
fn blank(lines: usize) -> String {
    match lines {
        0 => "the file is empty".into(),
        1 => "the only line of the file is blank".into(),
        lines => format!("all {lines} lines of the file are blank"),
    }
}

impl From<io::Error> for RecordingError {
    fn from(error: io::Error) -> Self {
        Self::Lines(error.into())
    }
}

impl Recording {
    /// Reads a file of any of the three forms. The first line that is not empty tells which it is. A file that
    /// contradicts itself is refused.
    ///
    /// # Errors
    /// [`RecordingError`], which names the line.
    pub fn read(mut input: impl BufRead) -> Result<Self, RecordingError> {
        let mut head = Vec::new();
        let mut line = 0;
        let form = loop {
            line += 1;
            let begin = head.len();
            if input.read_until(b'\n', &mut head)? == 0 {
                return Err(RecordingError::Blank { lines: line - 1 });
            }
            let text = head[begin..].trim_ascii();
            if !text.is_empty() {
                break Form::of(text).map_err(|problem| RecordingError::Unrecognised { line, problem })?;
            }
        };
        let input = Cursor::new(head).chain(input);
        Ok(match form {
            Form::Trace => Self::Trace(consistent_trace(input)?),
            Form::History => Self::History(History::read_json_lines(input)?),
            Form::Jepsen => Self::Jepsen(History::read_jepsen(input)?),
        })
    }
}

/// Reads a trace, and refuses it at the first line that contradicts those before it.
fn consistent_trace(input: impl BufRead) -> Result<Trace, RecordingError> {
    let mut trace = Trace::default();
    let mut consistency = Consistency::default();
    for item in json_lines::numbered::<Record>(input) {
        let (line, record) = item?;
        consistency.follow(line, &record).map_err(|problem| RecordingError::Inconsistent { line, problem })?;
        trace.push(record);
    }
    Ok(trace)
}

enum Form {
    Trace,
    History,
    Jepsen,
}

impl Form {
    fn of(line: &[u8]) -> Result<Self, &'static str> {
        if str::from_utf8(line).is_ok_and(history::is_edn) {
            return Ok(Self::Jepsen);
        }
        let fields: BTreeMap<String, IgnoredAny> = serde_json::from_slice(line).map_err(|_| "is not a JSON object")?;
        // A record of a trace may have a kind, too.
        [("event", Self::Trace), ("kind", Self::History), ("type", Self::Jepsen)]
            .into_iter()
            .find_map(|(name, form)| fields.contains_key(name).then_some(form))
            .ok_or("is an object of another kind")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = r#"{"at_us":0,"node":"network","event":"cluster","followers":3,"write_quorum":2,"repl_timeout_us":1,"delay_us":[0,0],"link_us":1,"window":8}"#;
    const CRASH: &str = r#"{"at_us":1,"node":"f1","event":"crash"}"#;
    const GET: &str = r#"{"client":"c1","operation":1,"kind":"get","node":"f1","key":"x","invoked_us":5,"invoked_order":1,"outcome":"unknown"}"#;
    const READ: &str = r#"{"type":"invoke","f":"read","process":0,"key":"x","time":1000}"#;

    fn read(text: &str) -> Result<Recording, RecordingError> {
        Recording::read(text.as_bytes())
    }

    #[test]
    fn the_first_line_tells_what_a_file_is() {
        let text = format!("{CLUSTER}\n{CRASH}");
        assert!(matches!(read(&text), Ok(Recording::Trace(trace)) if trace.records().len() == 2));
        assert!(matches!(read(GET), Ok(Recording::History(history)) if history.operations.len() == 1));
        let text = format!("\n  \r\n{READ}\n");
        assert!(matches!(read(&text), Ok(Recording::Jepsen(history)) if history.operations.len() == 1));
    }

    #[test]
    fn what_is_none_of_them_is_told_what_could_be() {
        for (text, says) in [
            ("", "the file is empty. A file must hold "),
            ("\n", "the only line of the file is blank. "),
            (" \t", "the only line of the file is blank. "),
            ("\n\n", "all 2 lines of the file are blank. "),
            ("\r\n\r\n  \r\n ", "all 4 lines of the file are blank. "),
            ("[1,2,3]", "line 1 is not a JSON object. "),
            ("{\"event\":", "line 1 is not a JSON object"),
            ("\n{\"colour\":1}", "line 2 is an object of another kind. "),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.starts_with(says), "{message}");
            assert!(["a trace", "a history", "a Jepsen-style history"].iter().all(|form| message.contains(form)));
        }
        assert!(Recording::read(&b"\xff\x00\xfe"[..]).unwrap_err().to_string().starts_with("line 1 is not a JSON"));
    }

    #[test]
    fn what_goes_on_in_another_way_is_named_with_its_line() {
        for (text, says) in [
            (format!("{CLUSTER}\n\n{GET}"), "line 3: unknown field `client`"),
            (format!("{CLUSTER}\n{}", &CRASH[..20]), "line 2: EOF while parsing"),
            (CRASH.to_owned(), "line 1: a trace begins with an event \"cluster\""),
            (format!("{GET}\n{CRASH}"), "line 2: unknown field `at_us`"),
            (format!("{READ}\n{READ}"), "line 2: process 0 begins an operation"),
        ] {
            let message = read(&text).unwrap_err().to_string();
            assert!(message.starts_with(says), "{message}");
        }
        let mut text = CLUSTER.as_bytes().to_vec();
        text.extend(b"\n\xff\n");
        assert_eq!(Recording::read(text.as_slice()).unwrap_err().to_string(), "line 2: not UTF-8");
    }
}
