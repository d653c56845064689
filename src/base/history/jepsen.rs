//! Histories as Jepsen's tests keep them: a line for each invocation and each completion, in the order in which they
//! happened. `docs/RECORDS.md` is the reference of the format.

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;

use serde::Deserialize;

use super::History;
use crate::base::json_lines::{self, JsonLinesError};
use crate::base::trace::{Event, Micros, OperationId, Outcome, Record};
use crate::base::{Key, NodeId, ReadMode, Stamp, Value, Version};

/// Why a text is not a history of this kind.
#[derive(Debug, thiserror::Error)]
pub enum JepsenError {
    /// A line is not one of an operation, or cannot be read.
    #[error(transparent)]
    Lines(#[from] JsonLinesError),
    /// A line does not fit those before it.
    #[error("line {line}: {misfit}")]
    Misfit {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        misfit: Misfit,
    },
}

/// Why a line does not fit those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// A process does one thing after another.
    #[error("process {process} begins an operation, and its last one, of line {begun}, has not ended")]
    Busy {
        /// The process.
        process: u64,
        /// Where it began the other.
        begun: usize,
    },
    /// There is nothing that could have ended.
    #[error("process {process} ends an operation, and has begun none")]
    Idle {
        /// The process.
        process: u64,
    },
    /// What ends is not what began.
    #[error("process {process} ends {what} and had begun {other} in line {begun}")]
    Another {
        /// The process.
        process: u64,
        /// What it ends.
        what: String,
        /// What it had begun.
        other: String,
        /// Where.
        begun: usize,
    },
    /// It is not said what is written.
    #[error("a write needs its value")]
    NoValue,
    /// Clients call nodes only.
    #[error("{0} is not a node that answers; nodes are called leader, f1, f2, …")]
    NoNode(NodeId),
    /// The lines are not in the order in which things happened.
    #[error("the time is before that of the line before")]
    TimeGoesBack,
    /// More processes than there can be clients.
    #[error("process {0}: processes are numbered from 0 to {max}", max = u16::MAX)]
    ManyProcesses(u64),
}

/// A line, of which other fields are ignored.
#[derive(Deserialize)]
struct Line {
    r#type: Type,
    f: Function,
    process: u64,
    key: Key,
    /// A value that is there is a value, and be it `null`.
    #[serde(default, deserialize_with = "Value::present")]
    value: Option<Value>,
    /// Nanoseconds.
    time: u64,
    node: Option<NodeId>,
    version: Option<Version>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    Invoke,
    Ok,
    Fail,
    Info,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Function {
    Read,
    Write,
    Delete,
}

/// What a process has begun and not ended.
struct Begun {
    line: usize,
    operation: OperationId,
    function: Function,
    key: Key,
    written: Option<Value>,
}

/// `a write of x = 5`
struct What<'a>(Function, &'a Key, Option<&'a Value>);

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(function, key, written) = self;
        let function = match function {
            Function::Read => "read",
            Function::Write => "write",
            Function::Delete => "delete",
        };
        write!(f, "a {function} of {key}")?;
        written.map_or(Ok(()), |value| write!(f, " = {value}"))
    }
}

impl History {
    /// Reads a history as Jepsen's tests keep it. Process 0 becomes client `c1`.
    ///
    /// # Errors
    /// [`JepsenError`], which names the line.
    pub fn read_jepsen(input: impl BufRead) -> Result<Self, JepsenError> {
        let mut reader = Reader::default();
        let mut records = Vec::new();
        for line in json_lines::numbered(input) {
            let (number, line) = line?;
            let record = reader.read(number, line).map_err(|misfit| JepsenError::Misfit { line: number, misfit })?;
            records.push(record);
        }
        Ok(Self::from_records(&records))
    }
}

#[derive(Default)]
struct Reader {
    begun: BTreeMap<u16, Begun>,
    /// How many operations each process has begun.
    operations: BTreeMap<u16, OperationId>,
    time: u64,
}

