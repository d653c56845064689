use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

use super::error::ApiError;
use super::request::key_in_path;
use super::{App, json};
use crate::base::Key;
use crate::base::wire::{DumpEntry, Found};

/// `GET /get/{key}`
pub(super) async fn get(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, ApiError> {
    let key = key_in_path(uri.path())?;
    let entry = app.read(|store| store.get(&key).cloned()).ok_or(ApiError::NotFound)?;
    Ok(json(StatusCode::OK, &Found { key, value: entry.value, version: entry.stamp.version }))
}

/// How much of a dump is put together at a time, in bytes, give or take one entry.
const CHUNK: usize = 64 << 10;

/// `GET /dump`: every key in order, streamed. Each chunk is a consistent view of the keys in it; between chunks writes
/// go on. So the memory it takes does not depend on the number of keys, and no write waits for a slow reader.
pub(super) async fn dump(State(app): State<Arc<App>>) -> Response {
    let chunks = stream::unfold(Some(Cursor::Start), move |cursor| {
        let chunk = cursor.map(|cursor| next_chunk(&app, cursor));
        std::future::ready(chunk.map(|(text, next)| (Ok::<_, Infallible>(text), next)))
    });
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (content_type, Body::from_stream(chunks)).into_response()
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
    let last = app.read(|store| {
        for (key, entry) in store.after(after.as_ref()) {
            text.push(separator);
            separator = b',';
            let entry = DumpEntry { value: entry.value.clone(), version: entry.stamp.version };
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
