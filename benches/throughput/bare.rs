//! The yardstick: an axum server that reads the same requests and gives answers of the same shape, and does nothing
//! between.

use std::net::Ipv4Addr;

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Json, Router};
use semisync::base::wire::{Found, SetAnswer, SetRequest};
use semisync::base::{Epoch, Key, Value, Version};
use tokio::net::TcpListener;

use super::Failure;

/// With this as its first argument the benchmark is the bare server.
pub(super) const ARGUMENT: &str = "bare-server";

/// Serves on a free port, which it prints, until it is killed.
pub(super) async fn serve() -> Result<(), Failure> {
    let value = Value::from_json(r#"{"by":0,"n":0}"#)?;
    let found = async move |Path(key): Path<Key>| {
        Json(Found { key, value: value.clone(), version: Version::FIRST, epoch: Epoch::FIRST })
    };
    let router = Router::new().route("/set", post(set)).route("/get/{key}", get(found));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

async fn set(Json(request): Json<SetRequest>) -> Json<SetAnswer> {
    drop(request);
    Json(SetAnswer {
        ok: true,
        confirmations: 3,
        required: 3,
        version: Version::FIRST,
        epoch: Epoch::FIRST,
        indeterminate: false,
    })
}
