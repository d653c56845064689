use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// A signal that asks a command to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stop {
    /// Its name, such as `SIGTERM`.
    pub(super) name: &'static str,
    /// The exit status of a process that it ends, by the convention of shells: 128 and the number of the signal.
    pub(super) status: u8,
}

impl Stop {
    /// A supervisor ends the process.
    pub(super) const TERMINATE: Self = Self { name: "SIGTERM", status: 143 };
    /// Ctrl-C.
    pub(super) const INTERRUPT: Self = Self { name: "SIGINT", status: 130 };
    /// The terminal was closed.
    pub(super) const HANG_UP: Self = Self { name: "SIGHUP", status: 129 };
}

/// The signals that ask a command to end: of a supervisor, of Ctrl-C, and of a terminal that is closed.
pub(super) struct Signals([Signal; 3]);

impl Signals {
    /// Listens from now on; none of them ends the process by itself any more.
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")));
        Ok(Self([listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?, listen(SignalKind::hangup())?]))
    }

    /// The next signal of any kind.
    pub(super) async fn next(&mut self) -> Stop {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            biased;
            _ = terminate.recv() => Stop::TERMINATE,
            _ = interrupt.recv() => Stop::INTERRUPT,
            _ = hangup.recv() => Stop::HANG_UP,
        }
    }
}
