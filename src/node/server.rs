use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::linger::Lingering;
use crate::net::Acceptor;

/// How long a client may take for the header of a request, and how long it may leave a connection unused.
const HEADER_DEADLINE: Duration = Duration::from_secs(30);
/// The most bytes of a request's line and header fields, and of the trailers of a body. The longest key takes 3 KiB of it if
/// every byte is percent-encoded. The most fields are hyper's default of 100: a larger number would cost every request.
const MAX_HEADER: usize = 16 << 10;
/// How much of a request that is coming in, or of an answer that is going out, a connection buffers before it waits for the
/// other side. A single piece of a body may be larger.
const MAX_BUFFER: usize = 64 << 10;
/// How long a client may take nothing at all of its answer. One that goes on reading has all the time that it wants. (The
/// kernels between us pass on in lumps of 64 to 128 KiB that it reads, so on one machine that means 4 kB a second or so.)
const WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// After the system could not give us a connection (too many open files), how long until the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often the log says so while it lasts.
const ACCEPT_REMINDER: Duration = Duration::from_secs(10);
/// What a connection over the limit is told before it is closed.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-length: 34\r\n\r\n{\"detail\":\"Too many connections\"}\n";
/// How long a connection over the limit may take to read that it is refused.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(1);
/// Connections beyond the limit that a leader may have, so that clients cannot keep a follower from its leader. It is enough
/// for three leaders at a time: each has at most ten requests to a follower in flight, and one question.
pub(super) const PLACES_FOR_LEADERS: usize = 33;
/// How many connections over the limit may be listened to at a time, to see whether they are a leader's.
const MAX_UNDECIDED: usize = 128;
/// How long each of them is. A leader sends its request as soon as it is connected.
const DECISION_DEADLINE: Duration = Duration::from_millis(250);
/// How the requests begin that leaders send.
const LEADERS_REQUESTS: [&[u8]; 2] = [b"POST /replicate ", b"POST /peer "];

/// Accepts connections and serves HTTP/1.1 on each.
///
/// This is not `axum::serve`, which builds its connections inside and leaves no place for a header deadline, a limit of
/// connections, or leaving the `date` header out (it shows the wall clock, and so would tell two simulations apart).
#[derive(Clone)]
pub(super) struct Server {
    pub(super) router: Router,
    pub(super) max_connections: usize,
    pub(super) connections: Gauge,
    pub(super) stop: CancellationToken,
}

/// The connections that are still open after the server has stopped.
pub(super) struct Connections {
    open: JoinSet<()>,
}

impl Connections {
    /// Waits until each has answered what it was asked and is closed. Those that have not by the time this is dropped
    /// are cut.
    pub(super) async fn finished(mut self) {
        while self.open.join_next().await.is_some() {}
    }
}

impl Server {
    /// Accepts until told to stop. Each connection is then told to finish the request that it is at.
    pub(super) async fn accept<A>(self, mut acceptor: A) -> Connections
    where
        A: Acceptor<Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static>,
    {
        let places = Arc::new(Semaphore::new(self.max_connections));
        let places_for_leaders = Arc::new(Semaphore::new(PLACES_FOR_LEADERS));
        let undecided = Arc::new(Semaphore::new(MAX_UNDECIDED));
        let mut open = JoinSet::new();
        let mut refused_at: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(_) = open.join_next(), if !open.is_empty() => continue,
                accepted = acceptor.accept() => accepted,
            };
            let stream = match accepted {
                Ok(stream) => stream,
                // The client was gone before it was accepted; the next one is none the worse for it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => {
                    if refused_at.is_none_or(|at| at.elapsed() >= ACCEPT_REMINDER) {
                        warn!(%error, "cannot accept a connection");
                        refused_at = Some(Instant::now());
                    }
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let connection = self.serve(stream);
                    open.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(_) => {
                    let undecided = Arc::clone(&undecided).try_acquire_owned().ok();
                    open.spawn(self.serve_leader(stream, undecided, Arc::clone(&places_for_leaders)));
                }
            }
        }
        Connections { open }
    }

    /// Serves a connection over the limit if it is a leader's and there is a place for it, and refuses it otherwise. Without
    /// `undecided` too many others are listened to already.
    fn serve_leader<S>(
        &self,
        stream: S,
        undecided: Option<OwnedSemaphorePermit>,
        places: Arc<Semaphore>,
    ) -> impl Future<Output = ()> + use<S>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let server = self.clone();
        async move {
            let mut stream = BufReader::with_capacity(MAX_HEADER, stream);
            if undecided.is_some() {
                let beginning = timeout(DECISION_DEADLINE, stream.fill_buf()).await;
                let is_leaders = |text: &[u8]| LEADERS_REQUESTS.iter().any(|request| text.starts_with(request));
                if matches!(beginning, Ok(Ok(text)) if is_leaders(text))
                    && let Ok(_place) = places.try_acquire()
                {
                    drop(undecided);
                    return server.serve(stream).await;
                }
            }
            drop(undecided);
            debug!("refused a connection over the limit");
            refuse(Lingering::new(stream, server.stop)).await;
        }
    }

    fn serve<S>(&self, stream: S) -> impl Future<Output = ()> + use<S>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(WRITE_DEADLINE));
        let stream = Lingering::new(Box::pin(stream), self.stop.clone());
        let service = TowerToHyperService::new(self.router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_DEADLINE)
            .max_header_size(MAX_HEADER)
            .max_buf_size(MAX_BUFFER)
            .auto_date_header(false)
            // A client may have said all it will say, and have closed its side, before its request is looked at. The
            // request counts all the same.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        let stop = self.stop.clone();
        let connections = self.connections.clone();
        async move {
            connections.inc();
            let mut connection = std::pin::pin!(connection);
            let served = tokio::select! {
                biased;
                served = connection.as_mut() => served,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = served {
                debug!(%error, "a connection ended early");
            }
            connections.dec();
        }
    }
}

async fn refuse<S: AsyncWrite + Unpin>(mut stream: S) {
    let answer = async {
        stream.write_all(TOO_MANY).await?;
        stream.shutdown().await
    };
    if !matches!(timeout(REFUSAL_DEADLINE, answer).await, Ok(Ok(()))) {
        debug!("a refused connection did not take its answer");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(TOO_MANY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
        assert!(serde_json::from_str::<crate::base::wire::ErrorBody>(body).is_ok());
    }
}
