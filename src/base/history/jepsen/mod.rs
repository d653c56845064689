//! Histories in the style of Jepsen: a line for each invocation and each completion, in the order in which they
//! happened. `docs/RECORDS.md` is the reference of the format.
//!
//! Lines come from many programs, so what is not ambiguous is read in each form in which people write it: keywords with
//! and without a colon, keys that are numbers, a key and a value as a pair, lines in EDN, lines without a time, lines of
//! the nemesis.

mod edn;
mod line;
mod shape;

pub(in crate::base) use edn::is_edn;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::BufRead;

use super::builder::{BuildError, Call, HistoryBuilder, Reply};
use super::{Condition, History};
use crate::base::json_lines::{self, JsonLinesError};
use crate::base::trace::{Micros, OperationId};
use crate::base::{InvalidKey, Key, NodeId, Value};
use line::{Function, Head, Line, Process, Type};
use shape::{Content, Shape};

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
    /// It is not said what a compare-and-set requires and writes.
    #[error("a cas needs its value: [the value that it requires, the value that it writes]")]
    NoCasValue,
    /// A condition of a read, or a second one.
    #[error("if_version belongs to a write or a delete")]
    IfVersion,
    /// Other lines have a key.
    #[error("key is missing; other lines have one")]
    NoKey,
    /// In the first operation the value is a pair of key and value.
    #[error("the value must be a pair, [key, value], as in line {first}")]
    NoPair {
        /// The line of the first operation.
        first: usize,
    },
    /// The key is too long or empty.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// Clients call nodes only.
    #[error("{0} is not a node that answers; nodes are called n1, n2, … and f1, f2, …, and n1 also leader")]
    NoNode(NodeId),
    /// The lines are not in the order in which things happened.
    #[error("the time is before that of the line before")]
    TimeGoesBack,
    /// More processes than there can be clients.
    #[error("process {0}: processes are numbered from 0 to {max}", max = u16::MAX)]
    ManyProcesses(u64),
    /// The line cannot be part of a history for another reason.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// An operation that a process has begun and not ended.
struct Begun {
    line: usize,
    operation: OperationId,
    function: Function,
    key: Key,
    written: Content,
}

/// `a write of x = 5`
struct What<'a>(Function, &'a Key, &'a Content);

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(function, key, content) = self;
        write!(f, "a {function} of {key}")?;
        match content {
            Content::Value(value) if *function == Function::Write => write!(f, " = {value}"),
            Content::Cas { required, written } => write!(f, " from {required} to {written}"),
            Content::Value(_) | Content::None => Ok(()),
        }
    }
}

impl History {
    /// Reads a history as Jepsen's tests keep it. Process 0 becomes client `c1`.
    ///
    /// # Errors
    /// [`JepsenError`], which names the line.
    pub fn read_jepsen(input: impl BufRead) -> Result<Self, JepsenError> {
        let mut lines = Vec::new();
        for item in json_lines::texts(input) {
            let (number, mut text) = item?;
            if is_edn(&text) {
                text = edn::to_json(&text).map_err(|problem| JsonLinesError::Malformed { line: number, problem })?;
            }
            let Head { process } = json_lines::parse(number, &text)?;
            if process != Process::Nemesis {
                lines.push((number, json_lines::parse(number, &text)?));
            }
        }
        let misfit = |line| move |misfit| JepsenError::Misfit { line, misfit };
        let shape = Shape::of(&lines);
        let mut places = Vec::with_capacity(lines.len());
        for (number, line) in &lines {
            places.push(shape.place(line).map_err(misfit(*number))?);
        }
        let writes_null = |((_, line), (key, content)): (&(usize, Line), &(Key, Content))| match content {
            Content::Value(value) | Content::Cas { written: value, .. } => {
                (line.f != Function::Read && value.as_json() == "null").then(|| key.clone())
            }
            Content::None => None,
        };
        let with_null = lines.iter().zip(&places).filter_map(writes_null).collect();
        let mut reader = Reader { with_null, ..Reader::default() };
        for ((number, line), (key, content)) in lines.into_iter().zip(places) {
            reader.read(number, line, key, content).map_err(misfit(number))?;
        }
        Ok(reader.builder.build())
    }
}

