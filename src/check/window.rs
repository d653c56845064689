use crate::base::trace::{Event, Record};

/// Whether some write found the window of a follower full: it was not sent in the step in which it was accepted. It
/// reaches that follower by a resend, after a pause that belongs to no delay and no promise.
pub(super) fn was_full(records: &[Record], followers: usize) -> bool {
    // A record of clients and completions alone does not say.
    if !records.iter().any(|record| matches!(record.event, Event::Send { .. })) {
        return false;
    }
    let mut of_leader = records.iter().filter(|record| record.node.can_lead()).peekable();
    while let Some(record) = of_leader.next() {
        let Event::Accept { write: accepted, .. } = record.event else { continue };
        let mut sent = 0;
        while of_leader.next_if(|next| next.at == record.at && is_first_delivery(&next.event, accepted)).is_some() {
            sent += 1;
        }
        if sent < followers {
            return true;
        }
    }
    false
}

fn is_first_delivery(event: &Event, write: u64) -> bool {
    matches!(event, Event::Send { message, .. } if message.write == write && message.attempt == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Story, f};

    #[test]
    fn a_write_that_is_not_sent_to_all_at_once_found_a_full_window() {
        let mut story = Story::new();
        story.at(1).accept(1, "k", 1, "1").send(1, f(1), 1).send(1, f(2), 1).send(1, f(3), 1);
        story.at(2).accept(2, "k", 2, "2").send(2, f(1), 1).send(2, f(3), 1);
        assert!(!was_full(&story.records()[..4], 3));
        assert!(was_full(story.records(), 3));
        story.at(60).send(2, f(2), 1);
        assert!(was_full(story.records(), 3), "a resend comes later");
    }
}
