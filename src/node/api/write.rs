use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::Response;
use serde::Serialize;

use super::error::ApiError;
use super::request::{header_in, json_body};
use super::{App, Duty, Standby, json, of_epoch};
use crate::base::trace::{Event, RequestId};
use crate::base::wire::{
    self, DeleteRequest, FOLLOWER_HEADER, OPERATION_HEADER, REQUEST_HEADER, ReplicateAnswer, ReplicateBody,
    ReplicateRequest, SetAnswer, SetRequest,
};
use crate::base::{Key, Stamp, Value};
use crate::core::{Applied, Entry, Follower, Identity, LeaderId, Rejected, Terms};
use crate::node::body_limit::REPLICATION_ALLOWANCE;
use crate::node::replicator::Replicator;

/// `POST /set`.
pub(super) async fn set(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, ApiError> {
    let replicator = replicator(&app)?;
    let operation = header_in(request.headers(), OPERATION_HEADER);
    let body = json_body(&app.bodies, request, app.max_body).await?;
    let SetRequest { key, value, if_version, request_id: request } = wire::parse_write(&body)?;
    drop(body);
    if matches!(key.as_str(), "." | "..") {
        return Err(ApiError::DotKey(key));
    }
    write(&app, replicator, Terms { operation, request, if_version }, (key, Some(value))).await
}

/// `POST /delete`.
pub(super) async fn delete(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, ApiError> {
    let replicator = replicator(&app)?;
    let operation = header_in(request.headers(), OPERATION_HEADER);
    let body = json_body(&app.bodies, request, app.max_body).await?;
    let DeleteRequest { key, if_version, request_id: request } = wire::parse_write(&body)?;
    drop(body);
    write(&app, replicator, Terms { operation, request, if_version }, (key, None)).await
}

fn replicator(app: &App) -> Result<&Replicator, ApiError> {
    match &app.duty {
        Duty::Leader(replicator) => Ok(replicator),
        Duty::Follower(standby) => Err(ApiError::NotLeader { leader: standby.leader() }),
    }
}

/// The write goes on whatever becomes of the client: it belongs to the replicator from the moment it has a version, and
/// its handler only waits for its completion.
async fn write(
    app: &App,
    replicator: &Replicator,
    terms: Terms,
    (key, value): (Key, Option<Value>),
) -> Result<Response, ApiError> {
    let accepted_at = app.clock.now();
    app.until_serving().await?;
    if let Some(value) = &value {
        replicator.check_size(value).map_err(ApiError::TooLargeForFollowers)?;
    }
    let completion = replicator.write(terms, key.clone(), value).map_err(|rejected| refusal(replicator, rejected))?;
    app.awaited.wake(&key);
    let completion = completion.await.map_err(|_| ApiError::Abandoned)?;
    app.metrics.write(completion.ok, app.clock.now().saturating_sub(accepted_at));
    let answer = SetAnswer {
        ok: completion.ok,
        confirmations: completion.confirmations,
        required: completion.required,
        version: completion.stamp.version,
        epoch: completion.stamp.epoch,
        indeterminate: !completion.ok,
    };
    let detail = (!answer.ok).then(|| replicator.followers().readiness().detail);
    Ok(of_epoch(answer.epoch, json(StatusCode::OK, &Explained { answer, detail })))
}

/// The answer to a write, with why the quorum was not reached if it was not.
#[derive(Serialize)]
struct Explained {
    #[serde(flatten)]
    answer: SetAnswer,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// What a client is told of why its write or read was not taken on.
pub(super) fn refusal(replicator: &Replicator, rejected: Rejected) -> ApiError {
    match rejected {
        Rejected::NotServing(_) => ApiError::NotServing(replicator.followers().readiness().detail),
        other => other.into(),
    }
}

/// `POST /replicate`, one write or an array of them.
pub(super) async fn replicate(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, ApiError> {
    let Duty::Follower(standby) = &app.duty else { return Err(ApiError::NotFollower) };
    let ordinal = header_in(request.headers(), REQUEST_HEADER);
    let body = json_body(&app.bodies, request, app.max_body + REPLICATION_ALLOWANCE).await?;
    let (writes, is_batch) = match wire::parse_replicate(&body)? {
        ReplicateBody::One(write) => (vec![write], false),
        ReplicateBody::Batch(writes) => (writes, true),
    };
    if let Some(write) = writes.iter().find(|write| write.epoch.is_some() != write.leader.is_some()) {
        return Err(ApiError::HalfALeader { key: write.key.clone() });
    }
    if let Some(write) = writes.iter().find(|write| write.deleted && write.value.as_json() != "null") {
        return Err(ApiError::DeletedWithValue { key: write.key.clone() });
    }
    let (answers, identity) = apply(&app, standby, writes, ordinal);
    let mut response = match answers.as_slice() {
        [answer] if !is_batch => json(StatusCode::OK, answer),
        answers => json(StatusCode::OK, &answers),
    };
    let identity = HeaderValue::try_from(identity.to_string()).expect("a number and a word");
    response.headers_mut().insert(FOLLOWER_HEADER, identity);
    Ok(response)
}

/// Applies the writes of one request in their order, and says who did. A caller that numbers its requests is a semisync
/// leader, and is told the stamp that is stored instead of a stale one.
fn apply(
    app: &App,
    standby: &Standby,
    writes: Vec<ReplicateRequest>,
    request: Option<RequestId>,
) -> (Vec<ReplicateAnswer>, Identity) {
    let mut follower = standby.lock();
    let apply = |write: ReplicateRequest| {
        // The lock is held: whoever looks now sees the write.
        app.awaited.wake(&write.key);
        match apply_one(&mut follower, standby, write, request) {
            Applied::Yes => ReplicateAnswer::applied(),
            Applied::Stale { stored } => ReplicateAnswer::stale(request.map(|_| stored)),
            Applied::Fenced { promised } => ReplicateAnswer::fenced(promised),
        }
    };
    let is_of_leader = writes.iter().any(|write| write.leader.is_some());
    let answers: Vec<ReplicateAnswer> = writes.into_iter().map(apply).collect();
    if is_of_leader && answers.iter().any(|answer| answer.ok) {
        standby.hears_its_leader(app.clock.now());
    }
    app.metrics.replicated(&answers);
    (answers, follower.identity())
}

fn apply_one(
    follower: &mut Follower,
    standby: &Standby,
    write: ReplicateRequest,
    request: Option<RequestId>,
) -> Applied {
    let ReplicateRequest { key, value, deleted, version, epoch, leader, requests } = write;
    let value = (!deleted).then_some(value);
    let (Some(epoch), Some(leader)) = (epoch, leader) else {
        // No leader's: nobody else ever learns of it, so there is nothing to be recorded.
        return follower.replicate_by_hand(&key, version, value);
    };
    let stamp = Stamp { epoch, version };
    let applied = follower.replicate(LeaderId(leader), &key, Entry { stamp, value: value.clone(), requests });
    match applied {
        Applied::Yes => standby.observe(|| Event::Apply { request, key, stamp, value }),
        Applied::Stale { stored } => standby.observe(|| Event::Reject { request, key, stamp, stored }),
        Applied::Fenced { .. } => {}
    }
    applied
}
