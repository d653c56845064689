//! Where lines have their keys: in a field of their own, as the first of a pair, or nowhere, where there is one register.

use serde_json::value::RawValue;

use super::Misfit;
use super::line::{Function, KeyName, Line, Type};
use crate::base::{Key, Value};

/// The key of a history of one register, whose lines name none.
const ONLY_KEY: &str = "register";

/// Where the lines of a history have their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// In the field `key`.
    Keyed,
    /// In the value, which is a pair `[key, value]`: Jepsen's independent keys. With the line of the first.
    Pairs(usize),
    /// Nowhere: there is one register.
    Register,
}

/// The value of a line, without its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    None,
    Value(Value),
    /// Of a compare-and-set.
    Cas {
        required: Value,
        written: Value,
    },
}

impl Content {
    /// Whether it says nothing.
    pub(super) fn is_null(&self) -> bool {
        match self {
            Self::None => true,
            Self::Value(value) => value.as_json() == "null",
            Self::Cas { .. } => false,
        }
    }
}

impl Shape {
    /// The shape of a history. The first read tells pairs from values that are arrays: without a pair, the value of its
    /// invocation is `null` or missing.
    pub(super) fn of(lines: &[(usize, Line)]) -> Self {
        if lines.iter().any(|(_, line)| line.key.is_some()) {
            return Self::Keyed;
        }
        let first = |wanted: &[Function]| {
            lines.iter().find(|(_, line)| matches!(line.r#type, Type::Invoke) && wanted.contains(&line.f))
        };
        let Some((number, line)) = first(&[Function::Read]).or_else(|| first(&[Function::Write, Function::Cas])) else {
            return Self::Register;
        };
        let pair = line.value.as_ref().and_then(pair);
        let is_pair = match (line.f, pair) {
            (_, None) => false,
            (Function::Cas, Some((_, second))) => self::pair(&second).is_some(),
            (Function::Read | Function::Write | Function::Delete, Some(_)) => true,
        };
        if is_pair { Self::Pairs(*number) } else { Self::Register }
    }

    /// The key of a line, and what else it says.
    pub(super) fn place(self, line: &Line) -> Result<(Key, Content), Misfit> {
        let (name, value) = match self {
            Self::Keyed => (line.key.clone().ok_or(Misfit::NoKey)?, line.value.clone()),
            Self::Register => (KeyName(ONLY_KEY.into()), line.value.clone()),
            Self::Pairs(first) => {
                let (key, value) = line.value.as_ref().and_then(pair).ok_or(Misfit::NoPair { first })?;
                let key = serde_json::from_str(key.as_json()).map_err(|_| Misfit::NoPair { first })?;
                (key, Some(value))
            }
        };
        let content = match (line.f, value) {
            (_, None) => Content::None,
            (Function::Cas, Some(value)) => match pair(&value) {
                Some((required, written)) => Content::Cas { required, written },
                None => Content::None,
            },
            (Function::Delete, Some(_)) => Content::None,
            (Function::Read | Function::Write, Some(value)) => Content::Value(value),
        };
        Ok((Key::new(&name.0)?, content))
    }
}

/// The two elements of an array of two.
fn pair(value: &Value) -> Option<(Value, Value)> {
    let [first, second]: [Box<RawValue>; 2] = serde_json::from_str(value.as_json()).ok()?;
    Some((Value::from_json(first.get()).ok()?, Value::from_json(second.get()).ok()?))
}
