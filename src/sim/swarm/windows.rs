use super::exercised::{Exercised, Kinds};
use crate::base::trace::Micros;
use crate::sim::scenario::{Fault, FaultKind, Scenario};

/// When which faults of a scenario are on, but for clients that hang up, which is over at once.
pub(super) struct Windows(Vec<Window>);

/// When a kind of fault was on.
struct Window {
    kind: Exercised,
    from: Micros,
    until: Micros,
}

impl Windows {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let faults = &scenario.faults;
        Self(faults.iter().filter_map(|fault| Window::of(fault, faults, scenario.cluster.link_ms)).collect())
    }

    /// The kinds that are on at this time.
    pub(super) fn on(&self, at: Micros) -> Kinds {
        self.0.iter().filter(|window| (window.from..window.until).contains(&at)).map(|window| window.kind).collect()
    }
}

impl Window {
    /// When this one of the faults is on; `None` for what is none of its own but the end of another.
    fn of(fault: &Fault, faults: &[Fault], usual_latency_ms: u64) -> Option<Self> {
        let kind = Exercised::of_fault(&fault.kind).filter(|kind| *kind != Exercised::Disconnect)?;
        match fault.kind {
            FaultKind::Slow { latency_ms, .. } if latency_ms == usual_latency_ms => return None,
            FaultKind::Clock { rate_per_mille: 1000, .. } => return None,
            FaultKind::Misdirect { follower, to } if follower == to => return None,
            _ => {}
        }
        let ended = faults.iter().filter(|other| other.at_ms > fault.at_ms && fault.kind.is_ended_by(&other.kind));
        let until = fault.until_ms.or(ended.map(|other| other.at_ms).min());
        let micros = |ms: u64| Micros(ms.saturating_mul(1000));
        Some(Self { kind, from: micros(fault.at_ms), until: micros(until.unwrap_or(u64::MAX)) })
    }
}
