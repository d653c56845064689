use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{App, Duty, json};
use crate::base::wire::{Health, LeaderReport, Ready, Status};
use crate::node::metrics::Snapshot;

/// `GET /health`: the process lives.
pub(super) async fn health(State(app): State<Arc<App>>) -> Response {
    let role = match &app.duty {
        Duty::Leader(_) => "leader",
        Duty::Follower(_) => "follower",
    };
    json(StatusCode::OK, &Health { status: "ok".into(), role: role.into() })
}

/// `GET /ready`: whether the node can do its work, and if not, why and what to do.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let ready = app.readiness();
    let status = if ready.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &ready)
}

/// `GET /status`: how the node sees itself and, if it leads, its followers.
pub(super) async fn status(State(app): State<Arc<App>>) -> Response {
    json(StatusCode::OK, &app.status())
}

/// `GET /metrics`, in the OpenMetrics text format that Prometheus reads.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let status = app.status();
    let text = app.metrics.text(&Snapshot {
        keys: status.keys,
        tombstones: app.read(|contents| contents.tombstones()),
        epoch: status.epoch,
        leads: status.serves.unwrap_or(false),
        ready: status.ready,
        followers: &status.followers,
    });
    let content_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

impl App {
    fn status(&self) -> Status {
        let (Ready { ready, detail }, attention) = self.situation();
        let keys = self.read(|contents| contents.len());
        match &self.duty {
            Duty::Leader(replicator) => {
                let followers = replicator.followers();
                Status {
                    role: "leader".into(),
                    ready,
                    detail,
                    attention,
                    epoch: replicator.read(|leader| leader.epoch().get()),
                    keys,
                    max_body: self.max_body,
                    write_quorum: Some(followers.write_quorum),
                    serves: Some(followers.waiting.is_none()),
                    followers: followers.reports(),
                    leader: None,
                }
            }
            Duty::Follower(standby) => Status {
                role: "follower".into(),
                ready,
                detail,
                attention,
                epoch: standby.lock().promised().epoch.get(),
                keys,
                max_body: self.max_body,
                write_quorum: None,
                serves: None,
                followers: Vec::new(),
                leader: standby.heard_ago(self.clock.now()).map(|ago| LeaderReport {
                    address: standby.leader().map(|address| address.to_string()),
                    heard_ago_s: ago.as_secs_f64(),
                }),
            },
        }
    }
}
