use super::action::{Action, Fate, Parcel};
use super::model::Exhaustive;
use crate::base::NodeId;
use crate::sim::scenario::PlannedKind;

impl Exhaustive {
    /// What happens, in words.
    pub fn describe(&self, action: Action) -> String {
        match action {
            Action::Invoke(operation) => {
                let (name, key) = (self.name(operation), &self.scope.keys[self.scope.operations[operation].key]);
                match self.scope.operations[operation].kind {
                    PlannedKind::Set => format!("{name} writes {key}"),
                    PlannedKind::Delete => format!("{name} deletes {key}"),
                    PlannedKind::Get { from, .. } => format!("{name} reads {key} at {}", node(from.with_one_leader())),
                }
            }
            Action::Arrive(parcel) => format!("{} arrives", self.message(parcel)),
            Action::Answer(parcel) => format!("{} reaches the leader", self.answer(parcel)),
            Action::GiveUp(parcel) => format!("the leader stops waiting for {}", self.answer(parcel)),
            Action::Strike(Fate::Drop(_), parcel) => format!("{} is lost", self.message(parcel)),
            Action::Strike(Fate::DropReply(_), parcel) => format!("{} is lost", self.answer(parcel)),
            Action::Strike(Fate::Duplicate(_), parcel) => format!("{} is duplicated", self.message(parcel)),
            Action::Strike(Fate::Late(_), parcel) => format!("{} is late", self.message(parcel)),
            Action::Deadline => "the deadline of the oldest write that waits passes".into(),
            Action::Resend(to) => format!("the pause before resends to {to} is over"),
            Action::Ask(to) => format!("it is time to ask {to} something"),
            Action::Question(to) => format!("the leader's question reaches {to}"),
            Action::Heard(from) => format!("{from}'s answer reaches the leader"),
            Action::Unheard(to) => format!("the leader stops waiting for what {to} says"),
            Action::Stray(to, _) => format!("a question of an earlier leader reaches {to}"),
            Action::Crash(crashed) => format!("{} crashes", node(crashed)),
            Action::Restart(started) => format!("{} is started again, empty", node(started)),
        }
    }

    /// `c1#1`
    pub(super) fn name(&self, operation: usize) -> String {
        self.scope.operations[operation].name.to_string()
    }

    fn message(&self, parcel: Parcel) -> String {
        format!("the message of {} to {}{}", self.name(parcel.operation), parcel.to, which(parcel))
    }

    fn answer(&self, parcel: Parcel) -> String {
        format!("{}'s answer to {}{}", parcel.to, self.name(parcel.operation), which(parcel))
    }
}

/// ` (copy)`, ` (attempt 2)`
fn which(parcel: Parcel) -> String {
    let attempt = (parcel.attempt > 1).then(|| format!("attempt {}", parcel.attempt));
    let copy = (parcel.copy > 0).then(|| "copy".to_owned());
    let which: Vec<String> = attempt.into_iter().chain(copy).collect();
    if which.is_empty() { String::new() } else { format!(" ({})", which.join(", ")) }
}

fn node(node: NodeId) -> String {
    if node == NodeId::FIRST_SERVER { "the leader".into() } else { node.to_string() }
}
