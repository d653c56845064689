//! The typed client of the HTTP interface, over any transport, and a cluster as a client sees it.

mod cluster;
mod dump;
mod options;
mod outcome;
mod recorded;
mod recorder;

pub use cluster::{Cluster, NotConverged};
pub use dump::DumpStream;
pub use options::WriteOptions;
pub use outcome::{Failed, Outcome, ReadError, Unknown};
pub use recorded::RecordedClient;
pub use recorder::HistoryRecorder;

use std::time::Duration;

use http::{HeaderValue, Method, Request, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::wire::{
    self, AcceptedLoss, DeleteRequest, Dump, EPOCH_HEADER, ErrorBody, Found, Health, LEADER_HEADER, OPERATION_HEADER,
    Ready, ReplicateAnswer, ReplicateRequest, SetAnswer, SetRequest, Status,
};
use crate::base::{Epoch, Key, ReadMode, Value, Version};
use crate::net::http::{Answer, Body, Deadline, HttpClient, HttpError};
use crate::net::{HostPort, Transport};

/// What RFC 3986 calls unreserved stays as it is in a path; everything else is percent-encoded, '/' included.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Calls nodes. A clone shares the connections.
#[derive(Debug, Clone)]
pub struct Client<T> {
    http: HttpClient<T>,
    deadline: Duration,
}

impl<T: Transport> Client<T> {
    /// A client that gives every call up after `deadline`.
    pub fn new(transport: T, deadline: Duration) -> Self {
        Self { http: HttpClient::new(transport), deadline }
    }

    /// The network that the client uses.
    pub fn transport(&self) -> &T {
        self.http.transport()
    }

    /// `POST /set`. Never sent a second time: a write that is [`Outcome::Unknown`] may have taken effect.
    pub async fn set(&self, node: &HostPort, key: &Key, value: &Value) -> Outcome<SetAnswer> {
        self.set_with(node, key, value, None, &WriteOptions::default()).await
    }

    /// `POST /set` with options. `operation` is a name for the emulated network, see [`OPERATION_HEADER`].
    pub async fn set_with(
        &self,
        node: &HostPort,
        key: &Key,
        value: &Value,
        operation: Option<u64>,
        options: &WriteOptions,
    ) -> Outcome<SetAnswer> {
        let WriteOptions { request: request_id, if_version } = options.clone();
        let request = SetRequest { key: key.clone(), value: value.clone(), if_version, request_id };
        self.send_write(node, "/set", request, operation).await
    }

    /// `POST /set` that is made only if the key has this version, 0 if it must not be there; it is [`Failed::Conflict`]
    /// otherwise.
    pub async fn set_if(&self, node: &HostPort, key: &Key, value: &Value, version: u64) -> Outcome<SetAnswer> {
        let options = WriteOptions { if_version: Some(version), ..WriteOptions::default() };
        self.set_with(node, key, value, None, &options).await
    }

    /// `POST /delete`, whether or not the key is there. Never sent a second time.
    pub async fn delete(&self, node: &HostPort, key: &Key) -> Outcome<SetAnswer> {
        self.delete_with(node, key, None, &WriteOptions::default()).await
    }

    /// `POST /delete` with options; see [`Client::set_with`].
    pub async fn delete_with(
        &self,
        node: &HostPort,
        key: &Key,
        operation: Option<u64>,
        options: &WriteOptions,
    ) -> Outcome<SetAnswer> {
        let WriteOptions { request: request_id, if_version } = options.clone();
        let request = DeleteRequest { key: key.clone(), if_version, request_id };
        self.send_write(node, "/delete", request, operation).await
    }

    /// `POST /delete` that is made only if the key has this version; it is [`Failed::Conflict`] otherwise.
    pub async fn delete_if(&self, node: &HostPort, key: &Key, version: u64) -> Outcome<SetAnswer> {
        let options = WriteOptions { if_version: Some(version), ..WriteOptions::default() };
        self.delete_with(node, key, None, &options).await
    }

    async fn send_write(
        &self,
        node: &HostPort,
        path: &str,
        body: impl Serialize,
        operation: Option<u64>,
    ) -> Outcome<SetAnswer> {
        let answer = match self.post(node, path, &body, operation).await {
            Ok(answer) => answer,
            Err(HttpError::Connect(error)) => return Outcome::Failed(Failed::Unreachable(error)),
            Err(error) => return Outcome::Unknown(Unknown::NoAnswer(error)),
        };
        match answer.status {
            StatusCode::OK => match wire::parse(&answer.body).map(|set| SetAnswer { epoch: epoch(&answer), ..set }) {
                Ok(set) if set.ok => Outcome::Ok(set),
                Ok(set) => Outcome::Unknown(Unknown::QuorumMissed(set)),
                Err(error) => Outcome::Unknown(Unknown::Unreadable(error.to_string())),
            },
            StatusCode::CONFLICT if let Some(current) = conflicting_version(&answer) => {
                Outcome::Failed(Failed::Conflict { current })
            }
            status if status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE => {
                Outcome::Failed(Failed::Refused { status, detail: detail(&answer), leader: leader(&answer) })
            }
            status => Outcome::Unknown(Unknown::Unreadable(format!("status {status}: {}", detail(&answer)))),
        }
    }

    /// `GET /get/{key}`; `None` where the node has no such key.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn get(&self, node: &HostPort, key: &Key) -> Result<Option<Found>, ReadError> {
        self.read(node, key, ReadMode::Local).await
    }

    /// `GET /get/{key}?read=MODE`; `None` where there is no such key.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read(&self, node: &HostPort, key: &Key, mode: ReadMode) -> Result<Option<Found>, ReadError> {
        let key = utf8_percent_encode(key.as_str(), ENCODED);
        let path = if mode.is_local() { format!("/get/{key}") } else { format!("/get/{key}?read={mode}") };
        let answer = self.call(node, Method::GET, &path).await?;
        if answer.status == StatusCode::NOT_FOUND { Ok(None) } else { found(&answer).map(Some) }
    }

    /// `GET /get/{key}?min_version=N`: as soon as the node has this version of the key, or a later one.
    ///
    /// # Errors
    /// [`ReadError::NotYet`] if it has not got it in time; see [`ReadError`].
    pub async fn get_from(&self, node: &HostPort, key: &Key, min_version: Version) -> Result<Found, ReadError> {
        let path = format!("/get/{}?min_version={min_version}", utf8_percent_encode(key.as_str(), ENCODED));
        let answer = self.call(node, Method::GET, &path).await?;
        match conflicting_version(&answer) {
            Some(current) if answer.status == StatusCode::GATEWAY_TIMEOUT => Err(ReadError::NotYet { current }),
            _ => found(&answer),
        }
    }

    /// `GET /dump`: everything that the node stores.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn dump(&self, node: &HostPort) -> Result<Dump, ReadError> {
        read(&self.call(node, Method::GET, "/dump").await?)
    }

    /// `GET /dump`, entry by entry, for stores of any size. `patience` is how long the node may send nothing.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn dump_stream(&self, node: &HostPort, patience: Duration) -> Result<DumpStream, ReadError> {
        let request = Request::builder().uri("/dump").body(Body::empty()).expect("every part is valid");
        DumpStream::new(self.http.stream(node, request, patience).await.map_err(ReadError::NoAnswer)?).await
    }

    /// `POST /replicate` by hand, as a leader without epochs does it: one write, to a follower.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn replicate(&self, node: &HostPort, write: &ReplicateRequest) -> Result<ReplicateAnswer, ReadError> {
        read(&self.post(node, "/replicate", write, None).await.map_err(ReadError::NoAnswer)?)
    }

    /// `GET /health`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn health(&self, node: &HostPort) -> Result<Health, ReadError> {
        read(&self.call(node, Method::GET, "/health").await?)
    }

    /// `GET /ready`. A node that is not ready answers with status 503, and is not an error here.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn ready(&self, node: &HostPort) -> Result<Ready, ReadError> {
        let answer = self.call(node, Method::GET, "/ready").await?;
        let status = if answer.status == StatusCode::SERVICE_UNAVAILABLE { StatusCode::OK } else { answer.status };
        read(&Answer { status, ..answer })
    }

    /// `GET /status`: how a node sees itself and, if it leads, its followers.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn status(&self, node: &HostPort) -> Result<Status, ReadError> {
        read(&self.call(node, Method::GET, "/status").await?)
    }

    /// `POST /admin/accept-loss`: a leader that waits for followers goes on without what only they know. `token` is the
    /// cluster's PEER_TOKEN, if it has one.
    ///
    /// # Errors
    /// [`ReadError`]; refused if the leader does not wait for anything of the kind.
    pub async fn accept_loss(&self, leader: &HostPort, token: Option<&str>) -> Result<AcceptedLoss, ReadError> {
        self.ask_of_loss(Method::POST, leader, token).await
    }

    /// `GET /admin/accept-loss`: what it would mean to accept the loss, which stays as it is.
    ///
    /// # Errors
    /// [`ReadError`]; refused if the leader does not wait for anything of the kind.
    pub async fn show_loss(&self, leader: &HostPort, token: Option<&str>) -> Result<AcceptedLoss, ReadError> {
        self.ask_of_loss(Method::GET, leader, token).await
    }

    async fn ask_of_loss(
        &self,
        method: Method,
        leader: &HostPort,
        token: Option<&str>,
    ) -> Result<AcceptedLoss, ReadError> {
        let mut request = Request::builder().method(method).uri("/admin/accept-loss");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Body::empty());
        let request = request.map_err(|_| ReadError::Unreadable("the token cannot be sent in a header".into()))?;
        read(&self.http.request(leader, request, Deadline::Total(self.deadline)).await.map_err(ReadError::NoAnswer)?)
    }

    async fn post(
        &self,
        node: &HostPort,
        path: &str,
        body: &impl Serialize,
        operation: Option<u64>,
    ) -> Result<Answer, HttpError> {
        let text = serde_json::to_vec(body).expect("our own types can be written as JSON");
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(operation) = operation {
            request = request.header(OPERATION_HEADER, operation);
        }
        let request = request.body(Body::from(text)).expect("every part is valid");
        self.http.request(node, request, Deadline::Total(self.deadline)).await
    }

    async fn call(&self, node: &HostPort, method: Method, path: &str) -> Result<Answer, ReadError> {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("every part is valid");
        self.http.request(node, request, Deadline::Total(self.deadline)).await.map_err(ReadError::NoAnswer)
    }
}

