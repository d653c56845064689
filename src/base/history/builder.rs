use std::collections::BTreeMap;

use super::{Condition, History, Kind, Moment, Operation};
use crate::base::consistency::{Told, returns_as_it_can};
use crate::base::trace::{Micros, OperationId, Outcome};
use crate::base::{Key, NodeId, ReadMode, RequestName, Stamp, Value, Version};

/// Builds a [`History`] from invocations and returns, in the order in which they happened.
///
/// ```
/// use semisync::base::history::{Call, HistoryBuilder, Reply};
/// use semisync::base::trace::Micros;
/// use semisync::base::{Key, Value, Version};
/// use semisync::check::{Property, Recorded, check};
///
/// let key = Key::new("x")?;
/// let mut builder = HistoryBuilder::new();
/// let write = builder.invoke(Micros(1000), 0, Call::set(key.clone(), Value::from_json("1")?))?;
/// builder.complete(Micros(3000), 0, write, Reply::ok().version(Version::FIRST))?;
/// let read = builder.invoke(Micros(4000), 1, Call::get(key))?;
/// builder.complete(Micros(5000), 1, read, Reply::absent())?;
/// let history = builder.build();
/// assert!(check(Property::Linearizability, &Recorded::of_clients(&history)).is_violated());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct HistoryBuilder {
    operations: Vec<Operation>,
    places: BTreeMap<(NodeId, OperationId), usize>,
    /// How many operations each client has begun.
    begun: BTreeMap<NodeId, OperationId>,
    /// How many invocations and returns there are.
    moments: usize,
    at: Micros,
}

/// Why a call or its return cannot be part of a history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Invocations and returns are added in the order in which they happened.
    #[error("{at} µs is before {before} µs, the time of the call or return before")]
    TimeGoesBack {
        /// The time, in microseconds.
        at: u64,
        /// The time of the one before.
        before: u64,
    },
    /// A client or the network is called.
    #[error("{0} is not a node that answers; nodes are called n1, n2, … and f1, f2, …")]
    NotANode(NodeId),
    /// The call has an option that its kind does not have.
    #[error("{0}")]
    Option(&'static str),
    /// The operation was not invoked.
    #[error("{client}#{operation} was not invoked")]
    NotInvoked {
        /// The client.
        client: NodeId,
        /// The number of the operation.
        operation: OperationId,
    },
    /// The operation has returned already.
    #[error("{client}#{operation} has returned already")]
    Returned {
        /// The client.
        client: NodeId,
        /// The number of the operation.
        operation: OperationId,
    },
    /// The operation cannot return like this.
    #[error("{client}#{operation}: {problem}")]
    Reply {
        /// The client.
        client: NodeId,
        /// The number of the operation.
        operation: OperationId,
        /// What is wrong.
        problem: &'static str,
    },
}

/// A call of a client to a node. It goes to the leader unless [`Call::to`] names another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    target: NodeId,
    key: Key,
    kind: Kind,
    mode: ReadMode,
    request: Option<RequestName>,
    condition: Option<Condition>,
    min_version: Option<Version>,
}

impl Call {
    /// Sets a key to a value.
    pub fn set(key: Key, value: Value) -> Self {
        Self::of(key, Kind::Write(value), ReadMode::Local)
    }

    /// Deletes a key.
    pub fn delete(key: Key) -> Self {
        Self::of(key, Kind::Delete, ReadMode::Local)
    }

    /// Reads a key, linearizably unless [`Call::mode`] says otherwise.
    pub fn get(key: Key) -> Self {
        Self::of(key, Kind::Read(None), ReadMode::Linearizable)
    }

    fn of(key: Key, kind: Kind, mode: ReadMode) -> Self {
        Self { target: NodeId::FIRST_SERVER, key, kind, mode, request: None, condition: None, min_version: None }
    }

    /// The node that is called.
    #[must_use]
    pub fn to(self, target: NodeId) -> Self {
        Self { target, ..self }
    }

    /// The mode of a read.
    #[must_use]
    pub fn mode(self, mode: ReadMode) -> Self {
        Self { mode, ..self }
    }

    /// The idempotency key of a write.
    #[must_use]
    pub fn request(self, request: RequestName) -> Self {
        Self { request: Some(request), ..self }
    }

    /// The state of the key that a write requires.
    #[must_use]
    pub fn condition(self, condition: Condition) -> Self {
        Self { condition: Some(condition), ..self }
    }

