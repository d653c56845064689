//! The HTTP interface.

mod error;
mod read;
mod request;
mod status;
mod write;

use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;

use super::clock::Clock;
use super::metrics::Metrics;
use super::replicator::Replicator;
use crate::base::trace::{Event, Observer};
use crate::core::{Follower, Rules, Store};
use error::ApiError;

/// What the handlers share.
pub(super) struct App {
    pub(super) duty: Duty,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// The largest request body, in bytes.
    pub(super) max_body: usize,
}

/// What the node does, with what it needs for it.
pub(super) enum Duty {
    Leader { replicator: Arc<Replicator>, write_quorum: usize },
    Follower(Standby),
}

/// A follower's state machine, and who is told what happens to it.
pub(super) struct Standby {
    follower: Mutex<Follower>,
    observer: Option<Arc<dyn Observer>>,
}

impl Standby {
    pub(super) fn new(rules: Rules, observer: Option<Arc<dyn Observer>>) -> Self {
        Self { follower: Mutex::new(Follower::new(rules)), observer }
    }

    fn lock(&self) -> MutexGuard<'_, Follower> {
        self.follower.lock().expect("the follower's state machine has panicked; its state cannot be trusted")
    }

    fn observe(&self, event: impl FnOnce() -> Event) {
        if let Some(observer) = &self.observer {
            observer.record(event());
        }
    }
}

impl App {
    /// Reads the node's store.
    fn read<R>(&self, read: impl FnOnce(&Store) -> R) -> R {
        match &self.duty {
            Duty::Leader { replicator, .. } => replicator.read(read),
            Duty::Follower(standby) => read(standby.lock().store()),
        }
    }
}

/// Every path and method that there is.
pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/set", post(write::set))
        .route("/replicate", post(write::replicate))
        .route("/get/{*key}", get(read::get))
        .route("/dump", get(read::dump))
        .route("/health", get(status::health))
        .route("/ready", get(status::ready))
        .route("/metrics", get(status::metrics))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .fallback(async || ApiError::NotFound)
        .with_state(app)
}

/// An answer with a JSON body.
fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_vec(body).expect("our own types can be written as JSON");
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}
