use std::net::SocketAddr;
use std::sync::Arc;

use super::cors::CorsOrigins;
use super::incarnation::NodeIncarnation;
use super::peer::PeerToken;
use super::role::Role;
use crate::base::trace::Observer;
use crate::base::{Epoch, Seed};
use crate::core::{Limits, Rules};
use crate::net::MessageFaults;

/// Everything that a node must know before it starts.
#[derive(Clone)]
pub struct Config {
    /// What the node does.
    pub role: Role,
    /// Where it listens. Port 0 takes a free port.
    pub listen: SocketAddr,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// The most bytes of request bodies that are held at a time while they come in. A request whose body would go past it
    /// is told 503.
    pub max_bodies: usize,
    /// What peers must show, and what this node shows to its own. Without one nobody has to show anything.
    pub peer_token: Option<PeerToken>,
    /// The web pages that may use the node from a browser; none if it answers no questions about that.
    pub cors_origins: Option<CorsOrigins>,
    /// The most connections at a time. One more is told 503 and closed.
    pub max_connections: usize,
    /// Leader: how much may be under way.
    pub limits: Limits,
    /// Where the emulated delays and the jitter of resends come from.
    pub seed: Seed,
    /// The identity of this run of the node. It has no default, because two runs with the same one
    /// break the cluster.
    pub incarnation: NodeIncarnation,
    /// Which decisions of the protocol are in force: [`Rules::SAFE`], but for a simulation that shows what each is for.
    pub rules: Rules,
    /// What becomes of replication messages besides their delay: nothing, but in a simulation.
    pub message_faults: MessageFaults,
    /// Who is told what happens in the node, event by event. A simulation; in production nobody.
    pub observer: Option<Arc<dyn Observer>>,
    /// How many lines of the log were dropped, if the process can tell: for `GET /metrics`.
    pub log_loss: Option<LogLoss>,
}

/// Tells how many lines of a process's log were dropped since it began.
#[derive(Clone)]
pub struct LogLoss(Arc<dyn Fn() -> u64 + Send + Sync>);

impl LogLoss {
    /// What this function says, which is asked for each `GET /metrics`.
    pub fn new(dropped: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(dropped))
    }

    pub(super) fn dropped(&self) -> u64 {
        (self.0)()
    }
}

impl Config {
    /// The largest request body unless configured otherwise.
    pub const MAX_BODY: usize = 16 << 20;
    /// The most bytes of request bodies at a time, unless [`Config::MAX_BODY`] was raised.
    pub const MAX_BODIES: usize = 256 << 20;
    /// The most connections at a time unless the process may open fewer files.
    pub const MAX_CONNECTIONS: usize = 16_384;

    /// A node of this role with every other setting at its default. Nodes may have the same seed,
    /// but no two have the same incarnation: draw it, unless runs can be counted.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use semisync::base::{Key, Seed, Value};
    /// use semisync::client::Client;
    /// use semisync::net::{HostPort, NetemConfig, Tcp};
    /// use semisync::node::{Config, LeaderRole, Node, NodeIncarnation, Role};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = |role| {
    ///     let any_port = ([127, 0, 0, 1], 0).into();
    ///     std::io::Result::Ok(Config::new(role, any_port, Seed::new(1), NodeIncarnation::draw()?))
    /// };
    /// let mut followers: Vec<HostPort> = Vec::new();
    /// for _ in 0..2 {
    ///     let follower = Node::bind(Tcp, config(Role::Follower)?).await?;
    ///     followers.push(follower.local_addr().into());
    ///     tokio::spawn(follower.serve(std::future::pending()));
    /// }
    /// let leader = Role::Leader(LeaderRole {
    ///     followers,
    ///     write_quorum: 2,
    ///     netem: NetemConfig { min_delay: Duration::ZERO, max_delay: Duration::ZERO },
    ///     repl_timeout: Duration::from_secs(5),
    ///     advertise: None,
    /// });
    /// let leader = Node::bind(Tcp, config(leader)?).await?;
    /// let address = leader.local_addr().into();
    /// tokio::spawn(leader.serve(std::future::pending()));
    ///
    /// let client = Client::new(Tcp, Duration::from_secs(10));
    /// let answer = client.set(&address, &Key::new("x")?, &Value::from_json("1")?).await;
    /// assert_eq!(answer.ok().expect("both followers confirm").confirmations, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(role: Role, listen: SocketAddr, seed: Seed, incarnation: NodeIncarnation) -> Self {
        Self {
            role,
            listen,
            max_body: Self::MAX_BODY,
            max_bodies: Self::MAX_BODIES,
            peer_token: None,
            cors_origins: None,
            max_connections: Self::MAX_CONNECTIONS,
            limits: Limits::default(),
            seed,
            incarnation,
            rules: Rules::SAFE,
            message_faults: MessageFaults::default(),
            observer: None,
            log_loss: None,
        }
    }
}

/// A configuration with which a node cannot run. Its text names the field, its value and what is
/// allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidConfig(String);

impl Config {
    /// Checks what the types allow and a node does not.
    ///
    /// # Errors
    /// [`InvalidConfig`] for the first field that cannot be used.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        if self.limits.part_keys == 0 {
            return Err(InvalidConfig("limits.part_keys = 0: must be at least 1".into()));
        }
        let Role::Leader(role) = &self.role else { return Ok(()) };
        if self.incarnation.first_epoch < Epoch::FIRST {
            let epoch = self.incarnation.first_epoch;
            return Err(InvalidConfig(format!(
                "incarnation.first_epoch = {}: must be at least {}",
                epoch.get(),
                Epoch::FIRST.get()
            )));
        }
        role.check().map_err(InvalidConfig)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::{HostPort, NetemConfig};
    use crate::node::role::LeaderRole;

    #[test]
    fn a_field_that_cannot_be_used_is_named() {
        let incarnation = NodeIncarnation { number: 1, first_epoch: Epoch::FIRST };
        let role = || LeaderRole {
            followers: vec![HostPort::new("a", 1)],
            write_quorum: 1,
            netem: NetemConfig { min_delay: Duration::ZERO, max_delay: Duration::ZERO },
            repl_timeout: Duration::from_secs(5),
            advertise: None,
        };
        let leader = || Config::new(Role::Leader(role()), ([127, 0, 0, 1], 0).into(), Seed::new(1), incarnation);
        assert_eq!(leader().check(), Ok(()));
        let incarnation = NodeIncarnation { first_epoch: Epoch::ZERO, ..incarnation };
        let limits = Limits { part_keys: 0, ..Limits::default() };
        for (config, problem) in [
            (Config { incarnation, ..leader() }, "incarnation.first_epoch = 0: must be at least 1"),
            (
                Config { role: Role::Leader(LeaderRole { write_quorum: 2, ..role() }), ..leader() },
                "write_quorum = 2: must be 1 to 1, the followers",
            ),
            (Config { limits, ..leader() }, "limits.part_keys = 0: must be at least 1"),
        ] {
            assert_eq!(config.check().expect_err(problem).to_string(), problem);
        }
    }
}
