//! What holds for every request and every answer, whatever the path.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body::Body as _;

use super::error::{ApiError, Refusal};
use super::standby::LeaderRefused;
use super::{App, Duty};
use crate::base::wire::EPOCH_HEADER;
use crate::node::body_limit::FollowerLimit;

/// Checks what every request must have, counts refusals, and adds the headers that do not depend on the path.
pub(super) async fn envelope(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let has_body = !request.body().is_end_stream();
    let is_about_a_key = is_about_a_key(request.uri().path());
    let is_of_a_leader = matches!(request.uri().path(), "/peer" | "/replicate");
    let mut response = match check_host(request.version(), request.headers())
        .and_then(|()| check_target(request.method(), request.uri()))
    {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    if let Some(refusal) = response.extensions().get::<Refusal>().copied() {
        app.metrics.refused(refusal.reason);
        if is_of_a_leader {
            note_refusal(&app, response.status());
        }
        // What the client still sends is no request.
        if has_body && refusal.leaves_body {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
    if is_about_a_key && !response.headers().contains_key(EPOCH_HEADER) {
        response.headers_mut().insert(EPOCH_HEADER, HeaderValue::from(app.epoch().get()));
    }
    response
}

/// Keeps why a leader's request was refused, for people.
fn note_refusal(app: &App, status: StatusCode) {
    let Duty::Follower(standby) = &app.duty else { return };
    let why = match status {
        StatusCode::UNAUTHORIZED => LeaderRefused::WrongToken,
        StatusCode::PAYLOAD_TOO_LARGE => LeaderRefused::TooLarge { limit: FollowerLimit(app.max_body) },
        _ => return,
    };
    standby.refuses_a_leader(app.clock.now(), why);
}

/// Whether a path reads or writes a key.
fn is_about_a_key(path: &str) -> bool {
    path == "/set" || path == "/delete" || path.starts_with("/get/")
}

/// Requires exactly one valid `host` in HTTP/1.1 (RFC 9112, section 3.2).
fn check_host(version: Version, headers: &HeaderMap) -> Result<(), ApiError> {
    if version < Version::HTTP_11 {
        return Ok(());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host) => Ok(()),
        (Some(_), None) => Err(ApiError::Host("the host header must be a name or an address, and may have a port")),
        (None, _) => Err(ApiError::Host("a request of HTTP/1.1 must have a host header")),
        (Some(_), Some(_)) => Err(ApiError::Host("a request must have one host header, not several")),
    }
}

/// Refuses a target that names a host alone, which only CONNECT may have (RFC 9112, section 3.2.3). `GET health` looks like one.
fn check_target(method: &Method, target: &Uri) -> Result<(), ApiError> {
    let names_host_alone = target.authority().is_some() && target.scheme().is_none();
    if names_host_alone && method != Method::CONNECT { Err(ApiError::Target) } else { Ok(()) }
}

/// Whether a value is a host with or without a port. It may be empty, for a URI that has no authority.
fn is_host(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let is_authority =
        |text: &str| !text.contains('@') && text.parse::<Authority>().is_ok_and(|it| has_valid_port(&it));
    text.is_empty() || is_authority(text)
}

/// Whether what follows the colon, if there is one, is a port or nothing.
fn has_valid_port(authority: &Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':'));
    port.is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (text, valid) in [
            ("", true),
            ("x", true),
            ("x:", true),
            ("leader.example:8000", true),
            ("127.0.0.1:8000", true),
            ("[::1]", true),
            ("[::1]:8000", true),
            ("a_b", true),
            ("x:port", false),
            ("x:65536", false),
            ("x:1:2", false),
            ("me@x", false),
            ("a b", false),
            ("a/b", false),
            ("a,b", true),
            ("[::1", false),
            ("http://x", false),
        ] {
            assert_eq!(is_host(&HeaderValue::from_static(text)), valid, "{text:?}");
        }
        assert!(!is_host(&HeaderValue::from_bytes(b"\xff").unwrap()));
    }

    #[test]
    fn only_http_1_1_needs_a_host() {
        let none = HeaderMap::new();
        assert!(check_host(Version::HTTP_10, &none).is_ok());
        assert!(check_host(Version::HTTP_11, &none).unwrap_err().to_string().contains("must have a host"));
        let mut two = HeaderMap::new();
        for _ in 0..2 {
            two.append(header::HOST, HeaderValue::from_static("x"));
        }
        assert!(check_host(Version::HTTP_11, &two).unwrap_err().to_string().contains("not several"));
    }
}