fn read<R: DeserializeOwned>(answer: &Answer) -> Result<R, ReadError> {
    if answer.status != StatusCode::OK {
        return Err(ReadError::Refused { status: answer.status, detail: detail(answer), leader: leader(answer) });
    }
    wire::parse(&answer.body).map_err(|error| ReadError::Unreadable(error.to_string()))
}

fn found(answer: &Answer) -> Result<Found, ReadError> {
    read(answer).map(|found| Found { epoch: epoch(answer), ..found })
}

/// The epoch of the version in an answer: the first, unless it says otherwise.
fn epoch(answer: &Answer) -> Epoch {
    let header = answer.headers.get(EPOCH_HEADER).and_then(|header| header.to_str().ok()?.parse().ok());
    header.map_or(Epoch::FIRST, Epoch::new)
}

/// Where the leader is, in the answer of a follower that knows.
fn leader(answer: &Answer) -> Option<HostPort> {
    answer.headers.get(LEADER_HEADER)?.to_str().ok()?.parse().ok()
}

/// The version that the key has, in an answer that says that it is not the one that was asked for.
fn conflicting_version(answer: &Answer) -> Option<u64> {
    wire::parse::<ErrorBody>(&answer.body).ok()?.version
}

/// The reason that an error answer gives, or the answer itself if it is not one of ours.
fn detail(answer: &Answer) -> String {
    match wire::parse::<ErrorBody>(&answer.body) {
        Ok(body) => body.detail,
        Err(_) => String::from_utf8_lossy(&answer.body).chars().take(200).collect(),
    }
}
