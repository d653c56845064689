use std::error::Error;
use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use tokio::time::{Instant, timeout_at};

use super::bodies::{Arrived, Bodies};
use super::error::ApiError;
use crate::base::{InvalidVersion, Key, ReadMode, Version};

/// How long the body of a request may take, however small it is.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// At which rate a larger one must come at the least, on average, in bytes per second.
const SLOWEST_BODY: usize = 100_000;

/// The whole body of a request that says it is JSON, if there is room for it.
pub(super) async fn json_body(bodies: &Bodies, request: Request<Body>, limit: usize) -> Result<Arrived, ApiError> {
    if !is_json(request.headers()) {
        return Err(ApiError::NotJsonContent);
    }
    if let Some(encoding) = other_than("identity", &header::CONTENT_ENCODING, request.headers()) {
        return Err(ApiError::ContentEncoding { encoding });
    }
    if let Some(encoding) = other_than("chunked", &header::TRANSFER_ENCODING, request.headers()) {
        return Err(ApiError::TransferEncoding { encoding });
    }
    let body = request.into_body();
    // A length that is announced and too large is refused before any of it is read.
    if body.size_hint().lower() > limit as u64 {
        return Err(ApiError::TooLarge { limit });
    }
    read(bodies, Limited::new(body, limit), limit).await
}

async fn read(bodies: &Bodies, mut body: Limited<Body>, limit: usize) -> Result<Arrived, ApiError> {
    let mut arriving = bodies.arriving()?;
    let began = Instant::now();
    loop {
        let allowed = BODY_DEADLINE + Duration::from_secs((arriving.len() / SLOWEST_BODY) as u64);
        let frame = timeout_at(began + allowed, body.frame()).await;
        let Some(frame) = frame.map_err(|_| ApiError::BodyTimeout { seconds: allowed.as_secs() })? else { break };
        match frame {
            Err(error) if error.is::<LengthLimitError>() => return Err(ApiError::TooLarge { limit }),
            Err(error) => return Err(ApiError::BodyLost(root_cause(&*error))),
            // Trailers say nothing to us.
            Ok(frame) => match frame.into_data() {
                Ok(piece) => arriving.push(piece)?,
                Err(_) => continue,
            },
        }
    }
    Ok(arriving.complete())
}

/// The error that others are about.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// `application/json`, or another type with JSON's syntax (RFC 6839, `+json`), whatever its parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// What a header says, if that is not the one thing that it may say.
fn other_than(allowed: &str, name: &HeaderName, headers: &HeaderMap) -> Option<String> {
    let differs = |value: &&HeaderValue| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(allowed.as_bytes());
    let other = headers.get_all(name).iter().find(differs)?;
    Some(String::from_utf8_lossy(other.as_bytes()).into_owned())
}

/// What a header says, if it is there and can be read.
pub(super) fn header_in<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// The key that a path names behind `/get/`, percent-decoded once. A '/' in it is part of the key.
pub(super) fn key_in_path(path: &str) -> Result<Key, ApiError> {
    let encoded = path.strip_prefix("/get/").ok_or(ApiError::NotFound)?;
    let text = percent_decode_str(encoded).decode_utf8().map_err(|_| ApiError::KeyNotUtf8)?;
    Ok(Key::new(&text)?)
}

/// What a query of `/get` asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ReadQuery {
    /// How up to date the answer must be.
    pub(super) mode: Option<ReadMode>,
    /// The lowest version that will do.
    pub(super) min_version: Option<u64>,
}

/// Reads a query. A parameter that is not known is refused: ignored, a misspelt one would weaken what was asked for.
pub(super) fn read_query(query: Option<&str>) -> Result<ReadQuery, ApiError> {
    let mut asked = ReadQuery::default();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text| {
            let decoded = percent_decode_str(text).decode_utf8();
            decoded.map_err(|_| ApiError::Query(format!("{text:?} in the query: must be percent-encoded UTF-8")))
        };
        let (name, text) = (decode(name)?, decode(value)?);
        let is_repeated = match &*name {
            "read" => {
                let wrong = |error| ApiError::Query(format!("read = {text:?}: {error}"));
                asked.mode.replace(text.parse().map_err(wrong)?).is_some()
            }
            "min_version" => {
                let number = text.parse().ok().and_then(|number| Version::new(number).ok());
                let wrong = || ApiError::Query(format!("min_version = {text:?}: {InvalidVersion}"));
                asked.min_version.replace(number.ok_or_else(wrong)?.get()).is_some()
            }
            _ => return Err(ApiError::Query(format!("query parameter {name:?}: must be read or min_version"))),
        };
        if is_repeated {
            return Err(ApiError::Query(format!("query parameter {name:?}: must be there once")));
        }
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_query_asks_for() {
        let asks = |mode, min_version| ReadQuery { mode, min_version };
        for (query, asked) in [
            (None, asks(None, None)),
            (Some(""), asks(None, None)),
            (Some("min_version=7"), asks(None, Some(7))),
            (Some("min_version=9007199254740992&read=local"), asks(Some(ReadMode::Local), Some(1 << 53))),
            (Some("read=%6cinearizable&"), asks(Some(ReadMode::Linearizable), None)),
        ] {
            assert_eq!(read_query(query).unwrap(), asked, "{query:?}");
        }
        for (query, says) in [
            ("min_version", "min_version = \"\": a version is a whole number from 1 to"),
            ("min_version=0", "min_version = \"0\": a version is a whole number from 1 to"),
            ("min_version=-1", "min_version = \"-1\": a version is a whole number from 1 to"),
            ("min_version=x&min_version=1", "min_version = \"x\": a version is a whole number from 1 to"),
            ("min_version=1&min_version=1", "query parameter \"min_version\": must be there once"),
            ("minVersion=1", "query parameter \"minVersion\": must be read or min_version"),
            ("x", "query parameter \"x\": must be read or min_version"),
            ("read=%ff", "\"%ff\" in the query: must be percent-encoded UTF-8"),
            ("read=Local", "read = \"Local\": "),
        ] {
            let error = read_query(Some(query)).unwrap_err().to_string();
            assert!(error.starts_with(says), "{query}: {error}");
        }
    }

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
