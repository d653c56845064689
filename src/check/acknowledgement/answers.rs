//! What the leader learnt of its messages: where it counted more than there was, this says what it took for a
//! confirmation.

use std::collections::BTreeMap;

use crate::base::trace::{Event, LossReason, Micros, Record, WriteId};
use crate::base::{FollowerId, Stamp};
use crate::check::evidence::{At, names};
use crate::check::writes::Write;

/// What was learnt of one write's messages, by follower, in order.
type OfWrite = BTreeMap<FollowerId, Vec<(Micros, Learnt)>>;

#[derive(Clone, Copy)]
enum Learnt {
    /// The follower has this stamp.
    Has(Stamp),
    /// The message brought no answer.
    Lost(LossReason),
}

/// What these records say of the messages of the write that a life of the leader gave this number.
fn learnt(records: &[Record], life: u64, number: WriteId) -> OfWrite {
    let mut of_write = OfWrite::new();
    for record in records.iter().filter(|record| record.incarnation == life) {
        let (message, learnt) = match &record.event {
            Event::Ack { message, stored } => (message, Learnt::Has(*stored)),
            Event::Lost { message, reason } => (message, Learnt::Lost(*reason)),
            _ => continue,
        };
        if message.write == number {
            of_write.entry(message.to).or_default().push((record.at, learnt));
        }
    }
    of_write
}

/// What can have been taken for a confirmation and was none, each as a clause. `stored` are the followers that truly
/// had stored the write, `forgot` those that had until they crashed.
pub(super) fn mistaken(
    records: &[Record],
    number: WriteId,
    write: &Write<'_>,
    stored: &[FollowerId],
    forgot: &[(FollowerId, Micros)],
) -> Vec<String> {
    let mut clauses = Vec::new();
    for (id, learnt) in learnt(records, write.life, number) {
        let answers: Vec<At> =
            learnt.iter().filter(|(_, learnt)| matches!(learnt, Learnt::Has(_))).map(|(at, _)| At(*at)).collect();
        if answers.len() > 1 {
            clauses.push(format!("{id} answered {} times, at {}", answers.len(), names(answers)));
        }
        if stored.contains(&id) || forgot.iter().any(|(other, _)| *other == id) {
            continue;
        }
        clauses.extend(learnt.last().map(|(at, learnt)| match learnt {
            Learnt::Has(stamp) if *stamp == write.stamp => {
                format!("{id} answered at {} that it has {stamp}, which was another {stamp}", At(*at))
            }
            Learnt::Has(stamp) => format!("{id} answered at {} that it has {stamp}", At(*at)),
            Learnt::Lost(reason) => {
                format!("the message to {id} came to nothing at {}: {}", At(*at), words(*reason))
            }
        }));
    }
    clauses
}

fn words(reason: LossReason) -> &'static str {
    match reason {
        LossReason::Connect => "no connection",
        LossReason::Deadline => "no answer by the deadline",
        LossReason::Disconnect => "the connection was lost",
        LossReason::Refused => "it was refused",
        LossReason::Fenced => "another epoch was promised",
        LossReason::Recovering => "the follower may have forgotten what it confirmed",
        LossReason::Legacy => "the follower knows no epochs",
    }
}