#[derive(Default)]
struct Reader {
    begun: BTreeMap<u16, Begun>,
    builder: HistoryBuilder,
    /// The keys to which `null` is written. Elsewhere a `null` that is read without a version means an absent key.
    with_null: BTreeSet<Key>,
    time: u64,
}

/// A line of a client, with what it is about.
struct Entry {
    number: usize,
    process: u64,
    client: u16,
    line: Line,
    key: Key,
    content: Content,
}

impl Reader {
    fn read(&mut self, number: usize, line: Line, key: Key, content: Content) -> Result<(), Misfit> {
        // Without a time, the order of the lines is all that is known.
        let time = line.time.and_then(|time| u64::try_from(time).ok()).unwrap_or(self.time);
        if time < self.time {
            return Err(Misfit::TimeGoesBack);
        }
        self.time = time;
        let Process::Client(process) = line.process else { return Ok(()) };
        let client = u16::try_from(process).map_err(|_| Misfit::ManyProcesses(process))?;
        let kind = line.r#type;
        let entry = Entry { number, process, client, line, key, content };
        match kind {
            Type::Invoke => self.invoke(entry),
            Type::Ok => self.complete(End::Ok, entry),
            Type::Fail => self.complete(End::Fail, entry),
            Type::Info => self.complete(End::Info, entry),
        }
    }

    fn invoke(&mut self, entry: Entry) -> Result<(), Misfit> {
        let Entry { number, process, client, line, key, content } = entry;
        if let Some(Begun { line: begun, .. }) = self.begun.get(&client) {
            return Err(Misfit::Busy { process, begun: *begun });
        }
        let target = line.node.unwrap_or(NodeId::FIRST_SERVER);
        if !target.is_node() {
            return Err(Misfit::NoNode(target));
        }
        let condition = line.if_version.map(Condition::Version);
        let (call, condition) = match (line.f, &content) {
            (Function::Read, _) if condition.is_some() => return Err(Misfit::IfVersion),
            (Function::Read, _) => (Call::get(key.clone()), None),
            (Function::Delete, _) => (Call::delete(key.clone()), condition),
            (Function::Write, Content::Value(value)) => (Call::set(key.clone(), value.clone()), condition),
            (Function::Write, _) => return Err(Misfit::NoValue),
            (Function::Cas, Content::Cas { .. }) if condition.is_some() => return Err(Misfit::IfVersion),
            (Function::Cas, Content::Cas { required, written }) => {
                (Call::set(key.clone(), written.clone()), Some(Condition::Value(required.clone())))
            }
            (Function::Cas, _) => return Err(Misfit::NoCasValue),
        };
        let call = condition.into_iter().fold(call.to(target), Call::condition);
        let call = line.request_id.into_iter().fold(call, Call::request);
        let call = line.min_version.into_iter().fold(call, Call::min_version);
        let operation = self.builder.invoke(Micros(self.time / 1000), client, call)?;
        self.begun.insert(client, Begun { line: number, operation, function: line.f, key, written: content });
        Ok(())
    }

    fn complete(&mut self, end: End, entry: Entry) -> Result<(), Misfit> {
        let Entry { process, client, line, key, content, .. } = entry;
        let function = line.f;
        let begun = self.begun.remove(&client).ok_or(Misfit::Idle { process })?;
        // A completion may leave out what was written.
        let is_same = function == Function::Read || content.is_null() || content == begun.written;
        if function != begun.function || key != begun.key || !is_same {
            return Err(Misfit::Another {
                process,
                what: What(function, &key, &content).to_string(),
                other: What(begun.function, &begun.key, &begun.written).to_string(),
                begun: begun.line,
            });
        }
        let versioned = |reply: Reply| line.version.into_iter().fold(reply, Reply::version);
        let is_read = function == Function::Read;
        let reply = match (end, content) {
            (End::Fail, _) => Reply::failed(),
            (End::Info, _) if is_read => Reply::unknown(),
            (End::Info, _) => versioned(Reply::unknown()),
            (End::Ok, _) if !is_read => versioned(Reply::ok()),
            (End::Ok, Content::Value(value)) if self.is_found(&key, &value, &line) => {
                versioned(Reply::ok().value(value))
            }
            (End::Ok, _) => Reply::absent(),
        };
        Ok(self.builder.complete(Micros(self.time / 1000), client, begun.operation, reply)?)
    }

