//! An HTTP/1.1 client over any [`Transport`], with kept connections and a deadline for each request.

mod traffic;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

pub use traffic::{Deadline, Traffic};

use super::{HostPort, Transport};
use traffic::{Counted, Current};

/// The largest piece of a body that is handed to a connection at once, in bytes.
const MAX_PIECE: usize = 64 << 10;
/// The most connections to one host that are kept while nobody uses them.
const MAX_IDLE: usize = 256;
/// How long an unused connection is kept. Half of what our own server allows, so that no request is sent on a connection
/// which the other side is about to close.
const MAX_IDLE_TIME: Duration = Duration::from_secs(15);

/// A body made of pieces that may be shared with other bodies. Its length is known, so it needs no chunked encoding.
#[derive(Debug, Default)]
pub struct Body {
    pieces: VecDeque<Bytes>,
    length: u64,
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self::default()
    }

    /// How many bytes are in it.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Adds a piece at the end. A large one is cut, without being copied, so that a connection takes no more of it at a time
    /// than it can send.
    pub fn push(&mut self, mut piece: Bytes) {
        self.length += piece.len() as u64;
        while piece.len() > MAX_PIECE {
            self.pieces.push_back(piece.split_to(MAX_PIECE));
        }
        if !piece.is_empty() {
            self.pieces.push_back(piece);
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(text: Vec<u8>) -> Self {
        let mut body = Self::empty();
        body.push(text.into());
        body
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        self.length -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// An answer whose body is still coming. Its connection is not used again.
pub struct StreamedAnswer {
    status: StatusCode,
    headers: HeaderMap,
    body: Incoming,
    patience: Duration,
    _connection: Connection,
}

impl StreamedAnswer {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The next piece of the body; `None` after the last.
    ///
    /// # Errors
    /// [`HttpError`] if it does not come in time, or the connection ends before the body does.
    pub async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            let frame = timeout(self.patience, self.body.frame()).await;
            match frame.map_err(|_| HttpError::Deadline(Overdue { patience: self.patience, moved: None }))? {
                None => return Ok(None),
                Some(Err(error)) => return Err(HttpError::Disconnect(error)),
                // Trailers say nothing to us.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

/// Why a request brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection came about, so the request was never sent.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The deadline passed after the request was, or may have been, sent.
    #[error("no answer in {0}")]
    Deadline(Overdue),
    /// The connection ended, or what came over it was not HTTP, after the request was, or may have been, sent.
    #[error("the connection broke before the answer was complete: {0}")]
    Disconnect(hyper::Error),
}

impl HttpError {
    /// Whether nothing came back at all in the time that there was, neither an answer nor that there is none.
    pub fn is_silence(&self) -> bool {
        match self {
            Self::Connect(error) => error.kind() == io::ErrorKind::TimedOut,
            Self::Deadline(_) => true,
            Self::Disconnect(_) => false,
        }
    }

    /// Whether what came back is not HTTP.
    pub fn is_no_http(&self) -> bool {
        matches!(self, Self::Disconnect(error) if error.is_parse())
    }

    /// Whether there is no process at the other end, as far as can be told.
    pub fn says_that_nobody_listens(&self) -> bool {
        matches!(self, Self::Connect(_)) && !self.is_silence()
    }
}

/// How long an answer was waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    patience: Duration,
    /// How far the exchange had come, if it was a large one.
    moved: Option<String>,
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.moved {
            None => write!(f, "{:?}", self.patience),
            Some(moved) => write!(f, "{:?} after the last of {moved}", self.patience),
        }
    }
}

/// Sends requests, each on a connection of its own for as long as it takes. A clone shares the connections.
#[derive(Debug, Clone)]
pub struct HttpClient<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    transport: T,
    hosts: Mutex<BTreeMap<HostPort, Host>>,
}

/// What is kept of a host.
#[derive(Debug, Default)]
struct Host {
    idle: Vec<Connection>,
    /// How often it is to be looked up anew: connections that were made before are not kept.
    disconnected: u64,
    /// How many connections the other side has ended.
    ended: watch::Sender<u64>,
}

/// An open connection. Dropping it closes it, whatever is still under way on it.
#[derive(Debug)]
struct Connection {
    sender: SendRequest<Body>,
    current: Current,
    last_used: Instant,
    /// [`Host::disconnected`] when it began to be made.
    made_in: u64,
    _driver: AbortOnDropHandle<()>,
}

impl<T: Transport> HttpClient<T> {
    /// A client without any connection yet.
    pub fn new(transport: T) -> Self {
        Self { shared: Arc::new(Shared { transport, hosts: Mutex::default() }) }
    }

    /// The network that the client uses.
    pub fn transport(&self) -> &T {
        &self.shared.transport
    }

    /// Sends a request and waits for the whole answer. Past the deadline the connection is dropped: behind a lost segment or a
    /// half-open connection nothing would ever come.
    ///
    /// # Errors
    /// [`HttpError`], which tells whether the request can have reached the other side.
    pub async fn request(
        &self,
        to: &HostPort,
        request: Request<Body>,
        deadline: Deadline,
    ) -> Result<Answer, HttpError> {
        self.exchange(to, request, deadline, Traffic::default()).await
    }

    /// Does the same, and shows in `traffic` how far it has come.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn exchange(
        &self,
        to: &HostPort,
        request: Request<Body>,
        deadline: Deadline,
        traffic: Traffic,
    ) -> Result<Answer, HttpError> {
        let (response, connection) = self.send(to, request, deadline, &traffic).await?;
        let (head, body) = response.into_parts();
        let body = match traffic.wait_for(deadline, body.collect()).await {
            None => return Err(overdue(deadline, &traffic)),
            Some(body) => body.map_err(HttpError::Disconnect)?.to_bytes(),
        };
        self.keep(to, connection);
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// Sends a request and returns when the head of the answer has come. The body is taken piece by piece, and `patience`
    /// is the time that the head and then each piece may take: a body may be of any length.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn stream(
        &self,
        to: &HostPort,
        request: Request<Body>,
        patience: Duration,
    ) -> Result<StreamedAnswer, HttpError> {
        let (response, connection) = self.send(to, request, Deadline::Total(patience), &Traffic::default()).await?;
        let (head, body) = response.into_parts();
        Ok(StreamedAnswer { status: head.status, headers: head.headers, body, patience, _connection: connection })
    }

    /// Counts the connections to this host that have ended without having been closed here. A receiver is told of each.
    pub fn ended_connections(&self, host: &HostPort) -> watch::Receiver<u64> {
        self.lock_hosts().entry(host.clone()).or_default().ended.subscribe()
    }

    /// The next request to this host looks it up anew. The connections to it are closed, those in use once they are not any more.
    pub fn disconnect(&self, host: &HostPort) {
        let mut hosts = self.lock_hosts();
        let host = hosts.entry(host.clone()).or_default();
        host.disconnected += 1;
        host.idle.clear();
    }

    /// Sends a request on a kept connection or a new one, and waits for the head of the answer.
    async fn send(
        &self,
        to: &HostPort,
        mut request: Request<Body>,
        deadline: Deadline,
        traffic: &Traffic,
    ) -> Result<(Response<Incoming>, Connection), HttpError> {
        let host = HeaderValue::try_from(to.to_string()).expect("a host name and a port make a header value");
        request.headers_mut().insert(header::HOST, host);
        let at = Instant::now() + deadline.patience();
        loop {
            let (mut connection, reused) = match self.take_idle(to, at).await {
                Some(connection) => (connection, true),
                None => (self.connect(to, at).await?, false),
            };
            connection.current.set(traffic.clone());
            match traffic.wait_for(deadline, connection.sender.try_send_request(request)).await {
                None => return Err(overdue(deadline, traffic)),
                // The other side had closed a kept connection, and nothing was sent: it goes out again on another.
                Some(Err(mut error)) if reused && error.message().is_some() => {
                    request = error.take_message().expect("just seen");
                }
                Some(Err(error)) => return Err(HttpError::Disconnect(error.into_error())),
                Some(Ok(response)) => return Ok((response, connection)),
            }
        }
    }

    async fn connect(&self, to: &HostPort, at: Instant) -> Result<Connection, HttpError> {
        let made_in = self.lock_hosts().get(to).map_or(0, |host| host.disconnected);
        let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
        let stream = timeout_at(at, self.shared.transport.connect(to)).await.map_err(timed_out);
        let stream = stream.and_then(|connected| connected).map_err(HttpError::Connect)?;
        let current = Current::default();
        let stream = Counted { stream, current: current.clone() };
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, driver) = handshake.map_err(HttpError::Disconnect)?;
        // The connections kept in `Shared` own their drivers.
        let (shared, host) = (Arc::downgrade(&self.shared), to.clone());
        let driver = tokio::spawn(async move {
            // An error of the connection reaches us as the error of the request that is under way on it.
            drop(driver.await);
            if let Some(shared) = shared.upgrade()
                && let Some(host) = shared.lock_hosts().get(&host)
            {
                host.ended.send_modify(|ended| *ended += 1);
            }
        });
        Ok(Connection { sender, current, last_used: Instant::now(), made_in, _driver: AbortOnDropHandle::new(driver) })
    }

    /// The connection that was used last, so that the others grow old and are closed. One that is still busy with a body
    /// which the other side never read does not become ready, and is dropped at the deadline.
    async fn take_idle(&self, to: &HostPort, at: Instant) -> Option<Connection> {
        loop {
            let mut connection = self.lock_hosts().get_mut(to)?.idle.pop()?;
            let is_fresh = connection.last_used.elapsed() < MAX_IDLE_TIME;
            if is_fresh && matches!(timeout_at(at, connection.sender.ready()).await, Ok(Ok(()))) {
                return Some(connection);
            }
        }
    }

    fn keep(&self, to: &HostPort, mut connection: Connection) {
        connection.last_used = Instant::now();
        let mut hosts = self.lock_hosts();
        if !hosts.contains_key(to) {
            hosts.insert(to.clone(), Host::default());
        }
        let host = hosts.get_mut(to).expect("just inserted");
        // The oldest come first. They are closed here before the other side does, which would look like the end of its process.
        let fresh = host.idle.partition_point(|connection| connection.last_used.elapsed() >= MAX_IDLE_TIME);
        host.idle.drain(..fresh);
        let is_good = connection.made_in == host.disconnected && !connection.sender.is_closed();
        if is_good && host.idle.len() < MAX_IDLE {
            host.idle.push(connection);
        }
    }

    fn lock_hosts(&self) -> std::sync::MutexGuard<'_, BTreeMap<HostPort, Host>> {
        self.shared.lock_hosts()
    }
}

/// Why an exchange is given up.
fn overdue(deadline: Deadline, traffic: &Traffic) -> HttpError {
    let (bytes, took) = traffic.moved();
    if bytes < 1_000_000 {
        return HttpError::Deadline(Overdue { patience: deadline.patience(), moved: None });
    }
    let moved = format!("{:.1} MB, which took {:.0} s", bytes as f64 / 1e6, took.as_secs_f64());
    // Whole seconds are enough.
    let patience = Duration::from_secs(traffic.idle().as_secs());
    HttpError::Deadline(Overdue { patience, moved: Some(moved) })
}

impl<T> Shared<T> {
    fn lock_hosts(&self) -> std::sync::MutexGuard<'_, BTreeMap<HostPort, Host>> {
        // Nothing that holds the lock can leave the map half-changed, so a panic elsewhere does not spoil it.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
