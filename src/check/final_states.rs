//! What the nodes store in the end, where nobody asked them: their memories, replayed to the end of what they recorded.

use super::Facts;
use super::keys::Keys;
use super::leaders::Leaders;
use super::replay::Replay;
use super::writes::Writes;
use crate::base::trace::Record;
use crate::base::wire::Dump;
use crate::base::{FollowerId, NodeId};

/// What each node that is up at the end of a trace stores then, the present leader first.
pub fn final_states(records: &[Record], facts: &Facts) -> Vec<(NodeId, Dump)> {
    // Whose writes they are does not matter here.
    let writes = Writes::default();
    let mut replay = Replay::new(facts);
    let keys = Keys::of_records(records);
    for (place, record) in records.iter().enumerate() {
        replay.follow(&keys, &writes, place, record);
    }
    let leader = Leaders::after(records).present();
    let nodes = [leader].into_iter().chain(FollowerId::first(facts.all_followers()).map(NodeId::from));
    nodes.filter_map(|node| Some((node, replay.dump(&keys, node)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Story, dump, f};

    #[test]
    fn what_was_stored_last_is_there_in_the_end() {
        let mut story = Story::new();
        story.facts.followers = 2;
        story.at(1).accept(1, "k", 1, "1").accept(2, "k", 2, "2").accept(3, "j", 1, "3");
        story.at(5).apply(f(1), "k", 2, "2").apply(f(1), "k", 1, "1");
        let expected = [
            (NodeId::FIRST_SERVER, dump(&[("j", 1, "3"), ("k", 2, "2")])),
            (f(1).into(), dump(&[("k", 1, "1")])),
            (f(2).into(), dump(&[])),
        ];
        assert_eq!(final_states(story.records(), &story.facts), expected, "what comes last stays, and be it older");
    }

    #[test]
    fn a_crash_takes_the_memory_and_until_the_restart_the_node() {
        let mut story = Story::new();
        story.facts.followers = 2;
        story.at(1).apply(f(1), "k", 1, "1").apply(f(2), "k", 1, "1").crash(f(1)).crash(f(2)).restart(f(2));
        let expected = [(NodeId::FIRST_SERVER, dump(&[])), (f(2).into(), dump(&[]))];
        assert_eq!(final_states(story.records(), &story.facts), expected);
        story.apply(f(2), "j", 1, "2");
        assert_eq!(final_states(story.records(), &story.facts)[1], (f(2).into(), dump(&[("j", 1, "2")])));
    }
}
