//! What clients did and saw: the operations of a run, put together from their invocations and returns. Simulated and live
//! runs are kept in the same form.

mod builder;
mod condition;
mod jepsen;
mod line;
mod order;

pub use builder::{BuildError, Call, HistoryBuilder, Reply};
pub use condition::Condition;
pub(in crate::base) use jepsen::is_edn;
pub use jepsen::{JepsenError, Misfit};

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::json_lines::{self, JsonLinesError};
use super::trace::{Event, Micros, OperationId, Outcome, Record};
use super::{Key, NodeId, ReadMode, RequestName, Stamp, Value, Version};

/// The operations of a run, in the order of their invocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The operations.
    pub operations: Vec<Operation>,
}

/// Something that a client asked of a node, and what came of it. One line of a history file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "line::Line", into = "line::Line")]
pub struct Operation {
    /// The client.
    pub client: NodeId,
    /// The number of the operation among those of its client.
    pub number: OperationId,
    /// The node that was asked.
    pub target: NodeId,
    /// The key.
    pub key: Key,
    /// Whether it wrote or read, and what.
    pub kind: Kind,
    /// Of a read: what it may find.
    pub mode: ReadMode,
    /// When it was invoked.
    pub invoked: Moment,
    /// When it returned; `None` if it had not when the run ended.
    pub returned: Option<Moment>,
    /// How it ended. Without a return it is unknown.
    pub outcome: Outcome,
    /// The stamp that was written or read, where one is known. A read that found nothing has none.
    pub stamp: Option<Stamp>,
    /// A write that the leader answered: the confirmations that it told, and how many it said were required.
    pub confirmed: Option<(usize, usize)>,
    /// The name that the client gave to the write, if it did.
    pub request: Option<RequestName>,
    /// The state of the key that a conditional write requires.
    pub condition: Option<Condition>,
    /// The lowest version that a read accepts. The node waits for it, and refuses the read if it does not arrive.
    pub min_version: Option<Version>,
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// It writes this value.
    Write(Value),
    /// It deletes the key.
    Delete,
    /// It reads, and found this value.
    Read(Option<Value>),
}

/// A point of a run: its place among all records, which orders it even against others at the same time, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The index of the record.
    pub index: usize,
    /// The virtual time.
    pub at: Micros,
}

impl Operation {
    /// Whether it wrote. To delete is to write, too.
    pub fn is_write(&self) -> bool {
        !matches!(self.kind, Kind::Read(_))
    }

    /// `c1#3`, as reports and scenarios name it.
    pub fn name(&self) -> String {
        format!("{}#{}", self.client, self.number)
    }
}

/// What a client may add to a write.
#[derive(Default)]
struct Options<'a> {
    request: Option<&'a RequestName>,
    if_version: Option<u64>,
}

impl<'a> Options<'a> {
    fn of(request: Option<&'a RequestName>, if_version: Option<u64>) -> Self {
        Self { request, if_version }
    }
}

