use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model, Path};
use tokio::time::Instant;

use super::action::Action;
use super::model::{Exhaustive, condition};
use super::scope::{JUDGED, LOSABLE, Reduction, Scope};
use super::state::State;
use super::step::Step;
use crate::check::{Finding, Property, Verdict};
use crate::sim::shrink::Goal;

/// The most states that are kept to make what was found as short as can be.
const MOST_IN_BREADTH: usize = 4_000_000;
/// How often it is looked whether a bound has been reached.
const WATCH: Duration = Duration::from_millis(10);

/// Where a search ends that has not seen everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most states that are kept. A search may go over it by what it finds in 10 ms.
    pub states: usize,
    /// The most actions of a run. What happens at once besides, for it could at any time, is not counted.
    pub depth: Option<usize>,
    /// The longest time. To make what was found as short as can be may take as long again.
    pub time: Option<Duration>,
    /// Whether the first violation or loss ends it.
    pub first_violation: bool,
}

/// In which order a search visits states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Those after few actions first.
    BreadthFirst,
    /// One run to its end, then the next. Only what is left to be done on the way there is kept whole, so that a state takes a
    /// twentieth of the memory.
    DepthFirst,
}

/// What ended a search before it had seen everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// [`Bounds::states`]
    States,
    /// [`Bounds::depth`]
    Depth,
    /// [`Bounds::time`]
    Time,
    /// [`Bounds::first_violation`]
    FirstViolation,
    /// Whoever watched.
    Watcher,
}

/// How far a search has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// States that were come to, each as often as it was.
    pub generated: usize,
    /// Different ones among them.
    pub unique: usize,
    /// The most actions of a run so far.
    pub depth: usize,
    /// Since the beginning.
    pub time: Duration,
}

/// What a search found.
#[derive(Debug, Clone)]
pub struct Search {
    /// How far it came.
    pub progress: Progress,
    /// Whether any run came to rest, so that nothing was left to do: convergence is judged there only.
    pub rested: bool,
    /// What ended it; none if every state of the scope was seen.
    pub bound: Option<Bound>,
    /// A shortest run for each property that is violated, and then for each that is lost, in the order of [`Property::ALL`].
    pub counterexamples: Vec<Counterexample>,
}

/// A run that violates a property, or loses acknowledged data.
#[derive(Debug, Clone)]
pub struct Counterexample {
    /// The finding.
    pub goal: Goal,
    /// What happens, one after another.
    pub actions: Vec<Action>,
    /// The same in words, with what comes of it.
    pub steps: Vec<String>,
    /// What is wrong after the last step.
    pub evidence: String,
    /// Whether no run that violates the property is shorter. It need not be if a bound ended the search for it.
    pub is_shortest: bool,
}

/// A search that broke.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The state machines panicked, which is a finding in itself.
    #[error("the protocol panicked during the search: {0}")]
    Panicked(String),
    /// There is nothing to search with.
    #[error("threads = 0: a search needs at least one thread")]
    NoThreads,
}

impl Search {
    /// Whether every state of the scope was seen.
    pub fn is_exhausted(&self) -> bool {
        self.bound.is_none()
    }

    /// The run with this finding.
    pub fn of(&self, goal: Goal) -> Option<&Counterexample> {
        self.counterexamples.iter().find(|found| found.goal == goal)
    }

    /// The verdicts on every property, in the order of [`Property::ALL`].
    pub fn verdicts(&self) -> Vec<Verdict> {
        Property::ALL.map(|property| Verdict::new(property, self.finding(property))).into()
    }

