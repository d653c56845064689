//! A node: the protocol driven over a transport, behind the HTTP interface.
//!
//! [`run`] is the only place where a node is put together. `semisync serve` calls it with TCP, the simulator with a
//! simulated network, a test with port 0.

mod api;
mod body_limit;
mod clock;
mod config;
mod contacts;
mod cors;
mod incarnation;
mod interview;
mod linger;
mod metrics;
mod outbox;
mod peer;
mod pipeline;
mod readiness;
mod replicator;
mod role;
mod server;
mod setting_name;
mod settings;

pub use config::{Config, InvalidConfig, LogLoss};
pub use cors::{CorsOrigins, InvalidOrigin};
pub use incarnation::NodeIncarnation;
pub use peer::{InvalidPeerToken, PeerToken, Secret};
pub use role::{LeaderRole, Role};
pub use setting_name::ConfigError;
pub use settings::Settings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{io, panic};

use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::base::FollowerId;
use crate::base::wire::Ready;
use crate::net::http::HttpClient;
use crate::net::{Acceptor, Transport};
use api::{App, Awaited, Bodies, Duty, Standby};
use clock::Clock;
use interview::Interview;
use metrics::Metrics;
use outbox::Lane;
use pipeline::Pipeline;
use replicator::Replicator;
use server::Server;

/// Why a node could not run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The address could not be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No node can run with the configuration.
    #[error("the node cannot start: {0}")]
    Config(#[from] InvalidConfig),
}

/// Runs a node until `shutdown` completes and the node has drained: no new connections, every request that is under way
/// answered, every write's first delivery carried out or given up.
///
/// # Errors
/// [`NodeError`] if the node could not start.
pub async fn run<T: Transport>(
    transport: T,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> Result<(), NodeError> {
    Node::bind(transport, config).await?.serve(shutdown).await;
    Ok(())
}

/// A node that has its port but does not answer yet.
pub struct Node<T: Transport> {
    transport: T,
    config: Config,
    acceptor: T::Acceptor,
    address: SocketAddr,
}

impl<T: Transport> Node<T> {
    /// Takes the port. From here on connections queue up for [`Node::serve`].
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn bind(transport: T, config: Config) -> Result<Self, NodeError> {
        config.check()?;
        let failed = |source| NodeError::Bind { address: config.listen, source };
        let acceptor = transport.bind(config.listen).await.map_err(failed)?;
        let address = acceptor.local_addr().map_err(failed)?;
        Ok(Self { transport, config, acceptor, address })
    }

    /// Where the node listens, with the port that it got.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Runs the node, as [`run`] does.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self { transport, config, acceptor, address } = self;
        let clock = Clock::start();
        let mut background = JoinSet::new();
        let metrics = Arc::new(Metrics::new(matches!(config.role, Role::Leader(_)), config.log_loss.clone()));
        let (duty, longest_write) = match &config.role {
            Role::Leader(role) => {
                let replicator =
                    start_replication(transport, role, (&config, address), clock, &metrics, &mut background);
                let longest = role.netem.max_delay + role.repl_timeout;
                (Duty::Leader(replicator), longest)
            }
            Role::Follower => (Duty::Follower(Box::new(Standby::new(&config))), Duration::ZERO),
        };
        info!(role = config.role.name(), %address, seed = %config.seed, "serving");
        if config.peer_token.is_none() && !address.ip().is_loopback() {
            warn!(
                %address,
                "there is no PEER_TOKEN, and who reaches this address can take part as a leader: set one, or keep others out"
            );
        }
        let app = Arc::new(App {
            duty,
            clock,
            metrics: Arc::clone(&metrics),
            max_body: config.max_body,
            bodies: Bodies::new(config.max_bodies),
            awaited: Awaited::default(),
            patience: READ_PATIENCE,
            start_patience: START_PATIENCE,
        });
        background.spawn(tell_readiness(Arc::clone(&app)));
        let stop = CancellationToken::new();
        let server = Server {
            router: api::router(Arc::clone(&app), config.peer_token.clone(), config.cors_origins.as_ref()),
            max_connections: config.max_connections,
            connections: metrics.connections.clone(),
            stop: stop.clone(),
        };
        let drain = async {
            shutdown.await;
            info!("shutting down: finishing what is under way");
            stop.cancel();
        };
        let running = async { tokio::join!(server.accept(acceptor), drain).0 };
        let connections = tokio::select! {
            biased;
            connections = running => connections,
            ended = background.join_next(), if !background.is_empty() => give_up(ended),
        };
        // Past this no write can be waiting for anything any more.
        let grace = (longest_write + Duration::from_secs(1)).max(SHORTEST_GRACE);
        if timeout(grace, connections.finished()).await.is_err() {
            warn!("some requests were still under way; their connections are closed");
        }
        if let Duty::Leader(replicator) = &app.duty {
            drain_replication(replicator, grace).await;
        }
        background.shutdown().await;
        info!("stopped");
    }
}

