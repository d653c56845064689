use std::str::FromStr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;

use super::error::ApiError;
use super::request::json_body;
use super::{App, Duty, Standby, json};
use crate::base::Stamp;
use crate::base::trace::{Event, RequestId};
use crate::base::wire::{
    self, OPERATION_HEADER, REQUEST_HEADER, ReplicateAnswer, ReplicateBody, ReplicateRequest, SetAnswer, SetRequest,
};
use crate::core::{Applied, Entry, Follower};

/// `POST /set`. The write goes on whatever becomes of the client: it belongs to the replicator from the moment it has a
/// version, and this handler only waits for its completion.
pub(super) async fn set(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, ApiError> {
    let Duty::Leader { replicator, .. } = &app.duty else { return Err(ApiError::NotLeader) };
    let operation = number_in(request.headers(), OPERATION_HEADER);
    let body = json_body(request, app.max_body).await?;
    let SetRequest { key, value } = wire::parse_object(&body)?;
    drop(body);
    let accepted_at = app.clock.now();
    let completion = replicator.set(operation, key, value)?.await.map_err(|_| ApiError::Abandoned)?;
    app.metrics.write(completion.ok, app.clock.now().saturating_sub(accepted_at));
    let answer = SetAnswer {
        ok: completion.ok,
        confirmations: completion.confirmations,
        required: completion.required,
        version: completion.stamp.version,
    };
    Ok(json(StatusCode::OK, &answer))
}

/// How much larger than a client's body a leader's may be: it carries the same key and value and a version, or a batch of
/// up to 1 MiB of keys and values, in which escapes can make six bytes of one.
const REPLICATION_ALLOWANCE: usize = 8 << 20;

/// `POST /replicate`, one write or an array of them.
pub(super) async fn replicate(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, ApiError> {
    let Duty::Follower(standby) = &app.duty else { return Err(ApiError::NotFollower) };
    let ordinal = number_in(request.headers(), REQUEST_HEADER);
    let body = json_body(request, app.max_body + REPLICATION_ALLOWANCE).await?;
    let (answers, is_batch) = match wire::parse_replicate(&body)? {
        ReplicateBody::One(write) => (apply(&app, standby, vec![write], ordinal), false),
        ReplicateBody::Batch(writes) => (apply(&app, standby, writes, ordinal), true),
    };
    Ok(match answers.as_slice() {
        [answer] if !is_batch => json(StatusCode::OK, answer),
        answers => json(StatusCode::OK, &answers),
    })
}

/// What a header says, if it is there and can be read.
fn number_in<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Applies the writes of one request in their order. A caller that numbers its requests is a semisync leader, and is
/// told the version that is stored instead of a stale one.
fn apply(
    app: &App,
    standby: &Standby,
    writes: Vec<ReplicateRequest>,
    request: Option<RequestId>,
) -> Vec<ReplicateAnswer> {
    let mut follower = standby.lock();
    let apply = |write| {
        let (applied, event) = apply_one(&mut follower, write, request);
        standby.observe(|| event);
        match applied {
            Applied::Yes => ReplicateAnswer::applied(),
            Applied::Stale { stored } => ReplicateAnswer::stale(request.map(|_| stored.version)),
        }
    };
    let answers: Vec<ReplicateAnswer> = writes.into_iter().map(apply).collect();
    app.metrics.replicated(&answers);
    answers
}

fn apply_one(follower: &mut Follower, write: ReplicateRequest, request: Option<RequestId>) -> (Applied, Event) {
    let ReplicateRequest { key, value, version } = write;
    let stamp = Stamp::of_version(version);
    let applied = follower.replicate(&key, Entry { stamp, value: value.clone() });
    let event = match applied {
        Applied::Yes => Event::Apply { request, key, stamp, value },
        Applied::Stale { stored } => Event::Reject { request, key, stamp, stored },
    };
    (applied, event)
}
