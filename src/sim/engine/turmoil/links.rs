use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::NodeId;

/// What the faults that are on make of each link. turmoil knows one state for each direction, and the last word counts;
/// here every fault is counted, so that the end of one does not end another.
#[derive(Clone, Default)]
pub(super) struct Links {
    wanted: Arc<Mutex<BTreeMap<(NodeId, NodeId), Wanted>>>,
}

/// How many faults want what of the link between two nodes, of which `a` is the lesser.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Wanted {
    /// To lose what goes from `a` to `b`.
    cut_forth: u32,
    /// To lose what goes from `b` to `a`.
    cut_back: u32,
    /// To hold back what goes either way.
    held: u32,
}

impl Links {
    /// What goes from one node to another is lost, until as many calls of [`Links::mend`] have come.
    pub(super) fn cut(&self, from: NodeId, to: NodeId) {
        self.change(from, to, |wanted, forth| *wanted.cut(forth) += 1);
    }

    /// Takes one [`Links::cut`] back.
    pub(super) fn mend(&self, from: NodeId, to: NodeId) {
        self.change(from, to, |wanted, forth| *wanted.cut(forth) = wanted.cut(forth).saturating_sub(1));
    }

    /// What goes between two nodes is held back, until as many calls of [`Links::release`] have come.
    pub(super) fn hold(&self, a: NodeId, b: NodeId) {
        self.change(a, b, |wanted, _| wanted.held += 1);
    }

    /// Takes one [`Links::hold`] back.
    pub(super) fn release(&self, a: NodeId, b: NodeId) {
        self.change(a, b, |wanted, _| wanted.held = wanted.held.saturating_sub(1));
    }

    /// Takes everything back.
    pub(super) fn heal(&self, a: NodeId, b: NodeId) {
        self.change(a, b, |wanted, _| *wanted = Wanted::default());
    }

    fn change(&self, one: NodeId, other: NodeId, change: impl FnOnce(&mut Wanted, bool)) {
        let forth = one < other;
        let (a, b) = if forth { (one, other) } else { (other, one) };
        // Each change is complete before turmoil hears of it.
        let mut all = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = all.entry((a, b)).or_default();
        let before = *wanted;
        change(wanted, forth);
        apply(&a.to_string(), &b.to_string(), before, *wanted);
    }
}

impl Wanted {
    fn cut(&mut self, forth: bool) -> &mut u32 {
        if forth { &mut self.cut_forth } else { &mut self.cut_back }
    }
}

/// Brings turmoil's link from what was wanted to what is. A direction that is cut loses what is on its way, held or not.
fn apply(a: &str, b: &str, before: Wanted, now: Wanted) {
    let was = (before.cut_forth > 0, before.cut_back > 0, before.held > 0);
    let (forth, back, held) = (now.cut_forth > 0, now.cut_back > 0, now.held > 0);
    if was == (forth, back, held) {
        return;
    }
    match (was.2, held) {
        // Both directions are set at once; those that are cut are cut again below.
        (_, true) => turmoil::hold(a, b),
        (true, false) => turmoil::release(a, b),
        (false, false) => {
            if was.0 && !forth {
                turmoil::repair_oneway(a, b);
            }
            if was.1 && !back {
                turmoil::repair_oneway(b, a);
            }
        }
    }
    if forth {
        turmoil::partition_oneway(a, b);
    }
    if back {
        turmoil::partition_oneway(b, a);
    }
}