    /// The lowest version that a read accepts.
    #[must_use]
    pub fn min_version(self, version: Version) -> Self {
        Self { min_version: Some(version), ..self }
    }

    /// Refuses options that the kind of the call does not have.
    fn require_options(&self) -> Result<(), BuildError> {
        let is_read = matches!(self.kind, Kind::Read(_));
        let problem = match () {
            () if !self.target.is_node() => return Err(BuildError::NotANode(self.target)),
            () if is_read && self.request.is_some() => "a get has no request_id",
            () if is_read && self.condition.is_some() => "a get has no condition; only a set or a delete has",
            () if !is_read && self.min_version.is_some() => "only a get has min_version",
            () if !is_read && self.mode != ReadMode::Local => "only a get has a mode",
            () => return Ok(()),
        };
        Err(BuildError::Option(problem))
    }
}

/// The end of a call, as its client learned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    outcome: Outcome,
    stamp: Option<Stamp>,
    value: Option<Value>,
    confirmed: Option<(usize, usize)>,
}

impl Reply {
    /// The call took effect. A read needs the value that it found.
    pub fn ok() -> Self {
        Self::of(Outcome::Ok)
    }

    /// A read found no value.
    pub fn absent() -> Self {
        Self::of(Outcome::Absent)
    }

    /// The call was refused and has no effect.
    pub fn failed() -> Self {
        Self::of(Outcome::Failed)
    }

    /// The call may have taken effect, or may take effect later.
    pub fn unknown() -> Self {
        Self::of(Outcome::Unknown)
    }

    fn of(outcome: Outcome) -> Self {
        Self { outcome, stamp: None, value: None, confirmed: None }
    }

    /// The value that a read found.
    #[must_use]
    pub fn value(self, value: Value) -> Self {
        Self { value: Some(value), ..self }
    }

    /// The version that was written or found, in the first epoch.
    #[must_use]
    pub fn version(self, version: Version) -> Self {
        self.stamp(Stamp::of_version(version))
    }

    /// The stamp that was written or found.
    #[must_use]
    pub fn stamp(self, stamp: Stamp) -> Self {
        Self { stamp: Some(stamp), ..self }
    }

    /// The confirmations that the answer to a write told, and how many it said were required.
    #[must_use]
    pub fn confirmed(self, confirmations: usize, required: usize) -> Self {
        Self { confirmed: Some((confirmations, required)), ..self }
    }
}

impl HistoryBuilder {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a call of a client, counted from 0, at a time that is not before that of the last addition. Returns the number of
    /// the operation among those of the client.
    ///
    /// # Errors
    /// [`BuildError`], without any effect.
    pub fn invoke(&mut self, at: Micros, client: u16, call: Call) -> Result<OperationId, BuildError> {
        call.require_options()?;
        let invoked = self.moment(at)?;
        let client = NodeId::Client(client);
        let begun = self.begun.entry(client).or_default();
        *begun += 1;
        let number = *begun;
        let Call { target, key, kind, mode, request, condition, min_version } = call;
        self.places.insert((client, number), self.operations.len());
        self.operations.push(Operation {
            client,
            number,
            target,
            key,
            kind,
            mode,
            invoked,
            returned: None,
            outcome: Outcome::Unknown,
            stamp: None,
            confirmed: None,
            request,
            condition,
            min_version,
        });
        Ok(number)
    }

    /// Adds the return of an operation.
    ///
    /// # Errors
    /// [`BuildError`], without any effect.
    pub fn complete(
        &mut self,
        at: Micros,
        client: u16,
        operation: OperationId,
        reply: Reply,
    ) -> Result<(), BuildError> {
        let client = NodeId::Client(client);
        let place = self.places.get(&(client, operation)).copied();
        let place = place.ok_or(BuildError::NotInvoked { client, operation })?;
        if self.operations[place].returned.is_some() {
            return Err(BuildError::Returned { client, operation });
        }
        let Reply { outcome, stamp, value, confirmed } = reply;
        let is_write = self.operations[place].is_write();
        let told =
            Told { has_value: value.is_some(), has_stamp: stamp.is_some(), has_confirmations: confirmed.is_some() };
        returns_as_it_can(!is_write, outcome, told).map_err(|problem| BuildError::Reply {
            client,
            operation,
            problem,
        })?;
        let returned = self.moment(at)?;
        let completed = &mut self.operations[place];
        (completed.returned, completed.outcome) = (Some(returned), outcome);
        (completed.stamp, completed.confirmed) = (stamp, confirmed);
        if let Kind::Read(found) = &mut completed.kind {
            *found = value;
        }
        Ok(())
    }