impl History {
    /// Puts the operations of a trace together.
    pub fn from_records(records: &[Record]) -> Self {
        let mut operations: Vec<Operation> = Vec::new();
        let mut open: BTreeMap<(NodeId, OperationId), usize> = BTreeMap::new();
        for (index, record) in records.iter().enumerate() {
            let moment = Moment { index, at: record.at };
            let mut invoke = |number: OperationId, target, key: &Key, kind, mode, options: Options<'_>| {
                open.insert((record.node, number), operations.len());
                operations.push(Operation {
                    client: record.node,
                    number,
                    target,
                    key: key.clone(),
                    kind,
                    mode,
                    invoked: moment,
                    returned: None,
                    outcome: Outcome::Unknown,
                    stamp: None,
                    confirmed: None,
                    request: options.request.cloned(),
                    condition: options.if_version.map(Condition::Version),
                    min_version: None,
                });
            };
            match &record.event {
                Event::InvokeSet { operation, target, key, value, request_id, if_version } => {
                    let (kind, options) = (Kind::Write(value.clone()), Options::of(request_id.as_ref(), *if_version));
                    invoke(*operation, *target, key, kind, ReadMode::Local, options);
                }
                Event::InvokeDelete { operation, target, key, request_id, if_version } => {
                    let options = Options::of(request_id.as_ref(), *if_version);
                    invoke(*operation, *target, key, Kind::Delete, ReadMode::Local, options);
                }
                Event::InvokeGet { operation, target, key, mode } => {
                    invoke(*operation, *target, key, Kind::Read(None), *mode, Options::default());
                }
                Event::Return { operation, outcome, stamp, value, confirmed } => {
                    let Some(at) = open.remove(&(record.node, *operation)) else { continue };
                    let operation = &mut operations[at];
                    operation.returned = Some(moment);
                    operation.outcome = *outcome;
                    operation.stamp = *stamp;
                    operation.confirmed = *confirmed;
                    if let Kind::Read(found) = &mut operation.kind {
                        found.clone_from(value);
                    }
                }
                _ => {}
            }
        }
        Self { operations }
    }

    /// Writes the history as JSON Lines, one [`Operation`] a line.
    ///
    /// # Errors
    /// Whatever the writer reports.
    pub fn write_json_lines(&self, out: impl Write) -> io::Result<()> {
        json_lines::write(out, &self.operations)
    }

    /// Reads a history that was written by [`History::write_json_lines`]. The lines can be in any order.
    ///
    /// # Errors
    /// [`JsonLinesError`], which names the line: one that is not an operation, or that contradicts another.
    pub fn read_json_lines(input: impl BufRead) -> Result<Self, JsonLinesError> {
        let operations: Vec<(usize, Operation)> = json_lines::numbered(input).collect::<Result<_, _>>()?;
        order::require_one_order(&operations).map_err(|(line, problem)| JsonLinesError::Malformed { line, problem })?;
        let mut operations: Vec<Operation> = operations.into_iter().map(|(_, operation)| operation).collect();
        operations.sort_by_key(|operation| operation.invoked);
        Ok(Self { operations })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: u64, event: Event) -> Record {
        Record { at: Micros(at), node: NodeId::Client(0), incarnation: 0, event }
    }

    fn history() -> History {
        let (target, key) = (NodeId::FIRST_SERVER, Key::new("x").unwrap());
        let value = Value::from_json("null").unwrap();
        let stamp = Some(Stamp::of_version(Version::FIRST));
        let returned =
            |operation, value, confirmed| Event::Return { operation, outcome: Outcome::Ok, stamp, value, confirmed };
        let get = |operation| Event::InvokeGet { operation, target, key: key.clone(), mode: ReadMode::Local };
        History::from_records(&[
            record(
                1,
                Event::InvokeSet {
                    operation: 1,
                    target,
                    key: key.clone(),
                    value: value.clone(),
                    request_id: None,
                    if_version: None,
                },
            ),
            record(5, returned(1, None, Some((2, 1)))),
            record(5, get(2)),
            record(6, returned(2, Some(value), None)),
            record(7, get(3)),
        ])
    }

    #[test]
    fn a_history_survives_being_written_and_read() {
        let mut file = Vec::new();
        history().write_json_lines(&mut file).unwrap();
        assert_eq!(History::read_json_lines(file.as_slice()).unwrap(), history());
        insta::assert_snapshot!(String::from_utf8(file).unwrap());
    }

    #[test]
    fn what_is_not_an_operation_is_named() {
        let line = r#"{"client":"c1","operation":1,"kind":"set","node":"leader","key":"x","value":1,"invoked_us":5,"invoked_order":1,"returned_us":7,"returned_order":2,"outcome":"ok"}"#;
        assert!(History::read_json_lines(line.as_bytes()).is_ok());
        for (from, to, says) in [
            ("\"value\":1,", "", "a set needs its value"),
            ("\"key\":\"x\",", "", "missing field `key`"),
            ("\"set\"", "\"delete\"", "a delete has no value"),
            ("set", "cas", "unknown variant `cas`"),
            ("set\"", "get\",\"request_id\":\"r\"", "a get has no request_id"),
            ("}", ",\"request_id\":\"\"}", "a request_id must be 1 to 64 bytes"),
            ("\"returned_us\":7,", "", "go together"),
            ("7,\"returned_order\":2", "4,\"returned_order\":0", "returns after"),
            ("\"returned_us\":7,\"returned_order\":2,", "", "without returned_us it did not return"),
            ("\"ok\"", "\"absent\"", "only a get can have the outcome absent"),
            (
                "set\",\"node\":\"leader\",\"key\":\"x\",\"value\":1",
                "get\",\"node\":\"n1\",\"key\":\"x\"",
                "needs the value",
            ),
            ("\"c1\"", "\"leader\"", "n1 is not a client; clients are called c1, c2, …"),
            ("\"leader\"", "\"c2\"", "c2 is not a node that answers"),
            ("}", ",\"if_version\":1,\"if_value\":1}", "if_version or if_value, not both"),
            ("set\"", "get\",\"if_version\":1", "a get has no if_version"),
            ("}", ",\"min_version\":1}", "only a get has min_version"),
        ] {
            let message = History::read_json_lines(line.replace(from, to).as_bytes()).unwrap_err().to_string();
            assert!(message.starts_with("line 1: ") && message.contains(says), "{message}");
        }
    }

    #[test]
    fn operations_that_contradict_each_other_are_named() {
        let mut file = Vec::new();
        history().write_json_lines(&mut file).unwrap();
        let text = String::from_utf8(file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let with = |line: &str| format!("{}\n\n{}\n{line}", lines[1], lines[0]);
        assert_eq!(History::read_json_lines(with(lines[2]).as_bytes()).unwrap(), history(), "in any order");
        for (third, says) in [
            (lines[1].to_owned(), "line 4: c1#2 again: line 1 has it already"),
            (
                lines[2].replace("\"invoked_order\":4", "\"invoked_order\":3"),
                "line 4: c1#3 is invoked at place 3 of the order, where line 1 has: c1#2 returns",
            ),
            (
                lines[2].replace("\"invoked_us\":7", "\"invoked_us\":5"),
                "line 4: c1#3 is invoked at 5 µs, before 6 µs, when c1#2 returns (line 1) earlier in the order",
            ),
        ] {
            let message = History::read_json_lines(with(&third).as_bytes()).unwrap_err().to_string();
            assert_eq!(message, says);
        }
    }
}
