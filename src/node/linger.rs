//! A connection that is closed in stages, so that an answer given early can be read.
//!
//! A node can answer a request before its body has come: the body is too large, or the node does not take it at all. Many clients
//! send the whole request before they read anything. If the connection were closed at once, what they still send would meet a closed
//! port, and the reset that they get for it discards the answer in their kernel before they have read it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How long a client may send nothing, after the node has closed its side, before the connection is given up.
const IDLE: Duration = Duration::from_secs(2);
/// How long it may go on sending altogether.
const LONGEST: Duration = Duration::from_secs(30);
/// The same while the node stops.
const LONGEST_AT_STOP: Duration = Duration::from_secs(1);
/// The most bytes that are read and discarded.
const MOST: usize = 64 << 20;

/// A stream whose shutdown closes the own side first, and then reads and discards what still comes, within limits
/// (RFC 9112, section 9.6).
pub(super) struct Lingering<S> {
    stream: S,
    stop: CancellationToken,
    /// Present once the own side is closed.
    drain: Option<Box<Drain>>,
}

/// The reading of what nobody wants any more.
struct Drain {
    ends_at: Instant,
    timer: Pin<Box<Sleep>>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    is_stopping: bool,
    left: usize,
    buffer: Vec<u8>,
}

impl Drain {
    fn new(stop: &CancellationToken) -> Self {
        Self {
            ends_at: Instant::now() + LONGEST,
            timer: Box::pin(sleep(IDLE)),
            stopped: Box::pin(stop.clone().cancelled_owned()),
            is_stopping: false,
            left: MOST,
            buffer: vec![0; 16 << 10],
        }
    }

    /// Reads until the other side has closed too, has failed, or a limit is reached.
    fn poll(&mut self, mut stream: Pin<&mut impl AsyncRead>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_stopping && self.stopped.as_mut().poll(cx).is_ready() {
            self.is_stopping = true;
            self.ends_at = self.ends_at.min(Instant::now() + LONGEST_AT_STOP);
            self.restart_timer();
        }
        loop {
            let mut buffer = ReadBuf::new(&mut self.buffer);
            match stream.as_mut().poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => {
                    let read = buffer.filled().len();
                    if read == 0 || read >= self.left || Instant::now() >= self.ends_at {
                        return Poll::Ready(());
                    }
                    self.left -= read;
                    self.restart_timer();
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return self.timer.as_mut().poll(cx),
            }
        }
    }

    fn restart_timer(&mut self) {
        self.timer.as_mut().reset(self.ends_at.min(Instant::now() + IDLE));
    }
}

impl<S> Lingering<S> {
    /// Wraps a stream. Once `stop` is cancelled, its shutdown takes a second at most.
    pub(super) fn new(stream: S, stop: CancellationToken) -> Self {
        Self { stream, stop, drain: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, stop, drain } = self.get_mut();
        if drain.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
        }
        drain.get_or_insert_with(|| Box::new(Drain::new(stop))).poll(Pin::new(stream), cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A node that has said `no` and closes, and its client.
    async fn closing() -> (tokio::task::JoinHandle<Instant>, DuplexStream, CancellationToken) {
        let (client, node) = duplex(1024);
        let stop = CancellationToken::new();
        let mut node = Lingering::new(node, stop.clone());
        node.write_all(b"no").await.unwrap();
        let closed = tokio::spawn(async move {
            node.shutdown().await.unwrap();
            Instant::now()
        });
        (closed, client, stop)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_first_reads_the_answer() {
        let (closed, mut client, _stop) = closing().await;
        for _ in 0..3000 {
            client.write_all(&[b'x'; 1024]).await.unwrap();
        }
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "no");
        drop(client);
        closed.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_more_or_never_stops_is_given_up() {
        let began = Instant::now();
        let (closed, client, _stop) = closing().await;
        assert_eq!(closed.await.unwrap() - began, IDLE);
        drop(client);
        let began = Instant::now();
        let (closed, mut client, _stop) = closing().await;
        while client.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(500)).await;
        }
        assert_eq!(closed.await.unwrap() - began, LONGEST);
        let (closed, mut client, _stop) = closing().await;
        let mut sent = 0;
        while client.write_all(&[b'x'; 1024]).await.is_ok() {
            sent += 1024;
        }
        assert!((MOST..MOST + (64 << 10)).contains(&sent), "{sent} bytes");
        closed.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_stops_waits_for_nobody_for_long() {
        let (closed, mut client, stop) = closing().await;
        let writer = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(100)).await;
            }
        });
        sleep(Duration::from_secs(5)).await;
        let stopped = Instant::now();
        stop.cancel();
        assert_eq!(closed.await.unwrap() - stopped, LONGEST_AT_STOP);
        writer.await.unwrap();
    }
}
