//! The end of a connection to a follower.
//!
//! A confirmation is worth as much as the memory of the process that gave it. When a connection to that process ends (reset,
//! refused, end of stream), the process may be gone. Until the follower has answered a question that was asked afterwards, the
//! leader does not count what it confirmed, neither for writes in flight nor for reads of what is committed. If it answers in
//! the same incarnation, its confirmations count again. If it has restarted, they are dropped. So the time for which a lost
//! confirmation can count ends one link latency after the connection does.
//!
//! The same holds where names lead to other nodes than they did.
//!
//! A connection over which no answer comes in time is closed by the leader itself, which then cannot learn how it would have
//! ended. What the follower confirmed does not count until anything comes from it in the same incarnation: then there is a
//! connection again. So behind a partition a lost confirmation counts until the first question that is not answered.

use std::time::Duration;

use super::Leader;
use crate::base::FollowerId;
use crate::base::trace::WriteId;

impl Leader {
    /// Learns that a connection to a follower has ended, or that the follower refuses one. The confirmations of the follower
    /// do not count until it has answered a question that is asked from now on, which is asked at once.
    pub fn handle_disconnect(&mut self, now: Duration, from: FollowerId) {
        self.doubt(from);
        self.ask_if_doubted(now, from);
    }

    /// Learns that a connection to a follower was given up, because no answer came in time. The confirmations of the follower do
    /// not count until something comes from it. It is asked as soon as the pause after questions that had no answer is over.
    pub fn handle_silence(&mut self, now: Duration, from: FollowerId) {
        self.note_silence(from);
        self.ask_if_doubted(now, from);
    }

    fn ask_if_doubted(&mut self, now: Duration, about: FollowerId) {
        if self.peers[about].link.is_doubted() {
            self.ask_again(now, about);
        }
    }

    /// The confirmations of a follower do not count until it has answered a question that is asked from now on.
    pub(super) fn doubt(&mut self, about: FollowerId) {
        if self.can_doubt(about) {
            self.doubted.insert(about);
            self.peers[about].link.doubt(self.asked);
        }
    }

    /// The confirmations of a follower do not count until something comes from it.
    pub(super) fn note_silence(&mut self, of: FollowerId) {
        if self.can_doubt(of) {
            self.doubted.insert(of);
            self.peers[of].link.note_silence();
        }
    }

    fn can_doubt(&self, about: FollowerId) -> bool {
        let rules = self.config.rules;
        rules.doubt_ended_connections && rules.recover_on_start && !self.peers[about].link.is_legacy()
    }

    /// Something has come from a follower in the incarnation in which it is known: the answer to this question, or to a message.
    /// What it confirmed counts again, unless a connection ended after the question had been asked.
    pub(super) fn end_doubt(&mut self, about: FollowerId, question: Option<u64>) {
        if !self.peers[about].link.ends_doubt(question) {
            return;
        }
        self.doubted.remove(about);
        let waiting = self.open.iter().filter(|(_, open)| open.waiting && open.confirmed.contains(about));
        let waiting: Vec<WriteId> = waiting.map(|(write, _)| *write).collect();
        for write in waiting {
            self.complete_if_confirmed(write);
        }
        self.settle_committed();
    }

    /// The follower has restarted, or is not the one that it was: nothing that it confirmed is left to be doubted.
    pub(super) fn drop_doubt(&mut self, about: FollowerId) {
        self.doubted.remove(about);
        self.peers[about].link.drop_doubt();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Key, Value};
    use crate::core::testing::{F1, F2, F3, answer, calls, cluster, config, follower_in, stores};
    use crate::core::{Asked, LeaderConfig, Message, Output, Rule, Rules};

    const NOW: Duration = Duration::from_secs(3);

    /// A leader that needs two confirmations and has that of f1; and the message to f2.
    fn half_confirmed() -> (Leader, Vec<crate::core::Follower>, Message) {
        half_confirmed_under(Rules::SAFE)
    }

    fn half_confirmed_under(rules: Rules) -> (Leader, Vec<crate::core::Follower>, Message) {
        let (mut leader, mut followers) = cluster(LeaderConfig { rules, ..config(3, 2, 0) });
        while leader.poll_output().is_some() {}
        leader.set(NOW, None, Key::new("x").unwrap(), Value::from_json("1").unwrap()).unwrap();
        let sent: Vec<Message> = std::iter::from_fn(|| leader.poll_output())
            .filter_map(|output| if let Output::Send(message) = output { Some(message) } else { None })
            .collect();
        let [to_f1, to_f2, _] = [F1, F2, F3].map(|id| sent.iter().find(|message| message.to == id).unwrap().clone());
        followers[0].replicate(leader.id(), to_f1.key(), to_f1.update.entry.clone());
        followers[1].replicate(leader.id(), to_f2.key(), to_f2.update.entry.clone());
        leader.handle_reply(NOW, &to_f1, stores(F1, to_f1.stamp()));
        (leader, followers, to_f2)
    }

    /// How many confirmations the client was told of, if it was answered.
    fn acknowledged(leader: &mut Leader) -> Option<usize> {
        std::iter::from_fn(|| leader.poll_output()).find_map(|output| match output {
            Output::Complete(completion) => Some(completion.confirmations),
            _ => None,
        })
    }

