//! Which web pages may use a node from a browser.

use std::str::FromStr;
use std::time::Duration;

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::base::wire::{EPOCH_HEADER, LEADER_HEADER};

/// How long a browser may rely on the answer to a preflight request.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// The origins of the web pages that may read a node's answers (Fetch standard, CORS protocol).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsOrigins(Origins);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Origins {
    Any,
    Listed(Vec<HeaderValue>),
}

/// A text that names no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no origin: must be * for every page, or origins such as http://localhost:3000, separated by commas"
)]
pub struct InvalidOrigin {
    text: String,
}

impl FromStr for CorsOrigins {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        if text.trim() == "*" {
            return Ok(Self(Origins::Any));
        }
        let origins: Result<Vec<HeaderValue>, InvalidOrigin> =
            text.split(',').map(|item| origin(item.trim())).collect();
        Ok(Self(Origins::Listed(origins?)))
    }
}

/// An origin as browsers send it: scheme, host and port, in lower case, without a port that is the scheme's own.
fn origin(text: &str) -> Result<HeaderValue, InvalidOrigin> {
    let invalid = || InvalidOrigin { text: text.to_owned() };
    let uri: Uri = text.parse().map_err(|_| invalid())?;
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else { return Err(invalid()) };
    let usual_port = if *scheme == Scheme::HTTP {
        80
    } else if *scheme == Scheme::HTTPS {
        443
    } else {
        return Err(invalid());
    };
    let has_path = uri.path_and_query().map_or("/", PathAndQuery::as_str) != "/" || text.contains('#');
    if has_path || authority.as_str().contains('@') || authority.host().contains('*') {
        return Err(invalid());
    }
    let host = authority.host().to_ascii_lowercase();
    let port = match authority.as_str()[authority.host().len()..].strip_prefix(':') {
        None => None,
        Some(port) => Some(port.parse::<u16>().map_err(|_| invalid())?),
    };
    let origin = match port.filter(|port| *port != usual_port) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    };
    HeaderValue::try_from(origin).map_err(|_| invalid())
}

impl CorsOrigins {
    /// Answers preflight requests, and says in each answer that the page may read it.
    pub(super) fn layer(&self) -> CorsLayer {
        let origins = match &self.0 {
            Origins::Any => AllowOrigin::any(),
            Origins::Listed(origins) => AllowOrigin::list(origins.iter().cloned()),
        };
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([header::CONTENT_TYPE])
            .expose_headers([
                HeaderName::from_static(EPOCH_HEADER),
                HeaderName::from_static(LEADER_HEADER),
                header::RETRY_AFTER,
            ])
            .max_age(MAX_AGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_send_them() {
        let listed = |text: &str| match text.parse::<CorsOrigins>().unwrap_or_else(|error| panic!("{error}")).0 {
            Origins::Any => vec!["*".to_owned()],
            Origins::Listed(origins) => origins.iter().map(|origin| origin.to_str().unwrap().to_owned()).collect(),
        };
        assert_eq!(listed(" * "), ["*"]);
        assert_eq!(
            listed("http://Localhost:3000, https://lab.example/,http://a:80,https://[::1]:8443"),
            ["http://localhost:3000", "https://lab.example", "http://a", "https://[::1]:8443"]
        );
    }

    #[test]
    fn what_is_no_origin_is_named() {
        for text in [
            "",
            "localhost",
            "localhost:3000",
            "http://",
            "http://a/b",
            "http://a?b",
            "http://a#b",
            "http://me@a",
            "ftp://a",
            "null",
            "http://*.a",
            "http://a:99999",
            "http://a,",
            "http://a,*",
        ] {
            let error = text.parse::<CorsOrigins>().expect_err(text).to_string();
            assert!(error.contains("is no origin: must be *"), "{error}");
        }
    }
}
