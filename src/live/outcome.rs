use crate::base::wire::SetAnswer;
use crate::client::{Failed, Outcome, ReadError, Unknown};
use crate::net::http::HttpError;

/// What became of a write that was not acknowledged, in a few words that are the same for all of a kind.
pub(super) fn of_write(outcome: &Outcome<SetAnswer>) -> String {
    match outcome {
        Outcome::Ok(_) => "acknowledged".into(),
        Outcome::Failed(Failed::Unreachable(_)) => "write not sent: no connection".into(),
        Outcome::Failed(refused @ Failed::Refused { .. }) => format!("write {refused}"),
        Outcome::Failed(Failed::Conflict { .. }) => "write refused: its key had another version".into(),
        Outcome::Unknown(Unknown::QuorumMissed(_)) => "write missed its quorum".into(),
        Outcome::Unknown(Unknown::NoAnswer(error)) => format!("write {}", without_answer(error)),
        Outcome::Unknown(Unknown::Unreadable(_)) => "write got something that is no answer to a write".into(),
    }
}

/// What became of a read that brought nothing.
pub(super) fn of_read(error: &ReadError) -> String {
    match error {
        ReadError::NoAnswer(error) => format!("read {}", without_answer(error)),
        ReadError::Refused { .. } => format!("read {error}"),
        ReadError::NotYet { .. } => "read of a version that was not there yet".into(),
        ReadError::NoSuchNode { .. } => format!("read {error}"),
        ReadError::Unreadable(_) => "read got something that is no answer to a read".into(),
    }
}

fn without_answer(error: &HttpError) -> &'static str {
    match error {
        HttpError::Connect(_) => "not sent: no connection",
        HttpError::Deadline(_) => "got no answer in time",
        HttpError::Disconnect(_) => "lost its connection",
    }
}