    #[test]
    fn a_confirmation_counts_again_once_the_same_incarnation_has_answered() {
        let (mut leader, mut followers, to_f2) = half_confirmed();
        leader.handle_disconnect(NOW, F1);
        let asked = calls(&mut leader);
        assert_eq!(asked.iter().map(|call| call.to).collect::<Vec<_>>(), [F1], "it is asked at once");
        leader.handle_reply(NOW, &to_f2, stores(F2, to_f2.stamp()));
        assert_eq!(acknowledged(&mut leader), None, "f1 may be gone");
        answer(&mut leader, &mut followers, NOW, &asked[0]);
        assert_eq!(acknowledged(&mut leader), Some(2));
    }

    #[test]
    fn a_confirmation_of_a_follower_that_restarted_is_dropped() {
        for f2_confirms_first in [true, false] {
            let (mut leader, mut followers, to_f2) = half_confirmed();
            followers[0] = follower_in(F1, 1, Rules::SAFE);
            leader.handle_disconnect(NOW, F1);
            let asked = calls(&mut leader);
            if !f2_confirms_first {
                answer(&mut leader, &mut followers, NOW, &asked[0]);
            }
            leader.handle_reply(NOW, &to_f2, stores(F2, to_f2.stamp()));
            if f2_confirms_first {
                answer(&mut leader, &mut followers, NOW, &asked[0]);
            }
            assert_eq!(acknowledged(&mut leader), None, "f2 alone stores it");
            assert!(leader.committed(&Key::new("x").unwrap()).is_none());
        }
    }

    #[test]
    fn without_the_rule_the_end_of_a_connection_changes_nothing() {
        let (mut leader, _, to_f2) = half_confirmed_under(Rules::SAFE.without(Rule::DoubtEndedConnections));
        leader.handle_disconnect(NOW, F1);
        leader.handle_reply(NOW, &to_f2, stores(F2, to_f2.stamp()));
        assert_eq!(acknowledged(&mut leader), Some(2));
    }

    /// The answer to a question that was asked before the connection ended may have been sent before that, too.
    #[test]
    fn an_older_answer_says_nothing() {
        let (mut leader, mut followers, to_f2) = half_confirmed();
        let later = NOW + Duration::from_secs(2);
        leader.handle_timeout(later);
        let heartbeats = calls(&mut leader);
        let of_f1 = heartbeats.iter().find(|call| call.to == F1).expect("a silent follower is asked");
        leader.handle_disconnect(later, F1);
        leader.handle_reply(later, &to_f2, stores(F2, to_f2.stamp()));
        answer(&mut leader, &mut followers, later, of_f1);
        let next: Vec<_> = {
            let outputs: Vec<Output> = std::iter::from_fn(|| leader.poll_output()).collect();
            assert!(!outputs.iter().any(|output| matches!(output, Output::Complete(_))), "{outputs:?}");
            outputs.into_iter().filter_map(|o| if let Output::Ask(call) = o { Some(*call) } else { None }).collect()
        };
        let again = next.iter().find(|call| call.to == F1).expect("it is asked again");
        answer(&mut leader, &mut followers, later, again);
        assert_eq!(acknowledged(&mut leader), Some(2));
    }

    /// The follower is asked because a connection ended, and then another one ends.
    #[test]
    fn an_answer_ends_no_later_doubt() {
        let (mut leader, mut followers, to_f2) = half_confirmed();
        leader.handle_disconnect(NOW, F1);
        let asked = calls(&mut leader);
        leader.handle_disconnect(NOW, F1);
        leader.handle_reply(NOW, &to_f2, stores(F2, to_f2.stamp()));
        answer(&mut leader, &mut followers, NOW, &asked[0]);
        let again = std::iter::from_fn(|| leader.poll_output()).map(|output| match output {
            Output::Ask(call) => *call,
            other => panic!("{other:?}"),
        });
        let again = again.filter(|call| call.to == F1).collect::<Vec<_>>();
        answer(&mut leader, &mut followers, NOW, &again[0]);
        assert_eq!(acknowledged(&mut leader), Some(2));
    }

    /// Nothing came in time over a connection that the leader gave up. Then something does.
    #[test]
    fn a_confirmation_counts_again_once_anything_has_come() {
        let (mut leader, mut followers, to_f2) = half_confirmed();
        leader.set(NOW, None, Key::new("y").unwrap(), Value::from_json("1").unwrap()).unwrap();
        let outputs: Vec<Output> = std::iter::from_fn(|| leader.poll_output()).collect();
        let to_f1 = outputs.into_iter().find_map(|output| match output {
            Output::Send(message) if message.to == F1 => Some(message),
            _ => None,
        });
        let to_f1 = to_f1.expect("it is sent everything");
        leader.handle_silence(NOW, F1);
        assert_eq!(calls(&mut leader).iter().map(|call| call.to).collect::<Vec<_>>(), [F1], "it is asked at once");
        leader.handle_reply(NOW, &to_f2, stores(F2, to_f2.stamp()));
        assert_eq!(acknowledged(&mut leader), None, "f1 may be gone");
        followers[0].replicate(leader.id(), to_f1.key(), to_f1.update.entry.clone());
        leader.handle_reply(NOW, &to_f1, stores(F1, to_f1.stamp()));
        assert_eq!(acknowledged(&mut leader), Some(2));
        // What was under way when a connection ended says nothing.
        let (mut leader, _, to_f2) = half_confirmed();
        leader.handle_silence(NOW, F1);
        leader.handle_disconnect(NOW, F1);
        leader.handle_reply(NOW, &to_f1, stores(F1, to_f1.stamp()));
        leader.handle_reply(NOW, &to_f2, stores(F2, to_f2.stamp()));
        assert_eq!(acknowledged(&mut leader), None);
    }

