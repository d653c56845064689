use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::time::timeout;

use super::error::ApiError;
use super::request::{ReadQuery, key_in_path, read_query};
use super::write::refusal;
use super::{App, Contents, Duty, json, of_epoch};
use crate::base::wire::{DumpEntry, FOLLOWER_HEADER, Found};
use crate::base::{Epoch, Key, ReadMode, Stamp, Value};
use crate::core::{Entry, Standing};
use crate::node::replicator::Committed;

/// `GET /get/{key}`, and `GET /get/{key}?min_version=N`, which waits until the node has that version of the key or a later
/// one.
pub(super) async fn get(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, ApiError> {
    let key = key_in_path(uri.path())?;
    let ReadQuery { mode, min_version } = read_query(uri.query())?;
    let mode = mode.unwrap_or_default();
    app.until_serving().await?;
    let (Stamp { epoch, version }, value) = match (mode, min_version) {
        (ReadMode::Local, None) => app.read(|contents| find(&contents, &key))?,
        (ReadMode::Local, Some(min_version)) => get_from(&app, &key, min_version).await??,
        (_, Some(_)) => return Err(ApiError::Query("read and min_version do not go together".into())),
        (mode, None) => get_committed(&app, key.clone(), mode).await?.and_then(shown).ok_or(ApiError::NotFound)?,
    };
    Ok(of_epoch(epoch, json(StatusCode::OK, &Found { key, value, version, epoch })))
}

/// What of a key was committed, which only a leader can tell.
async fn get_committed(app: &App, key: Key, mode: ReadMode) -> Result<Option<Entry>, ApiError> {
    let replicator = match &app.duty {
        Duty::Leader(replicator) => replicator,
        Duty::Follower(standby) => return Err(ApiError::LocalOnly { mode, leader: standby.leader() }),
    };
    match mode {
        ReadMode::Linearizable => {
            match replicator.read_surely(key).await.map_err(|rejected| refusal(replicator, rejected))? {
                Some(Committed(entry)) => Ok(entry),
                None => Err(ApiError::NotSure),
            }
        }
        _ => Ok(replicator.committed(&key)),
    }
}

/// What of an entry a reader is shown; nothing of a tombstone.
fn shown(entry: Entry) -> Option<(Stamp, Value)> {
    Some((entry.stamp, entry.value?))
}

/// What a key holds. Who may have forgotten it cannot say that it is not there.
fn find(contents: &Contents<'_>, key: &Key) -> Result<(Stamp, Value), ApiError> {
    match contents.get(key).cloned().and_then(shown) {
        Some((stamp, value)) if !contents.may_have_forgotten() || stamp.epoch == Epoch::ZERO => Ok((stamp, value)),
        _ if contents.may_have_forgotten() => Err(ApiError::Recovering),
        _ => Err(ApiError::NotFound),
    }
}

/// What a key holds as of this version or a later one; or that it was deleted since.
async fn get_from(app: &App, key: &Key, min_version: u64) -> Result<Result<(Stamp, Value), ApiError>, ApiError> {
    let reader = app.awaited.wait_for(key.clone());
    let found = async {
        loop {
            let next_write = reader.next_write();
            let (found, deleted) = app.read(|contents| (find(&contents, key), contents.deleted_up_to(key)));
            match found {
                Ok((stamp, _)) if stamp.version.get() >= min_version => return found,
                Err(ApiError::NotFound) if deleted.is_some_and(|version| version.get() >= min_version) => return found,
                _ => next_write.await,
            }
        }
    };
    timeout(app.patience, found).await.map_err(|_| ApiError::NotYet {
        key: key.clone(),
        min_version,
        version: app.read(|contents| contents.get(key).map(|entry| entry.stamp.version.get())),
        seconds: app.patience.as_secs_f64(),
        leader: app.leader(),
    })
}

/// How much of a dump is put together at a time, in bytes, give or take one entry.
const CHUNK: usize = 64 << 10;

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
    let chunks = stream::unfold(Some(Cursor::Start), move |cursor| {
        let chunk = cursor.map(|cursor| next_chunk(&app, cursor));
        std::future::ready(chunk.map(|(text, next)| (Ok::<_, Infallible>(text), next)))
    });
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let mut response = (content_type, Body::from_stream(chunks)).into_response();
    // A leader whose questions are refused on the way knows by this that the follower may remember something.
    if let Some(identity) = identity {
        response.headers_mut().insert(FOLLOWER_HEADER, identity);
    }
    Ok(response)
}

/// Up to where a dump has come.
enum Cursor {
    Start,
    After(Key),
}

/// The next piece of the dump, and where to go on; `None` when this was the last.
fn next_chunk(app: &App, cursor: Cursor) -> (Bytes, Option<Cursor>) {
    let mut text = Vec::with_capacity(CHUNK + CHUNK / 4);
    let after = match cursor {
        Cursor::Start => None,
        Cursor::After(key) => Some(key),
    };
    let mut separator = if after.is_some() { b',' } else { b'{' };
    let last = app.read(|contents| {
        for (key, entry) in contents.after(after.as_ref()) {
            let Some((Stamp { version, .. }, value)) = shown(entry.clone()) else { continue };
            let entry = DumpEntry { value, version };
            text.push(separator);
            separator = b',';
            serde_json::to_writer(&mut text, key).expect("writing to memory cannot fail");
            text.push(b':');
            serde_json::to_writer(&mut text, &entry).expect("writing to memory cannot fail");
            if text.len() >= CHUNK {
                return Some(key.clone());
            }
        }
        None
    });
    if last.is_none() {
        let is_empty = separator == b'{';
        text.extend_from_slice(if is_empty { b"{}" } else { b"}" });
    }
    (text.into(), last.map(Cursor::After))
}
