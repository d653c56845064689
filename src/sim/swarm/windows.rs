use super::exercised::{Exercised, Kinds};
use crate::base::trace::Micros;
use crate::sim::scenario::{Fault, FaultKind};
use crate::sim::{ScenarioRun, Strike};

/// When which faults of a scenario are on, but for clients that hang up, which is over at once.
pub(super) struct Windows(Vec<Window>);

/// When a kind of fault was on.
struct Window {
    kind: Exercised,
    from: Micros,
    until: Micros,
}

impl Windows {
    pub(super) fn of(run: &ScenarioRun) -> Self {
        let begun: Vec<Begun<'_>> = run
            .scenario
            .faults
            .iter()
            .zip(&run.strikes)
            .filter_map(|(fault, strike)| Begun::of(fault, strike))
            .collect();
        let window = |one: &Begun<'_>| Window::of(one, &begun, run.scenario.cluster.link_ms);
        Self(begun.iter().filter_map(window).collect())
    }

    /// The kinds that are on at this time.
    pub(super) fn on(&self, at: Micros) -> Kinds {
        self.0.iter().filter(|window| (window.from..window.until).contains(&at)).map(|window| window.kind).collect()
    }
}

/// A fault, and when it begins.
struct Begun<'a> {
    fault: &'a Fault,
    at: Micros,
}

impl<'a> Begun<'a> {
    /// `None` for a fault that waits for an event that does not come.
    fn of(fault: &'a Fault, strike: &Strike) -> Option<Self> {
        let at = match (fault.when, strike) {
            (None, _) => Micros(fault.at_ms.saturating_mul(1000)),
            (Some(_), Strike::At(at)) => *at,
            (Some(_), Strike::Never(_)) => return None,
        };
        Some(Self { fault, at })
    }

    /// When it ends without another fault that ends it.
    fn until(&self) -> Option<Micros> {
        let after = self.fault.when.and_then(|when| when.for_ms).map(|for_ms| self.at.0 + for_ms * 1000);
        self.fault.until_ms.map(|ms| ms.saturating_mul(1000)).or(after).map(Micros)
    }
}

impl Window {
    /// When this one of the faults is on; `None` for what is none of its own but the end of another.
    fn of(one: &Begun<'_>, all: &[Begun<'_>], usual_latency_ms: u64) -> Option<Self> {
        let fault = one.fault;
        let kind = Exercised::of_fault(&fault.kind).filter(|kind| *kind != Exercised::Disconnect)?;
        match fault.kind {
            FaultKind::Slow { latency_ms, .. } if latency_ms == usual_latency_ms => return None,
            FaultKind::Clock { rate_per_mille: 1000, .. } => return None,
            FaultKind::Misdirect { follower, to } if follower == to => return None,
            _ => {}
        }
        let ends = |other: &&Begun<'_>| other.at > one.at && fault.kind.is_ended_by(&other.fault.kind);
        let until = one.until().or(all.iter().filter(ends).map(|other| other.at).min());
        Some(Self { kind, from: one.at, until: until.unwrap_or(Micros(u64::MAX)) })
    }
}
