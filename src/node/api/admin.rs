use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use tracing::warn;

use super::error::ApiError;
use super::{App, Duty, json};
use crate::base::wire::AcceptedLoss;

/// `GET /admin/accept-loss`: what it would mean to accept the loss, without accepting it.
pub(super) async fn show_loss(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let Duty::Leader(replicator) = &app.duty else { return Err(ApiError::NotWaiting) };
    let followers = replicator.followers();
    let nothing = || ApiError::NothingToAccept { state: followers.readiness().detail };
    let detail = followers.loss_to_accept().ok_or_else(nothing)?;
    Ok(json(StatusCode::OK, &AcceptedLoss { accepted: false, detail }))
}

/// `POST /admin/accept-loss`: an operator accepts that what only missing or forgetful followers know is lost.
pub(super) async fn accept_loss(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let Duty::Leader(replicator) = &app.duty else { return Err(ApiError::NotWaiting) };
    let nothing = || ApiError::NothingToAccept { state: replicator.followers().readiness().detail };
    let waited_for = replicator.accept_loss().ok_or_else(nothing)?;
    let detail = format!(
        "the leader goes on as soon as a majority of its followers has answered; writes are lost that were acknowledged and \
         that only the others know ({waited_for})"
    );
    warn!("an operator has accepted the loss of what only missing followers know: {detail}");
    Ok(json(StatusCode::OK, &AcceptedLoss { accepted: true, detail }))
}
