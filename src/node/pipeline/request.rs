//! Batches of messages as the bodies of requests, and what followers answer to them.

use bytes::Bytes;
use http::StatusCode;

use crate::base::Stamp;
use crate::base::wire::{self, FOLLOWER_HEADER, ReplicateAnswer};
use crate::core::{Identity, Message, Parcel, Reply, Stored};
use crate::net::http::{Answer, Body};
use crate::node::SHARE_FROM;

/// How a follower of this program says that it stored a write.
const APPLIED: &[u8] = br#"{"ok":true,"applied":true}"#;

/// One message in the documented form, with whose it is; several as an array of it. The values' texts go in as they are.
pub(super) fn body(batch: &[Parcel], leader: Option<u64>) -> Body {
    let mut body = Body::empty();
    let mut text = Vec::with_capacity(64 * batch.len());
    let array = batch.len() > 1;
    let mut number = itoa::Buffer::new();
    let named = leader.map_or(Vec::new(), |leader| format!(",\"leader\":{leader}").into_bytes());
    for (place, Parcel { message, .. }) in batch.iter().enumerate() {
        if array {
            text.push(if place == 0 { b'[' } else { b',' });
        }
        text.extend_from_slice(b"{\"key\":");
        serde_json::to_writer(&mut text, message.key()).expect("writing to memory cannot fail");
        text.extend_from_slice(b",\"value\":");
        match message.value() {
            None if leader.is_some() => text.extend_from_slice(b"null,\"deleted\":true"),
            None => text.extend_from_slice(b"null"),
            Some(value) if value.as_json().len() < SHARE_FROM => text.extend_from_slice(value.as_json().as_bytes()),
            Some(value) => {
                body.push(Bytes::from(std::mem::take(&mut text)));
                body.push(value.to_shared_bytes());
            }
        }
        let Stamp { epoch, version } = message.stamp();
        text.extend_from_slice(b",\"version\":");
        text.extend_from_slice(number.format(version.get()).as_bytes());
        if leader.is_some() {
            text.extend_from_slice(b",\"epoch\":");
            text.extend_from_slice(number.format(epoch.get()).as_bytes());
            text.extend_from_slice(&named);
        }
        let requests = &message.update.entry.requests;
        if leader.is_some() && !requests.is_empty() {
            text.extend_from_slice(b",\"requests\":");
            serde_json::to_writer(&mut text, requests).expect("writing to memory cannot fail");
        }
        text.push(b'}');
    }
    if array {
        text.push(b']');
    }
    body.push(Bytes::from(text));
    body
}

/// What a follower made of a request.
pub(super) enum Verdict {
    /// What it did with each message.
    Replies(Vec<Reply>),
    /// It does not understand the request.
    WrongForm,
    /// It does not take us for its leader.
    NotAdmitted,
    /// It understands, but would not or could not.
    Refused,
}

pub(super) fn read_answer(batch: &[Parcel], answer: &Answer) -> Verdict {
    match answer.status {
        StatusCode::BAD_REQUEST
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY => return Verdict::WrongForm,
        StatusCode::UNAUTHORIZED => return Verdict::NotAdmitted,
        status if !status.is_success() => return Verdict::Refused,
        _ => {}
    }
    let follower = answer.headers.get(FOLLOWER_HEADER).and_then(|header| header.to_str().ok()?.parse().ok());
    let stored = |stamp| {
        follower.map_or(Reply::Legacy, |Identity { incarnation, standing }| {
            Reply::Stored(Stored { stamp, incarnation, standing })
        })
    };
    if batch.len() > 1 && says_all_applied(&answer.body, batch.len()) {
        return Verdict::Replies(batch.iter().map(|parcel| stored(parcel.message.stamp())).collect());
    }
    let answers: Option<Vec<ReplicateAnswer>> = match batch {
        [_] => wire::parse(&answer.body).ok().map(|answer| vec![answer]),
        _ => wire::parse(&answer.body).ok().filter(|answers: &Vec<_>| answers.len() == batch.len()),
    };
    match answers {
        Some(answers) => Verdict::Replies(
            batch.iter().zip(answers).map(|(parcel, answer)| reply(&parcel.message, &answer, stored)).collect(),
        ),
        None => Verdict::WrongForm,
    }
}

/// Whether this is the answer to a batch of so many writes that were all new: nearly every answer is. To compare it is ten times
/// cheaper than to parse it, which took a tenth of the leader's own instructions.
fn says_all_applied(body: &[u8], count: usize) -> bool {
    let Some(items) = body.trim_ascii_end().strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) else {
        return false;
    };
    let each = APPLIED.len() + 1;
    items.len() + 1 == count * each
        && items.chunks(each).all(|item| item.strip_prefix(APPLIED).is_some_and(|rest| matches!(rest, b"," | b"")))
}

/// What a follower did with a message; `stored` makes the reply of the stamp that it has now.
fn reply(message: &Message, answer: &ReplicateAnswer, stored: impl Fn(Stamp) -> Reply) -> Reply {
    match (answer.ok, answer.version, answer.epoch) {
        (false, _, Some(promised)) => Reply::Fenced(promised),
        (false, ..) => Reply::Refused,
        (true, Some(version), Some(epoch)) if !answer.applied => stored(Stamp { epoch, version }),
        (true, ..) => stored(message.stamp()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expected_answer_is_what_a_follower_sends() {
        let mut answers = vec![ReplicateAnswer::applied(); 3];
        let text = serde_json::to_vec(&answers).unwrap();
        assert!(says_all_applied(&text, 3), "{}", String::from_utf8_lossy(&text));
        assert!(!says_all_applied(&text, 2) && !says_all_applied(&text, 4) && !says_all_applied(&text[1..], 3));
        answers[1] = ReplicateAnswer::stale(None);
        let other = serde_json::to_vec(&answers).unwrap();
        assert!(!says_all_applied(&other, 3), "{}", String::from_utf8_lossy(&other));
        let damaged: Vec<Vec<u8>> =
            (0..text.len()).map(|place| [&text[..place], b"x", &text[place + 1..]].concat()).collect();
        assert!(damaged.iter().all(|text| !says_all_applied(text, 3)));
    }
}