    /// Whether a read found this value. A `null` stands for an absent key, unless it has a version or is written to the key.
    fn is_found(&self, key: &Key, value: &Value, line: &Line) -> bool {
        value.as_json() != "null" || line.version.is_some() || self.with_null.contains(key)
    }
}

/// How an operation ended.
#[derive(Clone, Copy)]
enum End {
    Ok,
    Fail,
    Info,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::history::{Kind, Moment, Operation};
    use crate::base::trace::Outcome;

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
            (
                &ok("add", "x", 5, 2000),
                "line 2: unknown variant `add`, expected one of `read`, `r`, `write`, `w`, `cas`",
            ),
            (&ok("cas", "x", 5, 2000), "line 2: process 0 ends a cas of x and had begun a write of x = 5 in line 1"),
            (&WRITE.replace("\"key\":\"x\",", ""), "line 2: key is missing; other lines have one"),
            (
                &WRITE.replace(":0,\"key", ":\"one\",\"key"),
                "line 2: invalid value: string \"one\", expected the number of a process",
            ),
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
            (WRITE.replace("write", "cas"), "line 1: a cas needs its value: [the value that it requires"),
            (
                WRITE.replace("write", "read").replace("\"index\":0", "\"if_version\":1"),
                "line 1: if_version belongs to",
            ),
            (WRITE.replace("\"index\":0", "\"min_version\":1"), "line 1: only a get has min_version"),
            (WRITE.replace("\"x\"", "\"\""), "line 1: a key must be 1 to 1024 bytes"),
            (WRITE.replace("\"x\"", "[1]"), "line 1: invalid type: sequence, expected a key: a text or a whole number"),
            ("{:type :invoke".to_owned(), "line 1: the line ends before '}'"),
        ] {
            let message = read(&[&line]).unwrap_err().to_string();
            assert!(message.starts_with(says), "{message}");
        }
    }

    /// The operations as `client kind key condition -> outcome`.
    fn shown(history: &History) -> Vec<String> {
        let show = |operation: &Operation| {
            let kind = match &operation.kind {
                Kind::Write(value) => format!("set {} = {value}", operation.key),
                Kind::Delete => format!("delete {}", operation.key),
                Kind::Read(None) => format!("get {}", operation.key),
                Kind::Read(Some(value)) => format!("get {} = {value}", operation.key),
            };
            let condition = operation.condition.as_ref().map(|condition| format!(" {condition}")).unwrap_or_default();
            format!("{} {kind}{condition} {:?}", operation.name(), operation.outcome)
        };
        history.operations.iter().map(show).collect()
    }

    /// The same history in the forms in which people keep it.
    #[test]
    fn a_history_is_read_in_each_of_its_forms() {
        let expected =
            ["c1#1 set 7 = 3 Ok", "c2#1 get 7 = 3 Ok", "c1#2 set 7 = 4 if the value is 3 Unknown", "c2#2 get 7 Ok"];
        let expected: Vec<String> = expected.iter().map(|text| text.replace("get 7 Ok", "get 7 Failed")).collect();
        let keyed = [
            r#"{"type":"invoke","f":"write","process":0,"key":7,"value":3}"#,
            r#"{"type":"info","f":"start","process":"nemesis","value":null}"#,
            r#"{"type":"invoke","f":"read","process":1,"key":7,"value":null}"#,
            r#"{"type":"ok","f":"write","process":0,"key":7,"value":3}"#,
            r#"{"type":"ok","f":"read","process":1,"key":7,"value":3}"#,
            r#"{"type":"invoke","f":"cas","process":0,"key":7,"value":[3,4]}"#,
            r#"{"type":"invoke","f":"read","process":1,"key":7,"value":null}"#,
            r#"{"type":"fail","f":"read","process":1,"key":7,"value":null}"#,
            r#"{"type":"info","f":"cas","process":0,"key":7,"value":[3, 4],"error":":timeout"}"#,
        ];
        assert_eq!(shown(&read(&keyed).unwrap()), expected);
        let times = (1..).zip(&keyed).map(|(at, line)| line.replace('}', &format!(",\"time\":{}}}", at * 1000)));
        let timed: Vec<String> = times.collect();
        let timed = read(&timed.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert_eq!(timed.operations[1].invoked, Moment { index: 1, at: Micros(3) });
        assert_eq!(shown(&timed), expected);
        let short = |line: &&str| {
            let line = line.replace("\"write\"", "\":w\"").replace("\"read\"", "\":r\"").replace("\"cas\"", "\":cas\"");
            line.replace(":\"i", ":\":i")
                .replace(":\"o", ":\":o")
                .replace(":\"fail", ":\":fail")
                .replace("\"nem", "\":nem")
        };
        let short: Vec<String> = keyed.iter().map(short).collect();
        assert_eq!(shown(&read(&short.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()), expected);
        let pairs = [
            r#"{"type":"invoke","f":"write","process":0,"value":[7,3]}"#,
            r#"{"type":"invoke","f":"read","process":1,"value":[7,null]}"#,
            r#"{"type":"ok","f":"write","process":0,"value":[7,3]}"#,
            r#"{"type":"ok","f":"read","process":1,"value":[7,3]}"#,
            r#"{"type":"invoke","f":"cas","process":0,"value":[7,[3,4]]}"#,
            r#"{"type":"invoke","f":"read","process":1,"value":[7,null]}"#,
            r#"{"type":"fail","f":"read","process":1,"value":[7,null]}"#,
            r#"{"type":"info","f":"cas","process":0,"value":[7,[3,4]]}"#,
        ];
        assert_eq!(shown(&read(&pairs).unwrap()), expected);
        let edn = [
            "{:type :invoke, :f :write, :value [7 3], :time 1000, :process 0, :index 0}",
            "{:type :info, :f :start-partition, :value {:n1 #{:n2}}, :time 1500, :process :nemesis}",
            "#jepsen.history.Op{:type :invoke, :f :read, :value [7 nil], :time 2000, :process 1}",
            "{:type :ok, :f :write, :value [7 3], :time 3000, :process 0}",
            "{:type :ok, :f :read, :value [7 3], :time 4000, :process 1}",
            "{:type :invoke, :f :cas, :value [7 [3 4]], :time 5000, :process 0}",
            "{:type :invoke, :f :read, :value [7 nil], :time 6000, :process 1}",
            "{:type :fail, :f :read, :value [7 nil], :time 7000, :process 1}",
            "{:type :info, :f :cas, :value [7 [3 4]], :error [:timeout \"read\"], :time 8000, :process 0}",
        ];
        assert_eq!(shown(&read(&edn).unwrap()), expected);
        let message =
            read(&[pairs[1], r#"{"type":"invoke","f":"write","process":0,"value":3}"#]).unwrap_err().to_string();
        assert_eq!(message, "line 2: the value must be a pair, [key, value], as in line 1");
    }

    #[test]
    fn a_history_of_one_register_has_no_keys() {
        let history = read(&[
            r#"{"type":"invoke","f":"read","process":0,"value":null}"#,
            r#"{"type":"invoke","f":"cas","process":1,"value":[1,2]}"#,
            r#"{"type":"ok","f":"read","process":0,"value":[1,2]}"#,
            r#"{"type":"fail","f":"cas","process":1,"value":[1,2]}"#,
            r#"{"type":"invoke","f":"write","process":1,"value":[3,4],"if_version":0,"request_id":"r"}"#,
        ]);
        let history = history.unwrap();
        let expected = [
            "c1#1 get register = [1,2] Ok",
            "c2#1 set register = 2 if the value is 1 Failed",
            "c2#2 set register = [3,4] if the key is absent Unknown",
        ];
        assert_eq!(shown(&history), expected);
        assert_eq!(history.operations[2].request.as_ref().map(ToString::to_string).as_deref(), Some("r"));
    }

    /// A `null` that a read found is an absent key, unless the key is given that value.
    #[test]
    fn null_is_a_value_where_it_is_written() {
        let reads = |write: &str| {
            let lines = [
                r#"{"type":"invoke","f":"read","process":0,"key":"x"}"#.to_owned(),
                r#"{"type":"ok","f":"read","process":0,"key":"x","value":null}"#.to_owned(),
                format!(r#"{{"type":"invoke","f":"write","process":0,"key":"x","value":{write}}}"#),
            ];
            shown(&read(&lines.each_ref().map(String::as_str)).unwrap()).swap_remove(0)
        };
        assert_eq!((reads("1"), reads("null")), ("c1#1 get x Absent".into(), "c1#1 get x = null Ok".into()));
    }
}
