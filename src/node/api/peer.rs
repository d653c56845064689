use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::Response;

use super::error::ApiError;
use super::request::{header_in, json_body};
use super::{App, Duty, address_in_header, json};
use crate::base::wire::{self, LEADER_HEADER, MAX_BODY_HEADER};
use crate::core::{Ask, NoEvents, Promise, Said};
use crate::node::body_limit::REPLICATION_ALLOWANCE;

/// `POST /peer`: a leader asks its follower something.
pub(super) async fn ask(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, ApiError> {
    let Duty::Follower(standby) = &app.duty else { return Err(ApiError::NotFollower) };
    standby.look_at_token(request.headers());
    let address = header_in(request.headers(), LEADER_HEADER);
    let body = json_body(&app.bodies, request, app.max_body + REPLICATION_ALLOWANCE).await?;
    let ask: Ask = wire::parse_object(&body)?;
    drop(body);
    let mut follower = standby.lock();
    let greatest = standby.greatest_epoch(app.clock.now(), follower.promised().epoch);
    if ask.epoch > greatest {
        return Err(ApiError::EpochTooFar { epoch: ask.epoch, greatest });
    }
    let answer = if standby.observer.is_some() {
        let mut events = Vec::new();
        let answer = follower.ask(&ask, &mut events);
        events.into_iter().for_each(|event| standby.observe(|| event));
        answer
    } else {
        follower.ask(&ask, &mut NoEvents)
    };
    // The lock is held: whoever looks now sees what has changed.
    app.awaited.wake_all();
    if answer.promised == (Promise { epoch: ask.epoch, leader: ask.leader }) {
        standby.set_leader(address);
        standby.hears_its_leader(app.clock.now());
    }
    // A leader that is refused is told of the one that is not.
    let other = matches!(answer.said, Said::Refused).then(|| standby.leader()).flatten();
    drop(follower);
    let mut response = json(StatusCode::OK, &answer);
    response.headers_mut().insert(MAX_BODY_HEADER, HeaderValue::from(app.max_body));
    if let Some(other) = other.as_ref().and_then(address_in_header) {
        response.headers_mut().insert(LEADER_HEADER, other);
    }
    Ok(response)
}
