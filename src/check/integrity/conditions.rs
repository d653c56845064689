//! Conditional writes in a trace: a leader accepts one only if its key has the required version then.

use crate::base::history::Condition;
use crate::base::trace::Event;
use crate::check::Facts;
use crate::check::evidence::At;
use crate::check::prepared::Prepared;
use crate::check::replay::{Held, Replay};

/// The conditional writes that were accepted though their condition did not hold, each as a sentence.
pub(super) fn broken(prepared: &Prepared<'_>, facts: &Facts) -> Vec<String> {
    let Prepared { run, keys, writes, .. } = prepared;
    if run.history.operations.iter().all(|operation| operation.condition.is_none()) {
        return Vec::new();
    }
    let mut replay = Replay::new(facts);
    let mut evidence = Vec::new();
    for (place, record) in prepared.deeds() {
        let before = replay.follow(keys, writes, place, record);
        let Event::Accept { write, .. } = &record.event else { continue };
        let Some(write) = writes.numbered(record.incarnation, *write) else { continue };
        let required = write.operation.and_then(|operation| match operation.condition {
            Some(Condition::Version(version)) => Some(version),
            Some(Condition::Value(_)) | None => None,
        });
        let version = before.map_or(0, version_of);
        if let Some(required) = required.filter(|required| *required != version) {
            let (node, at) = (record.node, At(record.at));
            let had = if version == 0 { "was absent".into() } else { format!("had version {version}") };
            let required = if required == 0 { "an absent key".into() } else { format!("version {required}") };
            evidence.push(format!("{node} accepted {write} at {at}, which required {required}, and the key {had}"));
        }
    }
    evidence
}

/// The version that a condition compares with: 0 for a deleted key.
fn version_of(held: Held<'_>) -> u64 {
    held.value.map_or(0, |_| held.stamp.version.get())
}

#[cfg(test)]
mod tests {
    use crate::base::NodeId;
    use crate::base::trace::{Event, Outcome};
    use crate::check::testing::{Story, c, key, value};

    /// c1 writes version 1, then c2 writes version 2 if the key has this version.
    fn conditional(required: u64) -> Story {
        let mut story = Story::new();
        story.at(1).invoke_set(c(1), 1, "k", "1").at(2).accept(1, "k", 1, "1");
        let (target, key, value) = (NodeId::FIRST_SERVER, key("k"), value("2"));
        let if_version = Some(required);
        let invoke = Event::InvokeSet { operation: 1, target, key, value, request_id: None, if_version };
        story.at(5).event(c(2), invoke).at(6).accept(2, "k", 2, "2").at(7).wrote(c(2), 1, Outcome::Ok, 2);
        story
    }

    #[test]
    fn a_conditional_write_needs_its_version() {
        let check = crate::check::integrity::check;
        conditional(1).holds(check);
        assert_eq!(
            conditional(2).evidence(check),
            ["n1 accepted k v2 (c2#1) at 6 ms, which required version 2, and the key had version 1"]
        );
        assert_eq!(
            conditional(0).evidence(check),
            ["n1 accepted k v2 (c2#1) at 6 ms, which required an absent key, and the key had version 1"]
        );
    }

    #[test]
    fn a_deleted_key_has_no_version() {
        let deleted = |required| {
            let mut story = Story::new();
            story.at(1).invoke_delete(c(1), 1, "k").at(2).accept_delete(1, "k", 1, (c(1), 1));
            let (target, key, value) = (NodeId::FIRST_SERVER, key("k"), value("2"));
            let if_version = Some(required);
            let invoke = Event::InvokeSet { operation: 1, target, key, value, request_id: None, if_version };
            story.at(5).event(c(2), invoke).at(6).accept(2, "k", 2, "2");
            story.verdict(crate::check::integrity::check).is_violated()
        };
        assert_eq!((deleted(0), deleted(1)), (false, true));
    }
}
