//! A key as an abstract register: the operations on it and the states that they lead to.

use std::collections::BTreeMap;

use crate::base::history::{Condition, Kind, Moment, Operation};
use crate::base::trace::{Micros, Outcome};
use crate::base::{Epoch, Stamp, Version};

/// A content of the key, by number: 0 is "absent", any other number is a value.
pub(super) type Content = u32;

/// The key does not exist.
pub(super) const ABSENT: Content = 0;

/// A moment after every other.
pub(super) const NEVER: Moment = Moment { index: usize::MAX, at: Micros(u64::MAX) };

/// What one operation does to the register.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    /// It finds this content, and with it this stamp if the client learned one.
    Read { content: Content, stamp: Option<Stamp> },
    /// It stores this content, under this stamp if the client learned one.
    Write { content: Content, stamp: Option<Stamp>, requires: Option<Requirement> },
}

/// What a conditional write requires of the state before it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Requirement {
    /// The key has this version; 0 for an absent key.
    Version(u64),
    /// The key has this content.
    Content(Content),
    /// The key is absent, or holds a stored `null`.
    Null(Content),
}

/// An operation that took effect, or may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) operation: &'a Operation,
    pub(super) action: Action,
    /// When it returned with its result; [`NEVER`] if its outcome is unknown, so that it may take effect at any time
    /// or not at all.
    pub(super) returned: Moment,
}

impl Step<'_> {
    pub(super) fn invoked(&self) -> Moment {
        self.operation.invoked
    }

    pub(super) fn is_required(&self) -> bool {
        self.returned != NEVER
    }
}

/// The operations on one key, with their contents numbered.
#[derive(Debug)]
pub(super) struct Register<'a> {
    /// In the order of their invocations.
    pub(super) steps: Vec<Step<'a>>,
    texts: Vec<&'a str>,
}

impl<'a> Register<'a> {
    /// Operations that were refused, and reads without an answer, say nothing and are left out.
    pub(super) fn of(operations: &[&'a Operation]) -> Self {
        let mut contents = Contents::default();
        let mut steps: Vec<Step<'_>> = operations
            .iter()
            .filter_map(|operation| {
                let action = contents.action(operation)?;
                let returned = operation.returned.filter(|_| operation.outcome != Outcome::Unknown);
                Some(Step { operation, action, returned: returned.unwrap_or(NEVER) })
            })
            .collect();
        steps.sort_by_key(Step::invoked);
        Self { steps, texts: contents.texts }
    }

    /// How many operations took effect, or may have with an effect that another operation shows.
    pub(super) fn telling(&self) -> usize {
        let mut is_seen = vec![false; self.contents()];
        for step in &self.steps {
            match step.action {
                Action::Read { content, .. } => is_seen[content as usize] = true,
                Action::Write { requires: Some(Requirement::Content(content)), .. } => is_seen[content as usize] = true,
                Action::Write { .. } => {}
            }
        }
        let tells = |step: &&Step<'_>| match step.action {
            Action::Read { .. } => true,
            Action::Write { content, .. } => step.is_required() || is_seen[content as usize],
        };
        self.steps.iter().filter(tells).count()
    }

    /// The number of contents, [`ABSENT`] among them.
    pub(super) fn contents(&self) -> usize {
        self.texts.len() + 1
    }

    /// The content in words: `1`, or `absent`.
    pub(super) fn text(&self, content: Content) -> &'a str {
        match content.checked_sub(1) {
            None => "absent",
            Some(place) => self.texts[place as usize],
        }
    }
}

/// Numbers contents.
#[derive(Default)]
struct Contents<'a> {
    numbers: BTreeMap<&'a str, Content>,
    texts: Vec<&'a str>,
}

impl<'a> Contents<'a> {
    fn number(&mut self, text: &'a str) -> Content {
        let next = u32::try_from(self.texts.len() + 1).expect("a history has fewer operations");
        *self.numbers.entry(text).or_insert_with(|| {
            self.texts.push(text);
            next
        })
    }

