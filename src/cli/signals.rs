use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

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
    pub(super) async fn next(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
