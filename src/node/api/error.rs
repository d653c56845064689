use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{address_in_header, json, of_epoch};
use crate::base::wire::{ErrorBody, InvalidBody, LEADER_HEADER};
use crate::base::{Epoch, InvalidKey, Key, ReadMode, Stamp};
use crate::core::Rejected;
use crate::net::HostPort;

/// Everything that a request can be refused for, and the only place that turns it into a status.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("Only leader accepts writes")]
    NotLeader { leader: Option<HostPort> },
    #[error("only a leader waits for what followers know; this node is a follower")]
    NotWaiting,
    #[error("Only followers accept replication")]
    NotFollower,
    #[error(
        "Only peers may ask for this: PEER_TOKEN is set here, and the request must carry it as `authorization: Bearer …`"
    )]
    NotPeer,
    #[error("Not found")]
    NotFound,
    #[error("Method not allowed")]
    MethodNotAllowed,
    #[error("{0}")]
    Host(&'static str),
    #[error("the content type must be application/json")]
    NotJsonContent,
    #[error("content-encoding {encoding:?}: the body must be sent as it is, without a content-encoding")]
    ContentEncoding { encoding: String },
    #[error("the body is larger than {limit} bytes, the limit (MAX_BODY)")]
    TooLarge { limit: usize },
    #[error("{0}")]
    TooLargeForFollowers(String),
    #[error("the bodies of the requests that are under way leave no room for this one; try again soon")]
    TooManyBodies,
    #[error("the body did not arrive within {seconds} s")]
    BodyTimeout { seconds: u64 },
    #[error("the body cannot be read to its end: {0}")]
    BodyLost(String),
    #[error("transfer-encoding {encoding:?}: must be chunked, if there is one")]
    TransferEncoding { encoding: String },
    #[error("the target of the request must be a path that begins with a slash, or a URL")]
    Target,
    #[error(transparent)]
    Body(#[from] InvalidBody),
    #[error("the key in the path is not UTF-8")]
    KeyNotUtf8,
    #[error(transparent)]
    Key(#[from] InvalidKey),
    #[error(
        "field `key`: {0:?} cannot be read again: clients take it out of the path /get/{0} before they send that (RFC 3986, section 5.2.4)"
    )]
    DotKey(Key),
    #[error("{0}")]
    Query(String),
    #[error(transparent)]
    Rejected(#[from] Rejected),
    #[error("key {key:?} has version {version} here, and not yet {min_version}, after {seconds} s", version = version_or_zero(.stored))]
    NotYet { key: Key, min_version: u64, stored: Option<Stamp>, seconds: f64, leader: Option<HostPort> },
    #[error(
        "epoch {epoch}: must be at most {greatest} now, a year ahead of this node's clock and of the epoch that it has promised; if the \
         cluster has had a later one, from a clock that was wrong, start all nodes with a PEER_TOKEN, which lifts this bound",
        epoch = .epoch.get(),
        greatest = .greatest.get()
    )]
    EpochTooFar { epoch: Epoch, greatest: Epoch },
    #[error("key {key:?}: epoch and leader go together; a write by hand has neither")]
    HalfALeader { key: Key },
    #[error("key {key:?}: a write that says `deleted` has the value null")]
    DeletedWithValue { key: Key },
    #[error("{0}")]
    NotServing(String),
    #[error(
        "this follower has just started, and may have forgotten what it stored; a leader has not brought it up to date yet: GET /ready \
         says why, and what to do"
    )]
    Recovering,
    #[error(
        "only the leader can answer read={mode}; a follower knows what it stores (read=local), and waits for min_version"
    )]
    LocalOnly { mode: ReadMode, leader: Option<HostPort> },
    #[error("too few followers have confirmed in time that this is still the leader")]
    NotSure,
    #[error("there is no loss to accept: the leader does not wait for followers that remember. Its state: {state}")]
    NothingToAccept { state: String },
    #[error("the node stopped before the write was answered; it may have taken effect")]
    Abandoned,
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotLeader { .. } | Self::NotWaiting | Self::NotFollower => StatusCode::FORBIDDEN,
            Self::NotPeer => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotJsonContent | Self::ContentEncoding { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } | Self::TooLargeForFollowers(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyBodies => StatusCode::SERVICE_UNAVAILABLE,
            Self::BodyTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Host(_)
            | Self::Target
            | Self::BodyLost(_)
            | Self::KeyNotUtf8
            | Self::Body(InvalidBody::NotJson(_)) => StatusCode::BAD_REQUEST,
            Self::Body(InvalidBody::WrongShape(_)) | Self::Key(_) | Self::DotKey(_) | Self::Query(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::HalfALeader { .. } | Self::DeletedWithValue { .. } | Self::EpochTooFar { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::Rejected(
                Rejected::VersionsUsedUp { .. } | Rejected::WrongVersion { .. } | Rejected::OtherRequest { .. },
            ) => StatusCode::CONFLICT,
            Self::TransferEncoding { .. } => StatusCode::NOT_IMPLEMENTED,
            Self::NotYet { .. } | Self::NotSure => StatusCode::GATEWAY_TIMEOUT,
            Self::LocalOnly { .. } => StatusCode::FORBIDDEN,
            Self::NothingToAccept { .. } => StatusCode::CONFLICT,
            Self::NotServing(_)
            | Self::Recovering
            | Self::Rejected(Rejected::NotServing(_) | Rejected::Overloaded { .. }) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Abandoned => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Goes with the answer to a request that was refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    /// Why, for the metrics.
    pub(super) reason: &'static str,
    /// Whether it was refused before its body had come, if it has one.
    pub(super) leaves_body: bool,
}

impl ApiError {
    fn leaves_body(&self) -> bool {
        matches!(
            self,
            Self::NotLeader { .. }
                | Self::NotWaiting
                | Self::NothingToAccept { .. }
                | Self::NotFollower
                | Self::NotPeer
                | Self::NotFound
                | Self::MethodNotAllowed
                | Self::Host(_)
                | Self::NotJsonContent
                | Self::ContentEncoding { .. }
                | Self::TooLarge { .. }
                | Self::TooManyBodies
                | Self::BodyTimeout { .. }
                | Self::BodyLost(_)
                | Self::TransferEncoding { .. }
                | Self::Target
        )
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NotLeader { .. } | Self::LocalOnly { .. } => "not_leader",
            Self::NotWaiting | Self::NothingToAccept { .. } => "nothing_to_accept",
            Self::NotFollower => "not_follower",
            Self::NotPeer => "not_peer",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotJsonContent | Self::ContentEncoding { .. } => "content_type",
            Self::Host(_) => "bad_host",
            Self::Target => "bad_target",
            Self::TransferEncoding { .. } => "transfer_encoding",
            Self::TooLarge { .. } | Self::TooLargeForFollowers(_) => "too_large",
            Self::TooManyBodies | Self::Rejected(Rejected::Overloaded { .. }) => "overloaded",
            Self::BodyTimeout { .. } | Self::BodyLost(_) => "body_lost",
            Self::Body(_) | Self::HalfALeader { .. } | Self::DeletedWithValue { .. } => "bad_body",
            Self::KeyNotUtf8 | Self::Key(_) | Self::DotKey(_) => "bad_key",
            Self::Query(_) => "bad_query",
            Self::EpochTooFar { .. } => "epoch_too_far",
            Self::Rejected(Rejected::VersionsUsedUp { .. }) => "versions_used_up",
            Self::Rejected(Rejected::WrongVersion { .. }) => "wrong_version",
            Self::Rejected(Rejected::OtherRequest { .. }) => "other_request",
            Self::NotYet { .. } => "not_yet",
            Self::NotServing(_) | Self::Rejected(Rejected::NotServing(_)) => "not_serving",
            Self::Recovering => "recovering",
            Self::NotSure => "not_sure",
            Self::Abandoned => "abandoned",
        }
    }
}

/// The version of what is stored, 0 if nothing is.
fn version_or_zero(stored: &Option<Stamp>) -> u64 {
    stored.map_or(0, |stamp| stamp.version.get())
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let refusal = Refusal { reason: self.reason(), leaves_body: self.leaves_body() };
        let mut response = self.response();
        response.extensions_mut().insert(refusal);
        response
    }
}

impl ApiError {
    fn response(self) -> Response {
        let version = match &self {
            Self::Rejected(Rejected::WrongVersion { current, .. }) => Some(*current),
            Self::NotYet { stored, .. } => Some(version_or_zero(stored)),
            _ => None,
        };
        let mut response = json(self.status(), &ErrorBody { detail: self.to_string(), version });
        if let Self::NotLeader { leader } | Self::NotYet { leader, .. } | Self::LocalOnly { leader, .. } = &self
            && let Some(leader) = leader.as_ref().and_then(address_in_header)
        {
            response.headers_mut().insert(LEADER_HEADER, leader);
        }
        if let Self::NotYet { stored: Some(stored), .. } = &self {
            response = of_epoch(stored.epoch, response);
        }
        let (name, value) = match self {
            Self::NotPeer => (header::WWW_AUTHENTICATE, "Bearer"),
            Self::TooManyBodies
            | Self::NotServing(_)
            | Self::Recovering
            | Self::Rejected(Rejected::NotServing(_) | Rejected::Overloaded { .. }) => (header::RETRY_AFTER, "1"),
            _ => return response,
        };
        response.headers_mut().insert(name, HeaderValue::from_static(value));
        response
    }
}
