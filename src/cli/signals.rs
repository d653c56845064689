use std::future;

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

/// The signals that ask a command to end.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Option<Signal>,
}

impl Signals {
    /// Listens for SIGTERM, SIGINT and SIGHUP; none of them ends the process by itself any more.
    pub(super) fn listen() -> Result<Self, Failure> {
        let mut signals = Self::listen_for_stop()?;
        signals.hang_up = Some(listen(SignalKind::hangup())?);
        Ok(signals)
    }

    /// Listens for SIGTERM and SIGINT. SIGHUP stays as it is, so that `nohup` keeps long work alive.
    pub(super) fn listen_for_stop() -> Result<Self, Failure> {
        let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hang_up: None })
    }

    /// The next signal of any kind.
    pub(super) async fn next(&mut self) -> Stop {
        let Self { terminate, interrupt, hang_up } = self;
        let hang_up = async {
            match hang_up {
                Some(signal) => signal.recv().await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = terminate.recv() => Stop::TERMINATE,
            _ = interrupt.recv() => Stop::INTERRUPT,
            _ = hang_up => Stop::HANG_UP,
        }
    }
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))
}
