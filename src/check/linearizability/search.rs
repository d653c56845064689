//! The search for an order of the operations on one key, for histories that say too little for a faster check: values
//! that several operations wrote without versions, versions that are missing, conditional writes.
//!
//! It is the search of Wing and Gong (*Testing and Verifying Concurrent Objects*, 1993) with Lowe's memory of visited
//! configurations (*Testing for Linearizability*, 2017): an operation can be the next to take effect if it was invoked
//! before the first return among the operations that remain, and a configuration (the set of operations that took
//! effect, and the state of the register) is explored once. The time can grow exponentially with the number of
//! concurrent operations, so the search has a budget and reports when it is used up.
//!
//! Four observations make it short without losing an order.
//!
//! - A read that is possible and teaches nothing new takes effect at once: it changes nothing, and any order in which it
//!   comes later stays valid if it moves here.
//! - An unconditional write of unknown outcome and version takes effect only directly before an operation that sees it.
//!   Otherwise it can be left out. Of several with the same content, the one that was invoked first is used first.
//! - Writes with known stamps take effect in the order of the stamps.
//! - Nothing that reads or requires a content needs a write of unknown outcome with another content, unless a condition
//!   names a version.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::xxh3_128;

use super::describe::describe;
use super::register::{ABSENT, Action, Content, NEVER, Register, Requirement, State, Step};
use crate::base::Stamp;
use crate::base::history::Moment;

/// What came of a search.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is an order.
    Order,
    /// There is none; the text says which operation no order can explain.
    NoOrder(String),
    /// The budget was used up before either was known.
    GaveUp,
}

/// The number of configurations that may still be explored.
#[derive(Debug)]
pub(super) struct Budget(pub(super) usize);

impl Budget {
    fn take(&mut self) -> bool {
        let is_left = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        is_left
    }
}

/// Searches for an order of the operations that begins with one of these states.
pub(super) fn search(register: &Register<'_>, beginnings: &[State], budget: &mut Budget) -> Found {
    let mut search = Search::of(register);
    for beginning in beginnings {
        match search.run(*beginning, budget) {
            Found::NoOrder(_) => {}
            found => return found,
        }
    }
    Found::NoOrder(search.explanation())
}

/// The states in which the key may have been before the history began: absent, or as a read found it that no completed
/// write precedes.
pub(super) fn beginnings(register: &Register<'_>) -> Vec<State> {
    let is_write = |step: &&Step<'_>| matches!(step.action, Action::Write { .. });
    let first_write = register.steps.iter().filter(is_write).map(|step| step.returned).min().unwrap_or(NEVER);
    let mut states = vec![State::EMPTY];
    for step in register.steps.iter().filter(|step| step.invoked() < first_write) {
        let state = match step.action {
            Action::Read { content, stamp } => State::holding(content, stamp),
            Action::Write { requires: Some(Requirement::Content(content) | Requirement::Null(content)), .. } => {
                State::holding(content, None)
            }
            Action::Write { requires: Some(Requirement::Version(version)), .. } if version > 0 => {
                // Some content that no operation has seen.
                State::holding(Content::MAX, None)
            }
            Action::Write { .. } => continue,
        };
        if !states.contains(&state) {
            states.push(state);
        }
    }
    states
}

/// Something that takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// The step at this place of `required`.
    Required(usize),
    /// The step at this place of `optional`.
    Optional(usize),
    /// The next unused write of unknown outcome with this content.
    Loose(Content),
}

/// A step of the search: an effect, perhaps directly after a write that it needs.
#[derive(Debug, Clone, Copy)]
struct Move {
    needs: Option<Content>,
    effect: Effect,
    after: State,
}

/// The moves that lead out of a configuration, of which some have been tried.
struct Frame {
    moves: Vec<Move>,
    tried: usize,
}

struct Search<'r, 'a> {
    register: &'r Register<'a>,
    /// The operations that returned with a result, in the order of their invocations.
    required: Vec<Step<'a>>,
    /// The writes of unknown outcome that have a stamp or a condition.
    optional: Vec<Step<'a>>,
    /// The other writes of unknown outcome: by content, the moments of their invocations in order.
    loose: BTreeMap<Content, Vec<Moment>>,
    /// The places in `required` of the operations with a stamp, in the order of the stamps; at the same stamp writes
    /// come first.
    stamped: Vec<usize>,
    /// The inverse of `stamped`; `usize::MAX` for an operation without a stamp.
    rank: Vec<usize>,
    configuration: Configuration,
    furthest: Furthest,
}

/// Which operations took effect.
struct Configuration {
    required: Vec<bool>,
    left: usize,
    /// Everything before this place of `required` took effect.
    low: usize,
    /// Everything before this place of `stamped` took effect.
    stamped: usize,
    optional: Vec<bool>,
    /// How many of each content.
    loose: BTreeMap<Content, usize>,
    fingerprint: u128,
}

/// The operation that held up the configurations that came furthest.
#[derive(Default)]
struct Furthest {
    returned: Option<Moment>,
    step: usize,
    contents: BTreeSet<Content>,
}