    /// `None` for an operation that says nothing about the register.
    fn action(&mut self, operation: &'a Operation) -> Option<Action> {
        let stamp = operation.stamp;
        let content = match (&operation.kind, operation.outcome) {
            (Kind::Read(Some(value)), Outcome::Ok) => {
                return Some(Action::Read { content: self.number(value.as_json()), stamp });
            }
            (Kind::Read(_), Outcome::Absent) => return Some(Action::Read { content: ABSENT, stamp: None }),
            (Kind::Read(_), Outcome::Ok | Outcome::Failed | Outcome::Unknown) => return None,
            (Kind::Write(_) | Kind::Delete, Outcome::Failed | Outcome::Absent) => return None,
            (Kind::Write(value), Outcome::Ok | Outcome::Unknown) => self.number(value.as_json()),
            (Kind::Delete, Outcome::Ok | Outcome::Unknown) => ABSENT,
        };
        let requires = operation.condition.as_ref().map(|condition| match condition {
            Condition::Version(version) => Requirement::Version(*version),
            Condition::Value(value) if value.as_json() == "null" => Requirement::Null(self.number("null")),
            Condition::Value(value) => Requirement::Content(self.number(value.as_json())),
        });
        Some(Action::Write { content, stamp, requires })
    }
}

/// What is known of the register between two operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) content: Content,
    /// The last stamp that is known. `None` before any.
    stamp: Option<Stamp>,
    /// How many writes of unknown stamps came since. Each has taken one version at least.
    since: u64,
}

impl State {
    /// An absent key that was never written, as far as is known.
    pub(super) const EMPTY: Self = Self { content: ABSENT, stamp: None, since: 0 };

    /// A key that has this content, with this stamp if one is known.
    pub(super) fn holding(content: Content, stamp: Option<Stamp>) -> Self {
        Self { content, stamp, since: u64::from(stamp.is_none()) }
    }

    /// As numbers, for a fingerprint.
    pub(super) fn numbers(&self) -> [u64; 4] {
        let (epoch, version) = self.stamp.map_or((0, 0), |stamp| (stamp.epoch.get(), stamp.version.get()));
        [self.content.into(), epoch, version, self.since]
    }

    /// The state after an action; `None` if the action is impossible in this state.
    pub(super) fn after(&self, action: Action) -> Option<Self> {
        match action {
            Action::Read { content, stamp } => {
                let same = *self;
                match (content == self.content, stamp) {
                    (false, _) => None,
                    (true, None) => Some(same),
                    (true, Some(stamp)) => self.with_stamp(stamp),
                }
            }
            Action::Write { content, stamp, requires } => {
                let before = match requires {
                    None => *self,
                    Some(requirement) => self.meeting(requirement)?,
                };
                match stamp {
                    None => Some(Self { content, since: before.since + 1, ..before }),
                    Some(stamp) => before.is_below(stamp, 1).then_some(Self { content, stamp: Some(stamp), since: 0 }),
                }
            }
        }
    }

    /// Whether `stamp` leaves room for the writes since the last known stamp, and for `more` after them.
    fn is_below(&self, stamp: Stamp, more: u64) -> bool {
        let taken = self.since + more;
        match self.stamp {
            Some(last) if last.epoch == stamp.epoch => stamp.version.get() >= last.version.get() + taken,
            Some(last) => last.epoch < stamp.epoch,
            None => stamp.version.get() >= taken,
        }
    }

    /// The same state, where its stamp is seen to be this one.
    fn with_stamp(&self, stamp: Stamp) -> Option<Self> {
        let is_it = match self.stamp {
            // A leader that recovers a write gives it its own epoch.
            Some(last) if self.since == 0 => last.version == stamp.version && last.epoch <= stamp.epoch,
            None if self.since == 0 => true,
            Some(_) | None => self.is_below(stamp, 0),
        };
        is_it.then_some(Self { stamp: Some(stamp), since: 0, ..*self })
    }

    /// The same state, where it is seen to meet a requirement.
    fn meeting(&self, requirement: Requirement) -> Option<Self> {
        match requirement {
            Requirement::Version(0) => (self.content == ABSENT).then_some(*self),
            Requirement::Version(_) if self.content == ABSENT => None,
            Requirement::Version(version) => {
                let epoch = self.stamp.map_or(Epoch::FIRST, |stamp| stamp.epoch);
                self.with_stamp(Stamp { epoch, version: Version::new(version).ok()? })
            }
            Requirement::Content(content) => (self.content == content).then_some(*self),
            Requirement::Null(null) => (self.content == ABSENT || self.content == null).then_some(*self),
        }
    }
}
