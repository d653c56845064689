use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::error::ApiError;
use super::request::{ReadQuery, key_in_path, read_query};
use super::write::refusal;
use super::{App, Contents, Duty, JSON, json, of_epoch};
use crate::base::wire::Found;
use crate::base::{Epoch, Key, ReadMode, Stamp, Value, Version};
use crate::core::Entry;
use crate::net::http::Body as Pieces;
use crate::node::SHARE_FROM;
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
    Ok(of_epoch(epoch, found(key, value, version, epoch)))
}

/// The answer to a read. It shares a large value with the store, so that a slow reader costs no memory for it.
fn found(key: Key, value: Value, version: Version, epoch: Epoch) -> Response {
    if value.as_json().len() < SHARE_FROM {
        return json(StatusCode::OK, &Found { key, value, version, epoch });
    }
    let mut body = Pieces::empty();
    let key = serde_json::to_string(&key).expect("a key can be written as JSON");
    body.push(format!("{{\"key\":{key},\"value\":").into());
    body.push(value.to_shared_bytes());
    body.push(format!(",\"version\":{}}}\n", version.get()).into());
    ([(header::CONTENT_TYPE, JSON)], Body::new(body)).into_response()
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
        stored: app.read(|contents| contents.get(key).map(|entry| entry.stamp)),
        seconds: app.patience.as_secs_f64(),
        leader: app.leader(),
    })
}
