use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::NodeId;
use crate::base::history::History;
use crate::base::trace::{Event, Micros, Observer, Record};
use crate::net::Transport;

/// Collects the operations of clients of a live or a simulated cluster. A lock orders them: an
/// operation that returned before another was invoked stands before it, even if the clock shows the
/// same time for both.
#[derive(Clone)]
pub struct HistoryRecorder {
    clock: Arc<dyn Fn() -> Duration + Send + Sync>,
    began: Duration,
    records: Arc<Mutex<Vec<Record>>>,
}

impl HistoryRecorder {
    /// Starts to record. Times are counted from now on by the clock of the transport, see
    /// [`Transport::elapsed`].
    ///
    /// It is not the clock of the runtime: in a simulated network each host has its own, and their
    /// differences change from run to run. With the network's clock, clients on several hosts have
    /// one time, and the history is a function of the seed.
    pub fn start(transport: &impl Transport) -> Self {
        let transport = transport.clone();
        let began = transport.elapsed();
        Self { clock: Arc::new(move || transport.elapsed()), began, records: Arc::default() }
    }

    /// The observer of a client.
    pub fn observer(&self, client: NodeId) -> Arc<dyn Observer> {
        Arc::new(OfClient { client, recorder: self.clone() })
    }

    /// What was recorded so far.
    pub fn history(&self) -> History {
        History::from_records(&self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Record>> {
        // Each change is a single push, so a panic elsewhere cannot leave one half done.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for HistoryRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HistoryRecorder").field("began", &self.began).field("records", &self.lock().len()).finish()
    }
}

struct OfClient {
    client: NodeId,
    recorder: HistoryRecorder,
}

impl Observer for OfClient {
    fn record(&self, event: Event) {
        let mut records = self.recorder.lock();
        let now: Micros = (self.recorder.clock)().saturating_sub(self.recorder.began).into();
        // A simulator may run a host through a tick after another that is at the end of that tick
        // already.
        let at = records.last().map_or(now, |last| now.max(last.at));
        records.push(Record { at, node: self.client, incarnation: 0, event });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;
    use std::net::SocketAddr;

    use super::*;
    use crate::base::trace::Outcome;
    use crate::base::{Key, ReadMode};
    use crate::net::{HostPort, Tcp, TcpAcceptor};

    /// A network of hosts whose clocks do not agree, with the times that they show one after
    /// another.
    #[derive(Clone)]
    struct Hosts(Arc<Mutex<VecDeque<u64>>>);

    impl Transport for Hosts {
        type Stream = <Tcp as Transport>::Stream;
        type Acceptor = TcpAcceptor;

        async fn bind(&self, address: SocketAddr) -> io::Result<TcpAcceptor> {
            Tcp.bind(address).await
        }

        async fn connect(&self, to: &HostPort) -> io::Result<Self::Stream> {
            Tcp.connect(to).await
        }

        fn elapsed(&self) -> Duration {
            Duration::from_micros(self.0.lock().unwrap().pop_front().expect("a time for each call"))
        }
    }

    #[test]
    fn times_are_those_of_the_network_and_do_not_go_down() {
        let hosts = Hosts(Arc::new(Mutex::new([100, 107, 105, 99, 108].into())));
        let recorder = HistoryRecorder::start(&hosts);
        let [one, other] = [0, 1].map(|client| recorder.observer(NodeId::Client(client)));
        let key = Key::new("x").unwrap();
        let invoke =
            || Event::InvokeGet { operation: 1, target: NodeId::FIRST_SERVER, key: key.clone(), mode: ReadMode::Local };
        let returned =
            || Event::Return { operation: 1, outcome: Outcome::Absent, stamp: None, value: None, confirmed: None };
        one.record(invoke());
        one.record(returned());
        other.record(invoke());
        other.record(returned());
        let times: Vec<u64> = recorder.lock().iter().map(|record| record.at.0).collect();
        assert_eq!(times, [7, 7, 7, 8]);
    }
}