    #[test]
    fn a_question_without_an_answer_is_a_doubt() {
        let (mut leader, mut followers, to_f2) = half_confirmed();
        let later = NOW + Duration::from_secs(2);
        leader.handle_timeout(later);
        let heartbeats = calls(&mut leader);
        let of_f1 = heartbeats.iter().find(|call| call.to == F1).expect("a silent follower is asked");
        leader.handle_answer(later, F1, of_f1.number, Asked::Lost);
        leader.handle_reply(later, &to_f2, stores(F2, to_f2.stamp()));
        assert_eq!(acknowledged(&mut leader), None, "f1 may be gone");
        let much_later = later + Duration::from_secs(2);
        leader.handle_timeout(much_later);
        let again = calls(&mut leader).into_iter().find(|call| call.to == F1).expect("it is asked again");
        answer(&mut leader, &mut followers, much_later, &again);
        assert_eq!(acknowledged(&mut leader), Some(2));
    }

    /// f1 answers where f2 is looked for. Whether it is still found under its own name, an answer there tells.
    #[test]
    fn a_follower_that_answers_under_another_name_is_doubted() {
        let (mut leader, mut followers, _) = half_confirmed();
        leader.set(NOW, None, Key::new("y").unwrap(), Value::from_json("1").unwrap()).unwrap();
        let sent = std::iter::from_fn(|| leader.poll_output()).filter_map(|output| match output {
            Output::Send(message) => Some(message),
            _ => None,
        });
        let sent: Vec<Message> = sent.collect();
        let [to_f1, to_f3] = [F1, F3].map(|id| sent.iter().find(|message| message.to == id).unwrap().clone());
        leader.handle_reply(NOW, &to_f1, stores(F1, to_f1.stamp()));
        leader.handle_disconnect(NOW, F2);
        let of_f2 = calls(&mut leader).into_iter().find(|call| call.to == F2).expect("it is asked at once");
        let strayed = followers[0].ask(&of_f2.ask, &mut Vec::new());
        leader.handle_answer(NOW, F2, of_f2.number, Asked::Answered(strayed));
        let outputs: Vec<Output> = std::iter::from_fn(|| leader.poll_output()).collect();
        leader.handle_reply(NOW, &to_f3, stores(F3, to_f3.stamp()));
        assert_eq!(acknowledged(&mut leader), None, "what f1 is found under is not known");
        let of_f1 = outputs.iter().find_map(|output| match output {
            Output::Ask(call) if call.to == F1 => Some(call),
            _ => None,
        });
        answer(&mut leader, &mut followers, NOW, of_f1.expect("it is asked at once"));
        assert_eq!(acknowledged(&mut leader), Some(2));
    }

    /// The name of f1 leads to f2, as the answer to a message shows.
    #[test]
    fn a_name_under_which_another_follower_answers_a_message_is_doubted() {
        let (mut leader, mut followers, to_f2) = half_confirmed();
        leader.set(NOW, None, Key::new("y").unwrap(), Value::from_json("1").unwrap()).unwrap();
        let to_f1 = std::iter::from_fn(|| leader.poll_output()).find_map(|output| match output {
            Output::Send(message) if message.to == F1 => Some(message),
            _ => None,
        });
        let to_f1 = to_f1.expect("it is sent everything");
        leader.handle_reply(NOW, &to_f1, stores(F2, to_f1.stamp()));
        let asked = calls(&mut leader).into_iter().find(|call| call.to == F1).expect("it is asked at once");
        leader.handle_reply(NOW, &to_f2, stores(F2, to_f2.stamp()));
        assert_eq!(acknowledged(&mut leader), None, "whether f1 still runs is not known");
        answer(&mut leader, &mut followers, NOW, &asked);
        assert_eq!(acknowledged(&mut leader), Some(2));
    }

    #[test]
    fn what_is_committed_does_not_count_a_follower_in_doubt() {
        let (mut leader, mut followers, to_f2) = half_confirmed();
        let x = Key::new("x").unwrap();
        leader.handle_disconnect(NOW, F1);
        let asked = calls(&mut leader);
        leader.handle_reply(NOW, &to_f2, stores(F2, to_f2.stamp()));
        assert!(leader.committed(&x).is_none(), "one follower stores it for certain, and two must");
        answer(&mut leader, &mut followers, NOW, &asked[0]);
        assert!(leader.committed(&x).is_some());
    }
}
