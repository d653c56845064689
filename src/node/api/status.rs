use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::{App, Duty, json};
use crate::base::wire::{Health, Ready};
use crate::core::Standing;

/// `GET /health`: the process lives.
pub(super) async fn health(State(app): State<Arc<App>>) -> Response {
    let role = match &app.duty {
        Duty::Leader { .. } => "leader",
        Duty::Follower(_) => "follower",
    };
    json(StatusCode::OK, &Health { status: "ok".into(), role: role.into() })
}

/// `GET /ready`: the node can do its work. A leader can while enough followers answer; that is known from their answers
/// to real messages and not from a probe, which can succeed while replication is stuck.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let (ready, detail) = match &app.duty {
        Duty::Follower(standby) => match standby.lock().identity().standing {
            Standing::Normal => (true, "follows its leader".to_owned()),
            Standing::Recovering => (false, ApiError::Recovering.to_string()),
        },
        Duty::Leader { replicator, write_quorum } => 'ready: {
            if let Some(waiting) = replicator.waiting_for() {
                break 'ready (false, waiting.to_string());
            }
            let status = replicator.status();
            let reachable = status.iter().filter(|follower| follower.reachable).count();
            let detail = format!("{reachable} of {} followers answer, {write_quorum} needed for a write", status.len());
            (reachable >= *write_quorum, detail)
        }
    };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &Ready { ready, detail })
}

/// `GET /metrics`, in the OpenMetrics text format that Prometheus reads.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let followers = match &app.duty {
        Duty::Leader { replicator, .. } => replicator.status(),
        Duty::Follower(_) => Vec::new(),
    };
    let (keys, tombstones) = app.read(|contents| (contents.len(), contents.tombstones()));
    let text = app.metrics.text(keys, tombstones, &followers);
    let content_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}
