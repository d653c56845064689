use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use tokio::time::timeout;

use super::error::ApiError;
use crate::base::Key;

/// How long the body of a request may take.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// The whole body of a request that says it is JSON.
pub(super) async fn json_body(request: Request<Body>, limit: usize) -> Result<Bytes, ApiError> {
    if !is_json(request.headers()) {
        return Err(ApiError::NotJsonContent);
    }
    let body = request.into_body();
    // A length that is announced and too large is refused before any of it is read.
    if body.size_hint().lower() > limit as u64 {
        return Err(ApiError::TooLarge { limit });
    }
    match timeout(BODY_DEADLINE, Limited::new(body, limit).collect()).await {
        Err(_) => Err(ApiError::BodyTimeout { seconds: BODY_DEADLINE.as_secs() }),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge { limit }),
        Ok(Err(_)) => Err(ApiError::BodyLost),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

/// `application/json`, or another type with JSON's syntax (RFC 6839, `+json`), whatever its parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The key that a path names behind `/get/`, percent-decoded once. A '/' in it is part of the key.
pub(super) fn key_in_path(path: &str) -> Result<Key, ApiError> {
    let encoded = path.strip_prefix("/get/").ok_or(ApiError::NotFound)?;
    let text = percent_decode_str(encoded).decode_utf8().map_err(|_| ApiError::KeyNotUtf8)?;
    Ok(Key::new(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for (text, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/vnd.api+json", true),
            ("text/json", false),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, text.parse().unwrap())]);
            assert_eq!(is_json(&headers), json, "{text}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn keys_in_paths() {
        for (path, key) in [
            ("/get/a", "a"),
            ("/get/a/b//c/", "a/b//c/"),
            ("/get/a%2Fb", "a/b"),
            ("/get/%C3%A9", "é"),
            ("/get/é", "é"),
            ("/get/a+b", "a+b"),
            ("/get/a%20b", "a b"),
            ("/get/%2525", "%25"),
            ("/get/100%", "100%"),
            ("/get/../x", "../x"),
        ] {
            assert_eq!(key_in_path(path).unwrap().as_str(), key, "{path}");
        }
        assert!(matches!(key_in_path("/get/%ff"), Err(ApiError::KeyNotUtf8)));
        assert!(matches!(key_in_path(&format!("/get/{}", "k".repeat(1025))), Err(ApiError::Key(_))));
    }
}