impl<'r, 'a> Search<'r, 'a> {
    fn of(register: &'r Register<'a>) -> Self {
        let observed = Observed::of(register);
        let (mut required, mut optional) = (Vec::new(), Vec::new());
        let mut loose: BTreeMap<Content, Vec<Moment>> = BTreeMap::new();
        for step in &register.steps {
            match step.action {
                _ if step.is_required() => required.push(*step),
                Action::Write { content, .. } if !observed.is_seen(content) => {}
                Action::Write { content, stamp: None, requires: None } => {
                    loose.entry(content).or_default().push(step.invoked());
                }
                Action::Write { .. } => optional.push(*step),
                Action::Read { .. } => {}
            }
        }
        let mut stamped: Vec<usize> = (0..required.len()).filter(|at| stamp(&required[*at]).is_some()).collect();
        stamped.sort_by_key(|at| (stamp(&required[*at]), matches!(required[*at].action, Action::Read { .. }), *at));
        let mut rank = vec![usize::MAX; required.len()];
        stamped.iter().enumerate().for_each(|(place, at)| rank[*at] = place);
        let configuration = Configuration {
            required: vec![false; required.len()],
            left: required.len(),
            low: 0,
            stamped: 0,
            optional: vec![false; optional.len()],
            loose: BTreeMap::new(),
            fingerprint: 0,
        };
        Self { register, required, optional, loose, stamped, rank, configuration, furthest: Furthest::default() }
    }

    /// Explores depth first. The configuration is as it was before if there is no order.
    fn run(&mut self, beginning: State, budget: &mut Budget) -> Found {
        if self.configuration.left == 0 {
            return Found::Order;
        }
        let mut visited = BTreeSet::new();
        let mut path: Vec<Move> = Vec::new();
        let mut frames = vec![Frame { moves: self.moves(beginning), tried: 0 }];
        while let Some(frame) = frames.last_mut() {
            let Some(next) = frame.moves.get(frame.tried).copied() else {
                frames.pop();
                if let Some(last) = path.pop() {
                    self.take_back(last);
                }
                continue;
            };
            frame.tried += 1;
            self.make(next);
            if self.configuration.left == 0 {
                return Found::Order;
            }
            if !visited.insert(self.configuration.fingerprint ^ mix([3, 0, 0, 0], &next.after.numbers())) {
                self.take_back(next);
                continue;
            }
            if !budget.take() {
                return Found::GaveUp;
            }
            path.push(next);
            let moves = self.moves(next.after);
            frames.push(Frame { moves, tried: 0 });
        }
        Found::NoOrder(String::new())
    }

    /// The moves that are possible in a state.
    fn moves(&mut self, state: State) -> Vec<Move> {
        let mut bound = NEVER;
        let mut holds_up = self.configuration.low;
        // In the order of their invocations, so none of them was invoked after the return of a later one.
        let mut candidates = Vec::new();
        for at in self.configuration.low..self.required.len() {
            let step = &self.required[at];
            if step.invoked() > bound {
                break;
            }
            if self.configuration.required[at] {
                continue;
            }
            candidates.push(at);
            if step.returned < bound {
                (bound, holds_up) = (step.returned, at);
            }
        }
        self.furthest.note(bound, holds_up, state.content);
        let mut moves = Vec::new();
        for at in candidates {
            let action = self.required[at].action;
            let effect = Effect::Required(at);
            if !self.keeps_the_order_of_stamps(action) {
                continue;
            }
            if let Some(after) = state.after(action) {
                let only = Move { needs: None, effect, after };
                if matches!(action, Action::Read { .. }) && after == state {
                    return vec![only];
                }
                moves.push(only);
            }
            self.add_moves_after_a_loose_write(&mut moves, state, action, effect, bound);
        }
        for at in 0..self.optional.len() {
            let step = &self.optional[at];
            if step.invoked() > bound {
                break;
            }
            if self.configuration.optional[at] || !self.keeps_the_order_of_stamps(step.action) {
                continue;
            }
            let (action, effect) = (step.action, Effect::Optional(at));
            moves.extend(state.after(action).map(|after| Move { needs: None, effect, after }));
            self.add_moves_after_a_loose_write(&mut moves, state, action, effect, bound);
        }
        moves.sort_by_key(|next| (next.needs.is_some(), self.returned(next.effect)));
        moves
    }

    fn add_moves_after_a_loose_write(
        &self,
        moves: &mut Vec<Move>,
        state: State,
        action: Action,
        effect: Effect,
        bound: Moment,
    ) {
        let mut add = |needs: Content| {
            let used = self.configuration.loose.get(&needs).copied().unwrap_or(0);
            let is_there = self.loose.get(&needs).and_then(|writes| writes.get(used)).is_some_and(|w| *w < bound);
            let write = Action::Write { content: needs, stamp: None, requires: None };
            if let Some(after) = is_there.then(|| state.after(write)?.after(action)).flatten() {
                moves.push(Move { needs: Some(needs), effect, after });
            }
        };
        match action {
            Action::Read { content, .. } => add(content),
            Action::Write { requires: None, .. } => {}
            Action::Write { requires: Some(requirement), .. } => match requirement {
                Requirement::Content(content) => add(content),
                Requirement::Null(null) => [ABSENT, null].into_iter().for_each(add),
                Requirement::Version(0) => add(ABSENT),
                Requirement::Version(_) => self.loose.keys().copied().for_each(add),
            },
        }
    }

