use std::collections::BTreeMap;

use bytes::{Buf, BytesMut};
use http::{HeaderMap, StatusCode};

use super::{ReadError, detail};
use crate::base::Key;
use crate::base::wire::{self, DumpEntry, FOLLOWER_HEADER};
use crate::core::{Identity, Standing};
use crate::net::http::{Answer, StreamedAnswer};

/// A node's `GET /dump`, entry by entry, as it comes: only the entry at hand is in memory.
pub struct DumpStream {
    is_recovering: bool,
    answer: StreamedAnswer,
    scanner: Scanner,
}

impl DumpStream {
    pub(super) async fn new(mut answer: StreamedAnswer) -> Result<Self, ReadError> {
        let status = answer.status();
        if status != StatusCode::OK {
            let body = answer.next().await.map_err(ReadError::NoAnswer)?.unwrap_or_default();
            let detail = detail(&Answer { status, headers: HeaderMap::new(), body });
            return Err(ReadError::Refused { status, detail, leader: None });
        }
        let identity = answer.headers().get(FOLLOWER_HEADER).and_then(|header| header.to_str().ok()?.parse().ok());
        let is_recovering = matches!(identity, Some(Identity { standing: Standing::Recovering, .. }));
        Ok(Self { is_recovering, answer, scanner: Scanner::default() })
    }

    /// Whether no leader has brought the node up to date since it was started: what it stores was written to it by hand.
    pub fn is_recovering(&self) -> bool {
        self.is_recovering
    }

    /// The next entry, in the order of the node; `None` after the last.
    ///
    /// # Errors
    /// [`ReadError`] if the connection ends too early, or what comes is not a dump.
    pub async fn next(&mut self) -> Result<Option<(Key, DumpEntry)>, ReadError> {
        loop {
            match self.scanner.next().map_err(ReadError::Unreadable)? {
                Scanned::Entry(key, entry) => return Ok(Some((key, entry))),
                Scanned::End => return Ok(None),
                Scanned::NeedsMore => match self.answer.next().await.map_err(ReadError::NoAnswer)? {
                    Some(piece) => self.scanner.buffer.extend_from_slice(&piece),
                    None => return Err(ReadError::Unreadable("the dump ends in the middle".into())),
                },
            }
        }
    }
}

/// Finds where the members of a JSON object end, without waiting for the end of the object.
#[derive(Debug, Default)]
struct Scanner {
    buffer: BytesMut,
    /// How much of the buffer was looked at.
    seen: usize,
    place: Place,
    has_entries: bool,
    /// Arrays and objects that are open within the member.
    depth: usize,
    in_string: bool,
    escaped: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the object.
    #[default]
    Before,
    /// In the object.
    Within,
    /// Behind it.
    Behind,
}

enum Scanned {
    Entry(Key, DumpEntry),
    NeedsMore,
    End,
}

impl Scanner {
    fn next(&mut self) -> Result<Scanned, String> {
        if self.place == Place::Before {
            let space = self.buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.buffer.advance(space);
            match self.buffer.first() {
                None => return Ok(Scanned::NeedsMore),
                Some(b'{') => self.buffer.advance(1),
                Some(_) => return Err("a dump is an object".into()),
            }
            self.place = Place::Within;
        }
        while self.place == Place::Within {
            let Some(&byte) = self.buffer.get(self.seen) else { return Ok(Scanned::NeedsMore) };
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth > 0 => self.depth -= 1,
                b',' | b'}' if self.depth == 0 => {
                    let member = self.buffer.split_to(self.seen);
                    self.buffer.advance(1);
                    self.seen = 0;
                    if byte == b'}' {
                        self.place = Place::Behind;
                    }
                    if byte == b'}' && !self.has_entries && member.iter().all(u8::is_ascii_whitespace) {
                        break;
                    }
                    self.has_entries = true;
                    return entry(&member);
                }
                _ => {}
            }
            self.seen += 1;
        }
        Ok(Scanned::End)
    }
}

/// Reads one member of the object.
fn entry(member: &[u8]) -> Result<Scanned, String> {
    let text = [b"{", member, b"}"].concat();
    let mut entries: BTreeMap<Key, DumpEntry> = wire::parse(&text).map_err(|error| error.to_string())?;
    match (entries.pop_first(), entries.is_empty()) {
        (Some((key, entry)), true) => Ok(Scanned::Entry(key, entry)),
        _ => Err("a dump has one entry between two commas".into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::wire::Dump;

    /// Feeds a text in pieces of these sizes and collects what comes out; an error or an early end is an `Err`.
    fn scan(text: &[u8], sizes: &[usize]) -> Result<Vec<(Key, DumpEntry)>, String> {
        let (mut scanner, mut rest, mut sizes) = (Scanner::default(), text, sizes.iter().cycle());
        let mut entries = Vec::new();
        loop {
            match scanner.next()? {
                Scanned::Entry(key, entry) => entries.push((key, entry)),
                Scanned::End => return Ok(entries),
                Scanned::NeedsMore if rest.is_empty() => return Err("ends in the middle".into()),
                Scanned::NeedsMore => {
                    let (piece, later) = rest.split_at((*sizes.next().expect("it cycles")).min(rest.len()));
                    scanner.buffer.extend_from_slice(piece);
                    rest = later;
                }
            }
        }
    }

    const TEXT: &str = r#" { "a" : {"value":{"x":[1,{"y":"},{\"]"}]},"version":3},
        "b,\"}é":{"value":"{[","version":1} , "c":{"value":null,"version":9007199254740992}}"#;

    proptest! {
        #[test]
        fn however_it_is_cut_the_entries_are_those_of_the_whole(sizes in prop::collection::vec(1..40usize, 1..10)) {
            let whole: Dump = serde_json::from_str(TEXT).unwrap();
            prop_assert_eq!(scan(TEXT.as_bytes(), &sizes), Ok(whole.into_iter().collect()));
        }
    }

    #[test]
    fn an_empty_store() {
        for text in ["{}", " {\n} "] {
            assert_eq!(scan(text.as_bytes(), &[1]), Ok(Vec::new()));
        }
    }

    #[test]
    fn what_is_not_a_dump_is_refused() {
        for (text, says) in [
            ("", "ends in the middle"),
            ("[]", "is an object"),
            ("<html>", "is an object"),
            (r#"{"a":{"value":1,"version":1}"#, "ends in the middle"),
            (r#"{"a":{"value":1,"version":1},}"#, "one entry"),
            (r#"{"a":{"value":1}}"#, "missing field `version`"),
            (r#"{"a":5}"#, "`a`"),
            (r#"{"a"}"#, "not JSON"),
        ] {
            let error = scan(text.as_bytes(), &[3]).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