/// Values from this size on are not copied into a body but shared with it, in bytes.
const SHARE_FROM: usize = 4096;

/// How long a reader waits for a version at the most.
const READ_PATIENCE: Duration = Duration::from_secs(5);

/// How long a client waits for a leader that has just started to know what was written before it.
pub const START_PATIENCE: Duration = Duration::from_secs(1);

/// How long requests that are under way at shutdown have to come to their end, at the least. A reader that waits has as
/// long as it was promised.
const SHORTEST_GRACE: Duration = Duration::from_secs(6);

/// How often it is looked whether the node is ready.
const LOOK: Duration = Duration::from_secs(1);
/// How long at least between two lines of the log about that.
const PAUSE: Duration = Duration::from_secs(5);
/// How often the log says that it is not.
const REMINDER: Duration = Duration::from_secs(30);

/// Says in the log when it changes what the node can do and what keeps it from that, and reminds of it while it lasts. Never
/// returns.
async fn tell_readiness(app: Arc<App>) {
    // A start takes a moment.
    let (mut was_well, mut told, mut told_at) = (true, String::new(), None);
    loop {
        sleep(LOOK).await;
        if let Duty::Leader(replicator) = &app.duty {
            replicator.look_for_lag();
        }
        let (Ready { ready, detail }, has_notes) = app.situation();
        let (now, is_well) = (app.clock.now(), ready && !has_notes);
        // A sentence that differs from the last in a number only says nothing new. Addresses have more than digits.
        let is_number = |word: &&str| word.chars().all(|c| c.is_ascii_digit() || c.is_ascii_punctuation());
        let gist: String = detail.split(' ').filter(|word| word.contains(':') || !is_number(word)).collect();
        let is_due = told_at.is_none_or(|at| now.saturating_sub(at) >= REMINDER);
        // What comes and goes is told of now and then.
        if told_at.is_some_and(|at| now.saturating_sub(at) < PAUSE) {
            continue;
        }
        match (is_well, gist == told) {
            (true, _) if was_well => continue,
            (false, true) if !is_due => continue,
            (true, _) => info!("ready: {detail}"),
            (false, true) if ready => warn!("ready, but still not in order: {detail}"),
            (false, false) if ready => warn!("ready, but not in order: {detail}"),
            (false, true) => warn!("still not ready: {detail}"),
            (false, false) => warn!("not ready: {detail}"),
        }
        (was_well, told, told_at) = (is_well, gist, Some(now));
    }
}

/// A task that should run as long as the node has panicked. A node that goes on without it would look alive and replicate
/// nothing.
fn give_up(ended: Option<Result<(), JoinError>>) -> ! {
    match ended {
        Some(Err(error)) if error.is_panic() => panic::resume_unwind(error.into_panic()),
        other => panic!("a task of the node ended by itself: {other:?}"),
    }
}

fn start_replication<T: Transport>(
    transport: T,
    role: &LeaderRole,
    (config, address): (&Config, SocketAddr),
    clock: Clock,
    metrics: &Arc<Metrics>,
    background: &mut JoinSet<()>,
) -> Arc<Replicator> {
    let replicator = Arc::new(Replicator::new(role, config, address, clock, Arc::clone(metrics)));
    let http = HttpClient::new(transport);
    let advertise = role.advertise.as_ref().and_then(api::address_in_header);
    for (to, address) in FollowerId::first(role.followers.len()).zip(&role.followers) {
        for lane in Lane::ALL {
            let pipeline = Pipeline {
                to,
                lane,
                address: address.clone(),
                http: http.clone(),
                replicator: Arc::clone(&replicator),
                incarnation: config.incarnation.number,
                deadline: role.repl_timeout,
                token: config.peer_token.clone(),
            };
            background.spawn(pipeline.run());
        }
        let interview = Interview {
            to,
            address: address.clone(),
            http: http.clone(),
            replicator: Arc::clone(&replicator),
            incarnation: config.incarnation.number,
            deadline: role.repl_timeout,
            token: config.peer_token.clone(),
            advertise: advertise.clone(),
        };
        background.spawn(interview.run());
        let leader = Arc::clone(&replicator);
        background.spawn(Interview::watch_connections(http.clone(), address.clone(), to, leader));
    }
    let timer = Arc::clone(&replicator);
    background.spawn(async move { timer.run_timer().await });
    replicator
}

/// Lets the messages that are on their way arrive, and says what will not.
async fn drain_replication(replicator: &Replicator, grace: Duration) {
    if timeout(grace, replicator.settled()).await.is_err() {
        warn!("some messages were still on their way to followers; they are dropped");
    }
    let missed: usize = replicator.status().iter().map(|status| status.missed).sum();
    if missed > 0 {
        warn!(
            missed,
            "followers that do not answer have not got the newest write of some keys, and will not from here"
        );
    }
}