    /// Whether no operation with a lower stamp remains.
    fn keeps_the_order_of_stamps(&self, action: Action) -> bool {
        let (Action::Write { stamp: Some(written), .. }, Some(least)) =
            (action, self.stamped.get(self.configuration.stamped))
        else {
            return true;
        };
        stamp(&self.required[*least]).is_none_or(|least| written <= least)
    }

    fn returned(&self, effect: Effect) -> Moment {
        match effect {
            Effect::Required(at) => self.required[at].returned,
            Effect::Optional(_) | Effect::Loose(_) => NEVER,
        }
    }

    fn make(&mut self, next: Move) {
        if let Some(content) = next.needs {
            self.set(Effect::Loose(content), true);
        }
        self.set(next.effect, true);
    }

    fn take_back(&mut self, last: Move) {
        self.set(last.effect, false);
        if let Some(content) = last.needs {
            self.set(Effect::Loose(content), false);
        }
    }

    /// Notes that something took effect, or that it did not after all.
    fn set(&mut self, effect: Effect, took_effect: bool) {
        let configuration = &mut self.configuration;
        let numbers = match effect {
            Effect::Required(at) => {
                configuration.required[at] = took_effect;
                if took_effect {
                    configuration.left -= 1;
                } else {
                    configuration.left += 1;
                    configuration.low = configuration.low.min(at);
                    configuration.stamped = configuration.stamped.min(self.rank[at]);
                }
                let is_done = |place: &usize| configuration.required.get(*place) == Some(&true);
                configuration.low += (configuration.low..).take_while(is_done).count();
                let is_done = |at: &&usize| configuration.required[**at];
                configuration.stamped += self.stamped[configuration.stamped..].iter().take_while(is_done).count();
                [0, at as u64, 0, 0]
            }
            Effect::Optional(at) => {
                configuration.optional[at] = took_effect;
                [1, at as u64, 0, 0]
            }
            Effect::Loose(content) => {
                let used = configuration.loose.entry(content).or_default();
                let which = if took_effect { *used } else { *used - 1 };
                *used = if took_effect { *used + 1 } else { which };
                [2, content.into(), which as u64, 0]
            }
        };
        configuration.fingerprint ^= mix(numbers, &[0; 4]);
    }

    /// Why there is no order.
    fn explanation(&self) -> String {
        let Some(step) = self.required.get(self.furthest.step) else { return String::new() };
        let key = &step.operation.key;
        let contents = self.furthest.contents.iter();
        let contents: Vec<String> = contents
            .map(|content| match *content {
                ABSENT => "absent".into(),
                Content::MAX => "what it was before the history".into(),
                content => format!("= {}", self.register.text(content)),
            })
            .collect();
        format!(
            "{}, but no order of the operations up to then allows that: {key} can only be {}",
            describe(step.operation),
            contents.join(" or ")
        )
    }
}

impl Furthest {
    fn note(&mut self, bound: Moment, step: usize, content: Content) {
        if self.returned.is_none_or(|returned| returned < bound) {
            *self = Self { returned: Some(bound), step, contents: BTreeSet::from([content]) };
        } else if self.returned == Some(bound) {
            self.contents.insert(content);
        }
    }
}

fn stamp(step: &Step<'_>) -> Option<Stamp> {
    match step.action {
        Action::Read { stamp, .. } | Action::Write { stamp, .. } => stamp,
    }
}

/// A number that stands for these numbers.
fn mix(kind: [u64; 4], numbers: &[u64; 4]) -> u128 {
    xxh3_128([kind, *numbers].map(|numbers| numbers.map(u64::to_le_bytes)).as_flattened().as_flattened())
}

/// The contents that some operation reads or requires.
struct Observed {
    contents: Vec<bool>,
    /// Whether a condition names a version, which a write with any content can have.
    has_versions: bool,
}

impl Observed {
    fn of(register: &Register<'_>) -> Self {
        let mut observed = Self { contents: vec![false; register.contents()], has_versions: false };
        for step in &register.steps {
            match step.action {
                Action::Read { content, .. } => observed.see(content),
                Action::Write { requires: None, .. } => {}
                Action::Write { requires: Some(requirement), .. } => match requirement {
                    Requirement::Content(content) => observed.see(content),
                    Requirement::Null(null) => [ABSENT, null].into_iter().for_each(|content| observed.see(content)),
                    Requirement::Version(0) => observed.see(ABSENT),
                    Requirement::Version(_) => observed.has_versions = true,
                },
            }
        }
        observed
    }

    fn see(&mut self, content: Content) {
        self.contents[content as usize] = true;
    }

    fn is_seen(&self, content: Content) -> bool {
        self.has_versions || self.contents[content as usize]
    }
}