    fn finding(&self, property: Property) -> Finding {
        let states = self.progress.unique;
        let evidence = |goal: Goal| {
            let shown = self.of(goal).map(|found| format!("after {} steps: {}", found.actions.len(), found.evidence));
            shown.into_iter().collect::<Vec<_>>()
        };
        let (violations, losses) = (evidence(Goal::Violates(property)), evidence(Goal::Loses(property)));
        let found = Verdict::against(property, violations, losses, String::new).finding;
        match Some(found).filter(|found| !matches!(found, Finding::Holds(_))) {
            Some(found) => found,
            None if !JUDGED.contains(&property) => {
                Finding::NotApplicable("is not searched for: it is counted, or about time".into())
            }
            None if !self.rested && matches!(property, Property::Convergence | Property::Liveness) => {
                Finding::NotApplicable("is judged where a run has come to rest, and none has in what was seen".into())
            }
            None if self.is_exhausted() => Finding::Holds(format!("in all {states} states")),
            None => Finding::Holds(format!("in the {states} states that were seen")),
        }
    }

    /// The properties that are violated.
    pub fn violated(&self) -> Vec<Property> {
        let violates = |found: &Counterexample| matches!(found.goal, Goal::Violates(_)).then(|| found.goal.property());
        self.counterexamples.iter().filter_map(violates).collect()
    }

    /// The properties whose acknowledged data is lost for a documented cause.
    pub fn lost(&self) -> Vec<Property> {
        let loses = |found: &Counterexample| matches!(found.goal, Goal::Loses(_)).then(|| found.goal.property());
        self.counterexamples.iter().filter_map(loses).collect()
    }
}

