use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::json;
use crate::base::InvalidKey;
use crate::base::wire::{ErrorBody, InvalidBody};
use crate::core::Rejected;

/// Everything that a request can be refused for, and the only place that turns it into a status.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("Only leader accepts writes")]
    NotLeader,
    #[error("Only followers accept replication")]
    NotFollower,
    #[error("Not found")]
    NotFound,
    #[error("Method not allowed")]
    MethodNotAllowed,
    #[error("the content type must be application/json")]
    NotJsonContent,
    #[error("the body is larger than {limit} bytes, the limit (MAX_BODY)")]
    TooLarge { limit: usize },
    #[error("the body did not arrive within {seconds} s")]
    BodyTimeout { seconds: u64 },
    #[error("the connection broke before the body was complete")]
    BodyLost,
    #[error(transparent)]
    Body(#[from] InvalidBody),
    #[error("the key in the path is not UTF-8")]
    KeyNotUtf8,
    #[error(transparent)]
    Key(#[from] InvalidKey),
    #[error(transparent)]
    Rejected(#[from] Rejected),
    #[error("the node stopped before the write was answered; it may have taken effect")]
    Abandoned,
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotLeader | Self::NotFollower => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotJsonContent => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BodyLost | Self::KeyNotUtf8 | Self::Body(InvalidBody::NotJson(_)) => StatusCode::BAD_REQUEST,
            Self::Body(InvalidBody::WrongShape(_)) | Self::Key(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Rejected(Rejected::VersionsUsedUp { .. }) => StatusCode::CONFLICT,
            Self::Abandoned => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        json(self.status(), &ErrorBody { detail: self.to_string() })
    }
}