impl Reader {
    fn read(&mut self, number: usize, line: Line) -> Result<Record, Misfit> {
        if line.time < self.time {
            return Err(Misfit::TimeGoesBack);
        }
        self.time = line.time;
        let client = u16::try_from(line.process).map_err(|_| Misfit::ManyProcesses(line.process))?;
        let (at, node) = (Micros(line.time / 1000), NodeId::Client(client));
        let event = match line.r#type {
            Type::Invoke => self.invoke(number, client, line)?,
            Type::Ok => self.complete(client, Outcome::Ok, line)?,
            Type::Fail => self.complete(client, Outcome::Failed, line)?,
            Type::Info => self.complete(client, Outcome::Unknown, line)?,
        };
        Ok(Record { at, node, incarnation: 0, event })
    }

    fn invoke(&mut self, number: usize, client: u16, line: Line) -> Result<Event, Misfit> {
        let Line { f: function, process, key, value, node, .. } = line;
        let target = node.unwrap_or(NodeId::FIRST_SERVER);
        if !target.is_node() {
            return Err(Misfit::NoNode(target));
        }
        if let Some(Begun { line: begun, .. }) = self.begun.get(&client) {
            return Err(Misfit::Busy { process, begun: *begun });
        }
        let count = self.operations.entry(client).or_default();
        *count += 1;
        let operation = *count;
        let (event, written) = match function {
            Function::Read => {
                (Event::InvokeGet { operation, target, key: key.clone(), mode: ReadMode::Linearizable }, None)
            }
            Function::Delete => (Event::InvokeDelete { operation, target, key: key.clone(), request_id: None }, None),
            Function::Write => {
                let value = value.ok_or(Misfit::NoValue)?;
                (
                    Event::InvokeSet { operation, target, key: key.clone(), value: value.clone(), request_id: None },
                    Some(value),
                )
            }
        };
        self.begun.insert(client, Begun { line: number, operation, function, key, written });
        Ok(event)
    }

    fn complete(&mut self, client: u16, outcome: Outcome, line: Line) -> Result<Event, Misfit> {
        let Line { f: function, process, key, value, version, .. } = line;
        let begun = self.begun.remove(&client).ok_or(Misfit::Idle { process })?;
        let other_value = function == Function::Write && value.is_some() && value != begun.written;
        if function != begun.function || key != begun.key || other_value {
            return Err(Misfit::Another {
                process,
                what: What(function, &key, value.as_ref().filter(|_| function == Function::Write)).to_string(),
                other: What(begun.function, &begun.key, begun.written.as_ref()).to_string(),
                begun: begun.line,
            });
        }
        // What has a version was there, and be it null.
        let is_null = value.as_ref().is_none_or(|value| value.as_json() == "null");
        let is_absent = function == Function::Read && outcome == Outcome::Ok && is_null && version.is_none();
        let was_read = function == Function::Read && outcome == Outcome::Ok && !is_absent;
        Ok(Event::Return {
            operation: begun.operation,
            outcome: if is_absent { Outcome::Absent } else { outcome },
            stamp: version.map(Stamp::of_version),
            value: value.filter(|_| was_read),
            confirmed: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::history::{Kind, Moment};

    const WRITE: &str = r#"{"type":"invoke","f":"write","process":0,"key":"x","value":5,"time":1000,"index":0}"#;

    fn read(lines: &[&str]) -> Result<History, JepsenError> {
        History::read_jepsen(lines.join("\n").as_bytes())
    }

    #[test]
    fn invocations_and_completions_become_operations() {
        let history = read(&[
            WRITE,
            r#"{"type":"invoke","f":"read","process":7,"key":"x","value":null,"time":1500,"node":"f2"}"#,
            r#"{"type":"ok","f":"write","process":0,"key":"x","value":5,"time":2000,"version":3}"#,
            "",
            r#"{"type":"ok","f":"read","process":7,"key":"x","value":5,"time":9000,"version":3,"error":"none"}"#,
            r#"{"type":"invoke","f":"read","process":0,"key":"y","time":9000}"#,
        ])
        .unwrap();
        let [write, found, open] = history.operations.as_slice() else { panic!("{history:?}") };
        assert_eq!((write.name(), write.target, write.outcome), ("c1#1".into(), NodeId::FIRST_SERVER, Outcome::Ok));
        assert_eq!(write.stamp, found.stamp);
        assert_eq!(write.returned, Some(Moment { index: 2, at: Micros(2) }));
        assert_eq!((found.name(), found.target.to_string()), ("c8#1".into(), "f2".into()));
        assert_eq!(found.kind, Kind::Read(Value::from_json("5").ok()));
        assert_eq!((open.name(), open.returned, open.outcome), ("c1#2".into(), None, Outcome::Unknown));
    }

    #[test]
    fn each_type_has_its_outcome() {
        let outcome = |f: &str, rest: &str| {
            let line = |kind: &str, rest: &str| {
                format!(r#"{{"type":"{kind}","f":"{f}","process":0,"key":"x","time":1{rest}}}"#)
            };
            let (kind, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            let history = read(&[&line("invoke", ",\"value\":5"), &line(kind, rest)]).unwrap();
            let operation = &history.operations[0];
            let found = match &operation.kind {
                Kind::Read(Some(value)) => value.to_string(),
                _ => String::new(),
            };
            (operation.outcome, found)
        };
        let nothing = String::new;
        assert_eq!(outcome("write", "ok"), (Outcome::Ok, nothing()));
        assert_eq!(outcome("write", "fail"), (Outcome::Failed, nothing()));
        assert_eq!(outcome("write", "info"), (Outcome::Unknown, nothing()));
        assert_eq!(outcome("delete", "ok ,\"version\":2"), (Outcome::Ok, nothing()));
        assert_eq!(outcome("read", "ok"), (Outcome::Absent, nothing()));
        assert_eq!(outcome("read", "ok ,\"value\":null"), (Outcome::Absent, nothing()));
        assert_eq!(outcome("read", "ok ,\"value\":null,\"version\":1"), (Outcome::Ok, "null".into()));
        assert_eq!(outcome("read", "ok ,\"value\":7"), (Outcome::Ok, "7".into()));
        assert_eq!(outcome("read", "fail ,\"value\":7"), (Outcome::Failed, nothing()));
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_line() {
        let ok = |f: &str, key: &str, value: u8, time: u64| {
            format!(r#"{{"type":"ok","f":"{f}","process":0,"key":"{key}","value":{value},"time":{time}}}"#)
        };
        for (second, says) in [
            (WRITE, "line 2: process 0 begins an operation, and its last one, of line 1, has not ended"),
            (&WRITE.replace("\"process\":0", "\"process\":70000"), "line 2: process 70000: processes are numbered"),
            (&WRITE.replace("\"process\":0", "\"process\":-1"), "line 2: invalid value"),
            (
                &WRITE.replace("invoke", "ok").replace(":0,\"key", ":1,\"key"),
                "line 2: process 1 ends an operation, and",
            ),
            (&ok("read", "x", 5, 2000), "line 2: process 0 ends a read of x and had begun a write of x = 5 in line 1"),
            (&ok("write", "y", 5, 2000), "line 2: process 0 ends a write of y = 5 and had begun a write of x = 5"),
            (&ok("write", "x", 6, 2000), "line 2: process 0 ends a write of x = 6 and had begun a write of x = 5"),
            (&ok("write", "x", 5, 999), "line 2: the time is before that of the line before"),
            (&ok("cas", "x", 5, 2000), "line 2: unknown variant `cas`, expected one of `read`, `write`, `delete`"),
            (r#"{"type":"ok","f":"write"}"#, "line 2: missing field `process`"),
            (r#"{"type":"ok","f":"wri"#, "line 2: EOF while parsing"),
        ] {
            let message = read(&[WRITE, second]).unwrap_err().to_string();
            assert!(message.starts_with(says), "{message}");
        }
        for (line, says) in [
            (WRITE.replace("\"value\":5,", ""), "line 1: a write needs its value"),
            (WRITE.replace("\"index\":0", "\"node\":\"c3\""), "line 1: c3 is not a node that answers"),
            (WRITE.replace("\"index\":0", "\"node\":\"x1\""), "line 1: \"x1\" is not a node"),
        ] {
            let message = read(&[&line]).unwrap_err().to_string();
            assert!(message.starts_with(says), "{message}");
        }
    }
}