/// Visits every state of the scope in so many threads. `watch` is told how far it has come, some hundred times a second, and
/// ends the search by [`ControlFlow::Break`]. Together with [`Order::DepthFirst`], [`Bounds::depth`] leaves out states that are
/// near, where they were first come to by a long way.
///
/// # Errors
/// [`SearchError`].
pub fn search(
    scope: &Scope,
    bounds: Bounds,
    order: Order,
    threads: usize,
    mut watch: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Search, SearchError> {
    if threads == 0 {
        return Err(SearchError::NoThreads);
    }
    let finish = if bounds.first_violation { HasDiscoveries::AnyFailures } else { HasDiscoveries::All };
    let first = run(scope, bounds, (order, threads), finish, &mut watch)?;
    let mut shortest = Vec::new();
    let keeps_to_the_breadth = threads == 1 && order == Order::BreadthFirst && scope.reduction != Reduction::Prompt;
    if !keeps_to_the_breadth && !first.paths.is_empty() {
        // Several threads run ahead of one another, depth first is no order of lengths, and where something happens at once that need
        // not happen at all, a step holds several: so a shorter run may exist. One thread keeps to the breadth, and to a number of
        // states that memory has room for.
        let names = first.paths.iter().map(|(goal, _)| condition(*goal));
        let again = Bounds { states: bounds.states.min(MOST_IN_BREADTH), first_violation: false, ..bounds };
        let finish = HasDiscoveries::AllOf(BTreeSet::from_iter(names));
        shortest = run(&scope.clone().step_by_step(), again, (Order::BreadthFirst, 1), finish, &mut watch)?.paths;
    }
    let counterexample = |(goal, path): (Goal, Vec<Action>)| {
        let shorter = shortest.iter().find(|(other, _)| *other == goal).map(|(_, path)| path.clone());
        let is_shortest = keeps_to_the_breadth || shorter.is_some();
        tell(scope, goal, shorter.unwrap_or_else(|| each_step_of(scope, &path)), is_shortest)
    };
    let counterexamples = first.paths.into_iter().map(counterexample).collect();
    Ok(Search { progress: first.progress, rested: first.rested, bound: first.bound, counterexamples })
}

/// One pass over the states.
struct Pass {
    progress: Progress,
    rested: bool,
    bound: Option<Bound>,
    paths: Vec<(Goal, Vec<Action>)>,
}

fn run(
    scope: &Scope,
    bounds: Bounds,
    (order, threads): (Order, usize),
    finish: HasDiscoveries,
    watch: &mut impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Pass, SearchError> {
    let began = Instant::now();
    let mut builder = Exhaustive::new(scope.clone()).checker().threads(threads).finish_when(finish);
    if let Some(depth) = bounds.depth {
        // stateright counts states, and looks at none as deep as its target.
        builder = builder.target_max_depth(depth.saturating_add(2));
    }
    let mut checker: Box<dyn Checker<Exhaustive>> = match order {
        Order::BreadthFirst => Box::new(builder.spawn_bfs()),
        Order::DepthFirst => Box::new(builder.spawn_dfs()),
    };
    let handles = checker.handles();
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || {
        let results: Vec<_> = handles.into_iter().map(|handle| handle.join()).collect();
        let _ = sender.send(results);
    });
    let progress = |checker: &dyn Checker<Exhaustive>| Progress {
        generated: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth().saturating_sub(1),
        time: began.elapsed(),
    };
    let mut bound = None;
    let results = loop {
        let so_far = progress(&*checker);
        let goes_on = watch(so_far).is_continue();
        if bound.is_none() {
            bound = reached(bounds, so_far).or((!goes_on).then_some(Bound::Watcher));
            checker.model().stopped.store(bound.is_some(), Ordering::Relaxed);
        }
        match ended.recv_timeout(WATCH) {
            Ok(results) => break results,
            Err(RecvTimeoutError::Disconnected) => break Vec::new(),
            Err(RecvTimeoutError::Timeout) => {}
        }
    };
    for result in results {
        result.map_err(|panic| SearchError::Panicked(said(panic.as_ref())))?;
    }
    let reached = progress(&*checker);
    let rested = checker.model().rested.load(Ordering::Relaxed);
    // To tell a path, its steps are taken again.
    checker.model().stopped.store(false, Ordering::Relaxed);
    let found = checker.discoveries();
    let too_deep = bounds.depth.is_some_and(|depth| reached.depth > depth);
    let bound = bound
        .or((bounds.first_violation && !found.is_empty()).then_some(Bound::FirstViolation))
        .or(too_deep.then_some(Bound::Depth));
    let depth = bounds.depth.map_or(reached.depth, |depth| depth.min(reached.depth));
    let mut paths = Vec::new();
    for goal in JUDGED.map(Goal::Violates).into_iter().chain(LOSABLE.map(Goal::Loses)) {
        let path = found.get(condition(goal)).cloned().map(Path::into_actions);
        paths.extend(path.map(|path| (goal, path)));
    }
    Ok(Pass { progress: Progress { depth, ..reached }, rested, bound, paths })
}

fn reached(bounds: Bounds, progress: Progress) -> Option<Bound> {
    if progress.unique > bounds.states {
        return Some(Bound::States);
    }
    bounds.time.is_some_and(|time| progress.time >= time).then_some(Bound::Time)
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("nothing").to_owned()
}

/// A run with what happens at once in it as steps of their own.
fn each_step_of(scope: &Scope, run: &[Action]) -> Vec<Action> {
    let mut state = State::first(scope);
    let mut actions = Vec::new();
    for action in run {
        let mut step = Step::from(scope, &state, None);
        step.take(*action);
        actions.push(*action);
        actions.append(&mut step.prompted);
        state = step.state;
    }
    actions
}

fn tell(scope: &Scope, goal: Goal, actions: Vec<Action>, is_shortest: bool) -> Counterexample {
    let model = Exhaustive::new(scope.clone().step_by_step());
    let mut state = State::first(scope);
    let mut steps = Vec::new();
    let mut evidence = String::new();
    for action in &actions {
        let (next, tale) = model.told(&state, *action);
        let mut sentence = model.describe(*action);
        if !tale.clauses.is_empty() {
            sentence = format!("{sentence}: {}", tale.clauses.join("; "));
        }
        steps.push(sentence);
        if let Some((_, what)) = tale.evidence.into_iter().find(|(found, _)| *found == goal) {
            evidence = what;
        }
        state = next;
    }
    Counterexample { goal, actions, steps, evidence, is_shortest }
}