    /// The history of everything that was added. Operations without a return have the outcome
    /// [`Unknown`](Outcome::Unknown).
    pub fn build(self) -> History {
        History { operations: self.operations }
    }

    fn moment(&mut self, at: Micros) -> Result<Moment, BuildError> {
        if at < self.at {
            return Err(BuildError::TimeGoesBack { at: at.0, before: self.at.0 });
        }
        self.at = at;
        let index = self.moments;
        self.moments += 1;
        Ok(Moment { index, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("x").unwrap()
    }

    fn value() -> Value {
        Value::from_json("1").unwrap()
    }

    #[test]
    fn a_history_is_built_as_it_is_read() {
        let mut builder = HistoryBuilder::new();
        let request = RequestName::new("r").unwrap();
        let call = Call::set(key(), value()).request(request).condition(Condition::Version(0));
        let set = builder.invoke(Micros(1), 0, call).unwrap();
        let get = Call::get(key()).to("f2".parse().unwrap()).mode(ReadMode::Local).min_version(Version::FIRST);
        let get = builder.invoke(Micros(1), 1, get).unwrap();
        builder.complete(Micros(3), 0, set, Reply::ok().version(Version::FIRST).confirmed(2, 2)).unwrap();
        builder.complete(Micros(4), 1, get, Reply::ok().version(Version::FIRST).value(value())).unwrap();
        let delete = builder.invoke(Micros(5), 0, Call::delete(key())).unwrap();
        assert_eq!((set, get, delete), (1, 1, 2));
        let history = builder.build();
        let mut file = Vec::new();
        history.write_json_lines(&mut file).unwrap();
        assert_eq!(History::read_json_lines(file.as_slice()).unwrap(), history);
        insta::assert_snapshot!(String::from_utf8(file).unwrap());
    }

    #[test]
    fn what_cannot_be_is_refused_without_effect() {
        let mut builder = HistoryBuilder::new();
        let set = builder.invoke(Micros(5), 0, Call::set(key(), value())).unwrap();
        let get = builder.invoke(Micros(5), 0, Call::get(key())).unwrap();
        let before = builder.clone().build();
        let request = || RequestName::new("r").unwrap();
        for (call, says) in [
            (Call::get(key()).to(NodeId::Network), "network is not a node that answers"),
            (Call::get(key()).request(request()), "a get has no request_id"),
            (Call::get(key()).condition(Condition::Version(1)), "a get has no condition"),
            (Call::delete(key()).min_version(Version::FIRST), "only a get has min_version"),
            (Call::delete(key()).mode(ReadMode::Committed), "only a get has a mode"),
        ] {
            let message = builder.invoke(Micros(6), 0, call).unwrap_err().to_string();
            assert!(message.starts_with(says), "{message}");
        }
        let message = builder.invoke(Micros(4), 0, Call::get(key())).unwrap_err().to_string();
        assert_eq!(message, "4 µs is before 5 µs, the time of the call or return before");
        for (operation, reply, says) in [
            (3, Reply::ok(), "c1#3 was not invoked"),
            (set, Reply::absent(), "c1#1: only a get can have the outcome absent"),
            (set, Reply::ok().value(value()), "c1#1: a write returns no value"),
            (set, Reply::failed().version(Version::FIRST), "c1#1: a refused write has no stamp"),
            (get, Reply::ok(), "c1#2: a get with the outcome ok needs the value"),
            (get, Reply::absent().value(value()), "c1#2: only a get with the outcome ok has a value"),
            (get, Reply::unknown().confirmed(1, 1), "c1#2: a get has no confirmations"),
        ] {
            let message = builder.complete(Micros(6), 0, operation, reply).unwrap_err().to_string();
            assert!(message.starts_with(says), "{message}");
        }
        assert_eq!(builder.clone().build(), before);
        builder.complete(Micros(6), 0, get, Reply::absent()).unwrap();
        let message = builder.complete(Micros(6), 0, get, Reply::absent()).unwrap_err().to_string();
        assert_eq!(message, "c1#2 has returned already");
    }
}
