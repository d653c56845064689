use std::fmt;

use http::{HeaderMap, HeaderValue, header};
use subtle::ConstantTimeEq;

/// The scheme that a peer's token goes under (RFC 6750), with the space that ends it.
const SCHEME: &[u8] = b"Bearer ";

/// What nodes of one cluster know each other by. Neither its `Debug` form nor any message of the program shows it.
#[derive(Debug, Clone)]
pub struct PeerToken {
    /// The header's value, which is marked as sensitive.
    authorization: HeaderValue,
}

/// Why a text is not a [`PeerToken`]. It does not show the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {} bytes of visible ASCII, without spaces", PeerToken::LONGEST)]
pub struct InvalidPeerToken;

impl PeerToken {
    /// The most bytes that a token may have.
    pub const LONGEST: usize = 256;

    /// A token of 1 to 256 bytes of visible ASCII.
    ///
    /// # Errors
    /// [`InvalidPeerToken`].
    pub fn new(token: &str) -> Result<Self, InvalidPeerToken> {
        let is_valid = (1..=Self::LONGEST).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
        let text = [SCHEME, token.as_bytes()].concat();
        let mut authorization = HeaderValue::from_bytes(&text).ok().filter(|_| is_valid).ok_or(InvalidPeerToken)?;
        authorization.set_sensitive(true);
        Ok(Self { authorization })
    }

    /// What a request to a peer carries as its `authorization`.
    pub(super) fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }

    /// Whether a request with these headers comes from a peer. How long that takes does not tell how much of a wrong
    /// token is right; at most it tells the length.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        let Some((scheme, token)) = given.split_at_checked(SCHEME.len()) else { return false };
        let ours = &self.authorization.as_bytes()[SCHEME.len()..];
        scheme.eq_ignore_ascii_case(SCHEME) && token.ct_eq(ours).into()
    }
}

/// A setting that is shown nowhere, not even where it is wrong.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// What it is, for whoever checks it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(token: &str, authorization: &str) -> bool {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, authorization.parse().unwrap())]);
        PeerToken::new(token).unwrap().admits(&headers)
    }

    #[test]
    fn only_the_token_is_admitted() {
        for right in ["Bearer s3cret", "bearer s3cret", "BEARER s3cret"] {
            assert!(admits("s3cret", right), "{right}");
        }
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer s3cre",
            "Bearer s3crets",
            "Bearer S3cret",
            "Bearer  s3cret",
            "Basic s3cret",
            "s3cret",
            "Bearers3cret",
        ] {
            assert!(!admits("s3cret", wrong), "{wrong}");
        }
        assert!(!PeerToken::new("s3cret").unwrap().admits(&HeaderMap::new()));
    }

    #[test]
    fn what_can_be_a_token() {
        for valid in ["a", "!~", &"k".repeat(256)] {
            assert!(PeerToken::new(valid).is_ok(), "{valid}");
        }
        for invalid in ["", " ", "a b", "a\n", "\t", "é", "\u{7f}", &"k".repeat(257)] {
            assert!(PeerToken::new(invalid).is_err(), "{invalid:?}");
        }
    }

    #[test]
    fn nothing_shows_it() {
        let shown = format!("{:?} {:?}", PeerToken::new("s3cret").unwrap(), Secret::from("s3cret".to_owned()));
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
