//! The HTTP interface.

mod admin;
mod awaited;
mod bodies;
mod dump;
mod envelope;
mod error;
mod peer;
mod read;
mod request;
mod standby;
mod status;
mod write;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;

use super::clock::Clock;
use super::cors::CorsOrigins;
use super::metrics::Metrics;
use super::peer::PeerToken;
use super::replicator::Replicator;
use crate::base::wire::{EPOCH_HEADER, Ready};
use crate::base::{Epoch, Key, Version};
use crate::core::{Entry, Follower, Leader, Standing};
use crate::net::HostPort;
pub(super) use awaited::Awaited;
pub(super) use bodies::Bodies;
use envelope::envelope;
use error::ApiError;
pub(super) use standby::Standby;

/// What the handlers share.
pub(super) struct App {
    pub(super) duty: Duty,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// The largest request body, in bytes.
    pub(super) max_body: usize,
    /// Room for the bodies that come in.
    pub(super) bodies: Bodies,
    /// Who waits for a version of a key.
    pub(super) awaited: Awaited,
    /// How long they do.
    pub(super) patience: Duration,
    /// How long a client waits for a leader that does not serve yet.
    pub(super) start_patience: Duration,
}

/// What the node does, with what it needs for it.
pub(super) enum Duty {
    Leader(Arc<Replicator>),
    Follower(Box<Standby>),
}

impl App {
    /// Reads what the node stores.
    fn read<R>(&self, read: impl FnOnce(Contents<'_>) -> R) -> R {
        match &self.duty {
            Duty::Leader(replicator) => replicator.read(|leader| read(Contents::Leader(leader))),
            Duty::Follower(standby) => read(Contents::Follower(&standby.lock())),
        }
    }

    /// Where clients reach the leader, if this is a follower that knows.
    fn leader(&self) -> Option<HostPort> {
        match &self.duty {
            Duty::Leader(_) => None,
            Duty::Follower(standby) => standby.leader(),
        }
    }

    /// Waits until a leader serves, if it has just started.
    async fn until_serving(&self) -> Result<(), ApiError> {
        match &self.duty {
            Duty::Leader(replicator) if !replicator.until_serving(self.start_patience).await => {
                Err(ApiError::NotServing(replicator.followers().readiness().detail))
            }
            Duty::Leader(_) | Duty::Follower(_) => Ok(()),
        }
    }

    /// The epoch in which the node leads, or the one that it has promised to its leader.
    fn epoch(&self) -> Epoch {
        match &self.duty {
            Duty::Leader(replicator) => replicator.read(|leader| leader.epoch()),
            Duty::Follower(standby) => standby.lock().promised().epoch,
        }
    }

    /// Whether the node can do its work, and if not, why and what to do.
    pub(super) fn readiness(&self) -> Ready {
        self.situation().0
    }

    /// The same, and whether there is something else that a person should know.
    pub(super) fn situation(&self) -> (Ready, bool) {
        match &self.duty {
            Duty::Leader(replicator) => {
                let followers = replicator.followers();
                let has_notes = followers.notes().next().is_some();
                (followers.readiness(), has_notes)
            }
            Duty::Follower(standby) => standby.situation(self.clock.now()),
        }
    }
}

/// An address for [`LEADER_HEADER`](crate::base::wire::LEADER_HEADER). One that no header can carry nobody can connect to either.
pub(super) fn address_in_header(address: &HostPort) -> Option<HeaderValue> {
    HeaderValue::try_from(address.to_string()).ok()
}

/// What a node stores, as a reader finds it.
enum Contents<'a> {
    Leader(&'a Leader),
    Follower(&'a Follower),
}

impl<'a> Contents<'a> {
    fn get(&self, key: &Key) -> Option<&'a Entry> {
        match self {
            Self::Leader(leader) => leader.store().get(key),
            Self::Follower(follower) => follower.get(key),
        }
    }

    /// Up to which version a key that is not there was deleted, if it ever was there: that of its tombstone, or the greatest of a
    /// deletion that was forgotten.
    fn deleted_up_to(&self, key: &Key) -> Option<Version> {
        let (entry, floor) = match self {
            Self::Leader(leader) => (leader.store().entry(key), leader.floor()),
            Self::Follower(follower) => (follower.entry(key), follower.floor()),
        };
        match entry {
            Some(entry) => entry.is_tombstone().then_some(entry.stamp.version),
            None => floor,
        }
    }

    /// The keys after this one, or all, in order, those that were deleted among them.
    fn after<'k: 'a>(&self, key: Option<&'k Key>) -> Box<dyn Iterator<Item = (&'a Key, &'a Entry)> + 'a> {
        match self {
            Self::Leader(leader) => Box::new(leader.store().after(key)),
            Self::Follower(follower) => Box::new(follower.after(key)),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Leader(leader) => leader.store().len(),
            Self::Follower(follower) => follower.len(),
        }
    }

    fn tombstones(&self) -> usize {
        match self {
            Self::Leader(leader) => leader.store().tombstone_count(),
            Self::Follower(follower) => follower.store().tombstone_count(),
        }
    }

    /// Whether what is not there may only have been forgotten.
    fn may_have_forgotten(&self) -> bool {
        matches!(self, Self::Follower(follower) if follower.identity().standing == Standing::Recovering)
    }
}

/// Every path and method that there is.
pub(super) fn router(app: Arc<App>, peer_token: Option<PeerToken>, cors: Option<&CorsOrigins>) -> Router {
    let for_clients = Router::new()
        .route("/set", post(write::set))
        .route("/delete", post(write::delete))
        .route("/get/{*key}", get(read::get))
        .route("/dump", get(dump::dump))
        .route("/health", get(status::health))
        .route("/ready", get(status::ready))
        .route("/status", get(status::status))
        .route("/metrics", get(status::metrics))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed);
    // A web page that could act as a peer could do so in the name of anybody who opens it.
    let for_clients = match cors {
        Some(origins) => for_clients.layer(origins.layer()),
        None => for_clients,
    };
    for_clients
        .merge(for_peers(peer_token))
        .fallback(async || ApiError::NotFound)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), envelope))
        .with_state(app)
}

/// The paths that only peers have a use for. With a token they are for nobody else, whatever the node's role.
fn for_peers(token: Option<PeerToken>) -> Router<Arc<App>> {
    let paths = Router::new()
        .route("/replicate", post(write::replicate))
        .route("/peer", post(peer::ask))
        .route("/admin/accept-loss", post(admin::accept_loss).get(admin::show_loss));
    let paths = match token {
        None => paths,
        Some(token) => paths.route_layer(middleware::from_fn_with_state(token, admit)),
    };
    paths.method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
}

/// Lets a peer's request pass. Anybody else's is answered before anything of its body is read.
async fn admit(State(token): State<PeerToken>, request: Request, next: Next) -> Result<Response, ApiError> {
    if token.admits(request.headers()) { Ok(next.run(request).await) } else { Err(ApiError::NotPeer) }
}

/// An answer that tells a version of this epoch.
fn of_epoch(epoch: Epoch, mut response: Response) -> Response {
    response.headers_mut().insert(EPOCH_HEADER, HeaderValue::from(epoch.get()));
    response
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer with a JSON body.
fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut text = serde_json::to_vec(body).expect("our own types can be written as JSON");
    // A shell's prompt belongs on a line of its own.
    text.push(b'\n');
    (status, [(header::CONTENT_TYPE, JSON)], text).into_response()
}
