use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Write;
use std::mem;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::task::yield_now;

use super::error::ApiError;
use super::{App, Duty, JSON};
use crate::base::wire::FOLLOWER_HEADER;
use crate::base::{Epoch, Key, Value, Version};
use crate::core::Standing;
use crate::node::SHARE_FROM;

/// How much of a dump is put together at a time, in bytes, give or take one entry. It takes a tenth of a millisecond.
const CHUNK: usize = 16 << 10;

/// `GET /dump`: every key in order, streamed. Each chunk is a consistent view of the keys in it; between chunks writes
/// go on. So the memory it takes does not depend on the number of keys, and no write waits for a slow reader.
///
/// What a node stores that is being brought up to date, or does not know yet what was written before it, is no answer to what it
/// stores: such a node refuses, as it does a read. A follower that no leader has ever asked stores what was written to it by hand.
pub(super) async fn dump(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    app.until_serving().await?;
    let identity = match &app.duty {
        Duty::Leader(_) => None,
        Duty::Follower(standby) => {
            let follower = standby.lock();
            if follower.standing() == Standing::Recovering && follower.promised().epoch > Epoch::ZERO {
                return Err(ApiError::Recovering);
            }
            HeaderValue::try_from(follower.identity().to_string()).ok()
        }
    };
    let dump = Dump { app, cursor: Some(Cursor::Start), ready: VecDeque::new(), has_entries: false };
    let pieces = stream::unfold(dump, async |mut dump| Some((Ok::<_, Infallible>(dump.next().await?), dump)));
    let mut response = ([(header::CONTENT_TYPE, JSON)], Body::from_stream(pieces)).into_response();
    // A leader whose questions are refused on the way knows by this that the follower may remember something.
    if let Some(identity) = identity {
        response.headers_mut().insert(FOLLOWER_HEADER, identity);
    }
    Ok(response)
}

/// How many keys are looked at for that, deleted ones among them.
const MOST_KEYS: usize = 1024;

/// A dump that is being sent.
struct Dump {
    app: Arc<App>,
    /// Where to go on; none after the last key.
    cursor: Option<Cursor>,
    /// What was put together and not sent.
    ready: VecDeque<Bytes>,
    /// Whether any key was put in.
    has_entries: bool,
}

/// Up to where a dump has come.
enum Cursor {
    Start,
    After(Key),
}

impl Dump {
    /// The next piece; none after the last.
    async fn next(&mut self) -> Option<Bytes> {
        while self.ready.is_empty() {
            let cursor = self.cursor.take()?;
            // A reader that is fast would have the node put together one chunk after the other, and do nothing else.
            yield_now().await;
            self.cursor = self.fill(cursor);
        }
        self.ready.pop_front()
    }

    /// Puts the next chunk together. Returns where to go on; none if this was the last.
    fn fill(&mut self, cursor: Cursor) -> Option<Cursor> {
        let mut chunk = Chunk { ready: &mut self.ready, text: Vec::with_capacity(2 * CHUNK) };
        let after = match cursor {
            Cursor::Start => None,
            Cursor::After(key) => Some(key),
        };
        let (mut size, mut has_entries) = (0, self.has_entries);
        if !has_entries && after.is_none() {
            chunk.text.push(b'{');
        }
        let last = self.app.read(|contents| {
            // Deleted keys are passed over, and take their time too.
            for (visited, (key, entry)) in (1..).zip(contents.after(after.as_ref())) {
                if let Some(value) = &entry.value {
                    if mem::replace(&mut has_entries, true) {
                        chunk.text.push(b',');
                    }
                    chunk.push(key, value, entry.stamp.version);
                    size += key.as_str().len() + value.as_json().len();
                }
                if size >= CHUNK || visited == MOST_KEYS {
                    return Some(key.clone());
                }
            }
            None
        });
        self.has_entries = has_entries;
        if last.is_none() {
            chunk.text.extend_from_slice(b"}\n");
        }
        chunk.flush();
        last.map(Cursor::After)
    }
}

/// A part of a dump that is being put together.
struct Chunk<'a> {
    ready: &'a mut VecDeque<Bytes>,
    text: Vec<u8>,
}

impl Chunk<'_> {
    fn push(&mut self, key: &Key, value: &Value, version: Version) {
        serde_json::to_writer(&mut self.text, key).expect("writing to memory cannot fail");
        self.text.extend_from_slice(b":{\"value\":");
        if value.as_json().len() < SHARE_FROM {
            self.text.extend_from_slice(value.as_json().as_bytes());
        } else {
            self.flush();
            self.ready.push_back(value.to_shared_bytes());
        }
        write!(self.text, ",\"version\":{}}}", version.get()).expect("writing to memory cannot fail");
    }

    /// Ends a piece of text.
    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.ready.push_back(mem::take(&mut self.text).into());
        }
    }
}
