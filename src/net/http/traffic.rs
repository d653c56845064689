//! How far a request has come, and how long it is waited for.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};

/// Up to how many bytes tell nothing about the link, because buffers on the way take them at once.
const BUFFERED: u64 = 64 << 10;
/// How fast what buffers on the way hold is taken to leave them, in bytes per second.
const DRAIN_RATE: u64 = 1_000_000;
/// How much they are taken to hold at the most, in bytes.
const MOST_BUFFERED: u64 = 8_000_000;
/// How fast an exchange must be at the least, on average, in bytes per second.
const SLOWEST: u64 = 10_000;

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// This long altogether.
    Total(Duration),
    /// This long for an exchange of up to 64 KiB. A larger one may take longer as long as bytes move: it is given up when none has
    /// moved for this long, and for a second per megabyte besides, up to 8, because buffers on the way may hold what was sent; or when
    /// it is slower than 10 kB/s on average.
    Idle(Duration),
}

impl Deadline {
    pub(super) fn patience(self) -> Duration {
        match self {
            Self::Total(patience) | Self::Idle(patience) => patience,
        }
    }
}

/// The bytes of one exchange that went over its connection, in both directions. A clone shows the same exchange.
#[derive(Debug, Clone)]
pub struct Traffic(Arc<Mutex<Moved>>);

#[derive(Debug)]
struct Moved {
    began: Instant,
    bytes: u64,
    last: Instant,
}

impl Default for Traffic {
    /// An exchange that begins now.
    fn default() -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(Moved { began: now, bytes: 0, last: now })))
    }
}

impl Traffic {
    /// How many bytes have moved, and for how long that took.
    pub fn moved(&self) -> (u64, Duration) {
        self.with(|moved| (moved.bytes, moved.last - moved.began))
    }

    /// For how long no byte has moved.
    pub fn idle(&self) -> Duration {
        self.with(|moved| moved.last.elapsed())
    }

    /// For how long the exchange has gone on.
    pub fn elapsed(&self) -> Duration {
        self.with(|moved| moved.began.elapsed())
    }

    /// Whether this is the same exchange.
    pub fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn add(&self, bytes: usize) {
        self.with(|moved| {
            moved.bytes += bytes as u64;
            moved.last = Instant::now();
        });
    }

    /// Until when the exchange is waited for, as far as is known now.
    fn ends_at(&self, deadline: Deadline) -> Instant {
        self.with(|moved| match deadline {
            Deadline::Idle(patience) if moved.bytes > BUFFERED => {
                let idle = patience + Duration::from_millis(moved.bytes.min(MOST_BUFFERED) / (DRAIN_RATE / 1000));
                let longest = patience + Duration::from_millis(moved.bytes / (SLOWEST / 1000));
                (moved.last + idle).min(moved.began + longest)
            }
            Deadline::Total(patience) | Deadline::Idle(patience) => moved.began + patience,
        })
    }

    /// Waits until the deadline has passed, which may move meanwhile. None if it passes first.
    pub(super) async fn wait_for<F: Future>(&self, deadline: Deadline, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        loop {
            let ends_at = self.ends_at(deadline);
            match timeout_at(ends_at, future.as_mut()).await {
                Ok(output) => return Some(output),
                Err(_) if self.ends_at(deadline) > ends_at => {}
                Err(_) => return None,
            }
        }
    }

    fn with<R>(&self, look: impl FnOnce(&mut Moved) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `4.2 MB in 4 s, 1.0 MB/s`
impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((bytes, _), elapsed) = (self.moved(), self.elapsed());
        let megabytes = bytes as f64 / 1e6;
        let seconds = elapsed.as_secs_f64();
        write!(f, "{megabytes:.1} MB in {seconds:.0} s, {:.1} MB/s", megabytes / seconds.max(0.001))
    }
}

/// The exchange that a connection carries now.
#[derive(Debug, Clone, Default)]
pub(super) struct Current(Arc<Mutex<Option<Traffic>>>);

impl Current {
    pub(super) fn set(&self, traffic: Traffic) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(traffic);
    }

    fn add(&self, bytes: usize) {
        if let Some(traffic) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            traffic.add(bytes);
        }
    }
}

/// A stream whose bytes are counted for the exchange that it carries.
pub(super) struct Counted<S> {
    pub(super) stream: S,
    pub(super) current: Current,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() && buf.filled().len() > before {
            self.current.add(buf.filled().len() - before);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> Counted<S> {
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written
            && bytes > 0
        {
            self.current.add(bytes);
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    async fn given_up_after(deadline: Deadline, traffic: Traffic) -> Duration {
        let began = Instant::now();
        assert!(traffic.wait_for(deadline, pending::<()>()).await.is_none());
        began.elapsed()
    }

    /// Moves bytes each second for so many seconds.
    fn moving(bytes: usize, seconds: u64) -> Traffic {
        let traffic = Traffic::default();
        let moves = traffic.clone();
        tokio::spawn(async move {
            for _ in 0..seconds {
                sleep(Duration::from_secs(1)).await;
                moves.add(bytes);
            }
        });
        traffic
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_exchange_has_its_time_and_no_more() {
        assert_eq!(given_up_after(Deadline::Idle(PATIENCE), moving(1000, 60)).await, PATIENCE);
        assert_eq!(given_up_after(Deadline::Idle(PATIENCE), Traffic::default()).await, PATIENCE);
        assert_eq!(given_up_after(Deadline::Total(PATIENCE), moving(1_000_000, 60)).await, PATIENCE);
    }

    /// Twelve megabytes at one a second, and then nothing more: twelve seconds, the patience, and a second for each megabyte up to 8.
    #[tokio::test(start_paused = true)]
    async fn a_large_exchange_is_waited_for_as_long_as_bytes_move() {
        let expected = Duration::from_secs(12) + PATIENCE + Duration::from_secs(8);
        let traffic = moving(1_000_000, 12);
        assert_eq!(given_up_after(Deadline::Idle(PATIENCE), traffic.clone()).await, expected);
        assert_eq!(traffic.moved(), (12_000_000, Duration::from_secs(12)));
        let answered = moving(1_000_000, 12);
        let answer = answered.wait_for(Deadline::Idle(PATIENCE), sleep(Duration::from_secs(20)));
        assert!(answer.await.is_some());
        assert_eq!(answered.to_string(), "12.0 MB in 20 s, 0.6 MB/s");
        // 100 kB in five seconds, and then a trickle.
        let slowing = moving(20_000, 5);
        let trickle = slowing.clone();
        tokio::spawn(async move {
            for _ in 0..3600 {
                sleep(Duration::from_secs(1)).await;
                trickle.add(100);
            }
        });
        let given_up = given_up_after(Deadline::Idle(PATIENCE), slowing).await;
        assert!((15..17).contains(&given_up.as_secs()), "{given_up:?}");
    }
}
