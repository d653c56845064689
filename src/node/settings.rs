use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

use super::NodeError;
use super::config::Config;
use super::cors::{CorsOrigins, InvalidOrigin};
use super::incarnation::NodeIncarnation;
use super::peer::{PeerToken, Secret};
use super::role::{LeaderRole, Role};
use super::setting_name::{ConfigError, SettingName};
use crate::base::{FollowerSet, Seed};
use crate::net::{HostPort, InvalidHostPort, NetemConfig};

/// The settings of a node as texts, named as the environment variables are. `None` where one is not set.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Settings {
    /// What the node does: leader or follower [env: ROLE] [default: follower]
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// HTTP port [env: PORT] [default: 8000]
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// Address to listen on [env: HOST] [default: 0.0.0.0]
    #[arg(long, value_name = "ADDRESS")]
    pub host: Option<String>,
    /// Leader: whom to replicate to, host:port separated by commas [env: FOLLOWERS]
    #[arg(long, value_name = "LIST")]
    pub followers: Option<String>,
    /// Leader: where clients reach it, host:port, for its followers to tell them [env: ADVERTISE] [default: none]
    #[arg(long, value_name = "ADDRESS")]
    pub advertise: Option<String>,
    /// Leader: how many followers must confirm a write [env: WRITE_QUORUM] [default: 1]
    #[arg(long, value_name = "N")]
    pub write_quorum: Option<String>,
    /// Leader: shortest emulated delay of a replication message, in ms [env: MIN_DELAY] [default: 0]
    #[arg(long, value_name = "MS")]
    pub min_delay: Option<String>,
    /// Leader: longest emulated delay of a replication message, in ms [env: MAX_DELAY] [default: 1000]
    #[arg(long, value_name = "MS")]
    pub max_delay: Option<String>,
    /// Leader: deadline of a write's quorum and of a replication request, in seconds [env: REPL_TIMEOUT] [default: 5.0]
    #[arg(long, value_name = "SECONDS")]
    pub repl_timeout: Option<String>,
    /// Largest request body, such as 512KiB or 16MiB [env: MAX_BODY] [default: 16MiB]
    #[arg(long, value_name = "SIZE")]
    pub max_body: Option<String>,
    /// What peers must know to replicate to this node, and what it shows to its followers [env: PEER_TOKEN] [default: none]
    #[arg(long, value_name = "TOKEN")]
    pub peer_token: Option<Secret>,
    /// Web pages that may use the node from a browser: * or origins separated by commas [env: CORS_ORIGIN] [default: none]
    #[arg(long, value_name = "ORIGINS")]
    pub cors_origin: Option<String>,
    /// Leader: seed of the emulated delays [env: SEED] [default: from the system]
    #[arg(long, value_name = "N")]
    pub seed: Option<String>,
    /// The variables whose values come from the environment, filled by [`Settings::or_from`]. All other values are flags. Errors
    /// name what was given.
    #[arg(skip)]
    pub from_environment: BTreeSet<&'static str>,
}

/// Delays and deadlines beyond this are a slip of the pen.
const LONGEST: Duration = Duration::from_secs(3600);

impl Settings {
    /// Fills what is not set from `lookup`, which gives the value of an environment variable. An empty value counts as
    /// not set, because that is what a compose file makes of a variable without a value.
    #[must_use]
    pub fn or_from(mut self, lookup: impl Fn(&'static str) -> Option<String>) -> Self {
        for (variable, setting) in [
            ("ROLE", &mut self.role),
            ("PORT", &mut self.port),
            ("HOST", &mut self.host),
            ("FOLLOWERS", &mut self.followers),
            ("ADVERTISE", &mut self.advertise),
            ("WRITE_QUORUM", &mut self.write_quorum),
            ("MIN_DELAY", &mut self.min_delay),
            ("MAX_DELAY", &mut self.max_delay),
            ("REPL_TIMEOUT", &mut self.repl_timeout),
            ("MAX_BODY", &mut self.max_body),
            ("CORS_ORIGIN", &mut self.cors_origin),
            ("SEED", &mut self.seed),
        ] {
            if setting.is_none()
                && let Some(value) = lookup(variable).filter(|value| !value.is_empty())
            {
                *setting = Some(value);
                self.from_environment.insert(variable);
            }
        }
        if self.peer_token.is_none()
            && let Some(token) = lookup("PEER_TOKEN").filter(|value| !value.is_empty())
        {
            self.peer_token = Some(Secret::from(token));
            self.from_environment.insert("PEER_TOKEN");
        }
        self
    }

    /// Checks every setting and puts the defaults in. `system_seed` is used where no seed is set; the incarnation is no
    /// setting. Every setting is checked on a follower too, so that a mistake in a file that all nodes share shows on the
    /// first of them.
    ///
    /// # Errors
    /// [`ConfigError`] for the first setting that cannot be used.
    pub fn validate(&self, system_seed: u64, incarnation: NodeIncarnation) -> Result<Config, ConfigError> {
        let is_leader = match self.role.as_deref().unwrap_or("follower").trim() {
            "leader" => true,
            "follower" => false,
            other => return Err(self.error("ROLE", other, "must be leader or follower")),
        };
        let port: u16 = self.whole_number("PORT", &self.port, 8000, 0..=u16::MAX.into())? as u16;
        let host: IpAddr =
            self.parse("HOST", &self.host, "0.0.0.0", "must be an IP address to listen on, such as 0.0.0.0")?;
        let followers = self.followers(is_leader.then_some((host, port)))?;
        let write_quorum = self.write_quorum(is_leader, followers.len())?;
        let (netem, repl_timeout, advertise) = (self.netem()?, self.repl_timeout()?, self.advertise()?);
        let role = LeaderRole { followers, write_quorum, netem, repl_timeout, advertise };
        let role = if is_leader { Role::Leader(role) } else { Role::Follower };
        let seed = self.whole_number("SEED", &self.seed, system_seed, 0..=u64::MAX)?;
        let config = Config::new(role, SocketAddr::new(host, port), Seed::new(seed), incarnation);
        let max_body = self.max_body()?;
        let max_bodies = Config::MAX_BODIES.max(2 * max_body);
        let (peer_token, cors_origins) = (self.peer_token()?, self.cors_origins()?);
        if !is_leader {
            self.refuse_flags_of_leader()?;
        }
        Ok(Config { max_body, max_bodies, peer_token, cors_origins, ..config })
    }

    /// Describes an error of a node that was started with these settings, with the setting that causes it.
    pub fn describe(&self, error: &NodeError) -> String {
        let NodeError::Bind { source, .. } = error else { return error.to_string() };
        // An address that this machine does not have is no fault of the port.
        let (variable, value) = match source.kind() {
            io::ErrorKind::AddrNotAvailable => ("HOST", &self.host),
            _ => ("PORT", &self.port),
        };
        let name = self.name(variable);
        match value {
            Some(value) => format!("{name}{}{value}: {error}", name.separator()),
            None => format!("{error}; {name} or {variable} chooses another"),
        }
    }

    /// Returns the name by which the setting of this variable was given.
    fn name(&self, variable: &'static str) -> SettingName {
        SettingName { variable, is_flag: !self.from_environment.contains(variable) }
    }

    fn error(&self, variable: &'static str, value: impl fmt::Display, problem: impl Into<String>) -> ConfigError {
        ConfigError { name: self.name(variable), value: value.to_string(), problem: problem.into() }
    }

    /// Refuses a flag that a follower does not use. A variable is allowed, because nodes may share a file of them.
    fn refuse_flags_of_leader(&self) -> Result<(), ConfigError> {
        let given = [
            ("FOLLOWERS", &self.followers),
            ("ADVERTISE", &self.advertise),
            ("WRITE_QUORUM", &self.write_quorum),
            ("MIN_DELAY", &self.min_delay),
            ("MAX_DELAY", &self.max_delay),
            ("REPL_TIMEOUT", &self.repl_timeout),
            ("SEED", &self.seed),
        ];
        let reason = match &self.role {
            Some(role) => {
                let name = self.name("ROLE");
                format!("{name}{}{role}", name.separator())
            }
            None => "the default role, follower".to_owned(),
        };
        for (variable, value) in given {
            if let Some(value) = value
                && self.name(variable).is_flag
            {
                return Err(self.error(
                    variable,
                    value,
                    format!("has no effect with {reason}; only a leader uses it: --role leader"),
                ));
            }
        }
        Ok(())
    }

    /// `leader` is where the node listens, if it is the leader: a list that all nodes share names the followers too.
    fn followers(&self, leader: Option<(IpAddr, u16)>) -> Result<Vec<HostPort>, ConfigError> {
        let list = self.followers.as_deref().unwrap_or_default();
        let error = |problem: String| self.error("FOLLOWERS", list, problem);
        let mut followers = Vec::new();
        let mut seen = BTreeSet::new();
        for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let follower: HostPort = item.parse().map_err(|e| error(format!("{e}; items are separated by commas")))?;
            let address = address_of(&follower);
            if let (Some((host, port)), Some(ip)) = (leader, address)
                && port == follower.port()
                && (ip == host || (ip.is_loopback() && host.is_unspecified()))
            {
                return Err(error(format!("{follower} is this node itself; a leader is not its own follower")));
            }
            let name = address.map_or_else(|| follower.host().to_owned(), |ip| ip.to_string());
            if !seen.insert((name, follower.port())) {
                return Err(error(format!("{follower} is listed twice; its confirmation would count once only")));
            }
            followers.push(follower);
        }
        if followers.len() > FollowerSet::CAPACITY {
            return Err(error(format!("{} followers; at most {} are allowed", followers.len(), FollowerSet::CAPACITY)));
        }
        Ok(followers)
    }

    fn advertise(&self) -> Result<Option<HostPort>, ConfigError> {
        let address = self.advertise.as_deref().map(|text| {
            let error = |error: InvalidHostPort| self.error("ADVERTISE", text, error.to_string());
            text.trim().parse().map_err(error)
        });
        address.transpose()
    }

    /// The default of 1 cannot be met without followers; a leader that has none and says nothing of a quorum is alone
    /// on purpose.
    fn write_quorum(&self, is_leader: bool, followers: usize) -> Result<usize, ConfigError> {
        let default = if is_leader { followers.min(1) } else { 1 };
        let quorum =
            self.whole_number("WRITE_QUORUM", &self.write_quorum, default as u64, 0..=FollowerSet::CAPACITY as u64)?;
        let quorum = quorum as usize;
        let name =
            if self.followers.is_some() { self.name("FOLLOWERS") } else { self.name("WRITE_QUORUM").like("FOLLOWERS") };
        let problem = match (quorum, followers) {
            _ if !is_leader => return Ok(quorum),
            (0, 0) => return Ok(0),
            (_, 0) => format!("there are no followers ({name}) to confirm a write; without any it must be 0"),
            (0, n) => format!("must be 1 to {n}, the number of {name}; 0 is for a leader without followers only"),
            (q, n) if q > n => format!("must be 1 to {n}, the number of {name}"),
            _ => return Ok(quorum),
        };
        Err(self.error("WRITE_QUORUM", quorum, problem))
    }

    fn netem(&self) -> Result<NetemConfig, ConfigError> {
        let range = 0..=LONGEST.as_millis() as u64;
        let min = self.whole_number("MIN_DELAY", &self.min_delay, 0, range.clone())?;
        let max = self.whole_number("MAX_DELAY", &self.max_delay, 1000, range)?;
        if min > max {
            let (name, default) = match self.max_delay {
                Some(_) => (self.name("MAX_DELAY"), ""),
                None => (self.name("MIN_DELAY").like("MAX_DELAY"), ", the default"),
            };
            return Err(self.error("MIN_DELAY", min, format!("must not be above {name}, which is {max}{default}")));
        }
        Ok(NetemConfig { min_delay: Duration::from_millis(min), max_delay: Duration::from_millis(max) })
    }

    fn repl_timeout(&self) -> Result<Duration, ConfigError> {
        let allowed = "must be a number of seconds above 0 and up to 3600, such as 5 or 0.7";
        let seconds: f64 = self.parse("REPL_TIMEOUT", &self.repl_timeout, "5.0", allowed)?;
        let timeout = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        if timeout.is_zero() || timeout > LONGEST {
            return Err(self.error("REPL_TIMEOUT", seconds, allowed));
        }
        Ok(timeout)
    }

    fn max_body(&self) -> Result<usize, ConfigError> {
        let allowed = "must be a size from 1KiB to 1GiB, such as 512KiB or 16MiB";
        let default = ByteSize(Config::MAX_BODY as u64).to_string();
        let size: ByteSize = self.parse("MAX_BODY", &self.max_body, &default, allowed)?;
        if !(1 << 10..=1 << 30).contains(&size.as_u64()) {
            return Err(self.error("MAX_BODY", size, allowed));
        }
        Ok(size.as_u64() as usize)
    }

    fn cors_origins(&self) -> Result<Option<CorsOrigins>, ConfigError> {
        let origins = self.cors_origin.as_deref().map(|text| {
            let error = |error: InvalidOrigin| self.error("CORS_ORIGIN", text, error.to_string());
            text.parse().map_err(error)
        });
        origins.transpose()
    }

    fn peer_token(&self) -> Result<Option<PeerToken>, ConfigError> {
        let token = self.peer_token.as_ref().map(|token| PeerToken::new(token.reveal()));
        // An error must not show the value.
        token.transpose().map_err(|error| self.error("PEER_TOKEN", "(not shown)", error.to_string()))
    }

    fn parse<T: FromStr>(
        &self,
        variable: &'static str,
        setting: &Option<String>,
        default: &str,
        allowed: &str,
    ) -> Result<T, ConfigError> {
        let text = setting.as_deref().unwrap_or(default);
        text.trim().parse().map_err(|_| self.error(variable, text, allowed))
    }

    fn whole_number(
        &self,
        variable: &'static str,
        setting: &Option<String>,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        let allowed = format!("must be a whole number from {} to {}", range.start(), range.end());
        let number = self.parse(variable, setting, &default.to_string(), &allowed)?;
        if range.contains(&number) { Ok(number) } else { Err(self.error(variable, number, allowed)) }
    }
}

/// The address, where the name says it: the same one can be written in several ways.
fn address_of(follower: &HostPort) -> Option<IpAddr> {
    match follower.host() {
        "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
        host => host.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Epoch;

    fn settings(pairs: &[(&'static str, &str)]) -> Settings {
        Settings::default().or_from(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    const INCARNATION: NodeIncarnation = NodeIncarnation { number: 1, first_epoch: Epoch::FIRST };

    fn config(pairs: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
        settings(pairs).validate(1, INCARNATION)
    }

    fn leader(pairs: &[(&'static str, &str)]) -> LeaderRole {
        let pairs = [&[("ROLE", "leader")], pairs].concat();
        match config(&pairs).unwrap().role {
            Role::Leader(role) => role,
            Role::Follower => unreachable!("ROLE is leader"),
        }
    }

    #[test]
    fn defaults() {
        let follower = config(&[]).unwrap();
        assert!(matches!(follower.role, Role::Follower));
        assert_eq!(follower.listen, "0.0.0.0:8000".parse().unwrap());
        assert_eq!((follower.max_body, follower.seed), (16 << 20, Seed::new(1)));
        let leader = leader(&[("FOLLOWERS", "a:1,b:2")]);
        assert_eq!(leader.advertise, None);
        assert_eq!((leader.write_quorum, leader.repl_timeout), (1, Duration::from_secs(5)));
        assert_eq!((leader.netem.min_delay, leader.netem.max_delay), (Duration::ZERO, Duration::from_secs(1)));
    }

    #[test]
    fn followers_are_read_leniently_where_nothing_is_ambiguous() {
        let role = leader(&[("FOLLOWERS", " http://f1:8000, ,F2:8000/,\n[::1]:9000,")]);
        let names: Vec<String> = role.followers.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["f1:8000", "f2:8000", "[::1]:9000"]);
        assert_eq!(leader(&[]).write_quorum, 0);
        assert_eq!(leader(&[("WRITE_QUORUM", "")]).write_quorum, 0);
    }

    #[test]
    fn flags_override_the_environment() {
        let flags = Settings { port: Some("9".into()), ..Settings::default() };
        let config = flags.or_from(|name| (name == "PORT").then(|| "7".into())).validate(1, INCARNATION).unwrap();
        assert_eq!(config.listen.port(), 9);
    }

    #[test]
    fn an_error_names_the_variable_its_value_and_what_is_allowed() {
        let with_two = |variable, value| [("ROLE", "leader"), ("FOLLOWERS", "a:1,b:2"), (variable, value)];
        for (variable, value, allowed) in [
            ("ROLE", "boss", "leader or follower"),
            ("PORT", "65536", "0 to 65535"),
            ("PORT", "http", "whole number"),
            ("PORT", "-1", "whole number"),
            ("HOST", "somewhere", "IP address"),
            ("FOLLOWERS", "a", "host:port"),
            ("FOLLOWERS", "a:1;b:2", "separated by commas"),
            ("FOLLOWERS", "a:1,A:1", "listed twice"),
            ("FOLLOWERS", "localhost:8000", "this node itself"),
            ("FOLLOWERS", "localhost:1,127.0.0.1:1", "listed twice"),
            ("FOLLOWERS", "[::1]:1,[0:0:0:0:0:0:0:1]:1", "listed twice"),
            ("ADVERTISE", "localhost", "host:port"),
            ("ADVERTISE", "a:1,b:2", "host:port"),
            ("WRITE_QUORUM", "0", "1 to 2"),
            ("WRITE_QUORUM", "3", "1 to 2"),
            ("WRITE_QUORUM", "two", "whole number"),
            ("WRITE_QUORUM", "1.5", "whole number"),
            ("MIN_DELAY", "1001", "MAX_DELAY, which is 1000, the default"),
            ("MIN_DELAY", "-5", "whole number"),
            ("MAX_DELAY", "1s", "whole number"),
            ("MAX_DELAY", "3600001", "0 to 3600000"),
            ("REPL_TIMEOUT", "0", "above 0"),
            ("REPL_TIMEOUT", "-1", "above 0"),
            ("REPL_TIMEOUT", "NaN", "above 0"),
            ("REPL_TIMEOUT", "inf", "above 0"),
            ("REPL_TIMEOUT", "5s", "number of seconds"),
            ("MAX_BODY", "lots", "1KiB to 1GiB"),
            ("MAX_BODY", "0", "1KiB to 1GiB"),
            ("CORS_ORIGIN", "localhost", "must be *"),
            ("SEED", "abc", "whole number"),
            ("SEED", "18446744073709551616", "whole number"),
        ] {
            let mut pairs = with_two(variable, value).to_vec();
            pairs.reverse(); // so that the pair under test is found before the set-up's own
            let message = config(&pairs).err().unwrap_or_else(|| panic!("{variable}={value} is taken")).to_string();
            assert!(message.starts_with(&format!("{variable}=")), "{message}");
            assert!(message.contains(allowed), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
        let message = config(&[("ROLE", "leader"), ("WRITE_QUORUM", "1")]).err().unwrap().to_string();
        assert!(message.contains("no followers (FOLLOWERS)"), "{message}");
    }

    #[test]
    fn an_error_names_the_flag_if_a_flag_was_given() {
        let text = |value: &str| Some(value.to_owned());
        let leader = || Settings { role: text("leader"), followers: text("a:1,b:2"), ..Settings::default() };
        let message = |settings: Settings, variables: &[(&'static str, &str)]| {
            let lookup = |name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            settings.or_from(lookup).validate(1, INCARNATION).err().expect("it is refused").to_string()
        };
        let quorum = |value: &str| Settings { write_quorum: text(value), ..leader() };
        assert_eq!(message(quorum("9"), &[]), "--write-quorum \"9\": must be 1 to 2, the number of --followers");
        assert_eq!(
            message(quorum("x"), &[("WRITE_QUORUM", "1")]),
            "--write-quorum \"x\": must be a whole number from 0 to 128"
        );
        assert_eq!(
            message(leader(), &[("WRITE_QUORUM", "9")]),
            "WRITE_QUORUM=\"9\": must be 1 to 2, the number of --followers"
        );
        let alone = Settings { role: text("leader"), write_quorum: text("1"), ..Settings::default() };
        assert_eq!(
            message(alone, &[]),
            "--write-quorum \"1\": there are no followers (--followers) to confirm a write; without any it must be 0"
        );
        let delays = Settings { min_delay: text("2000"), ..leader() };
        assert_eq!(
            message(delays.clone(), &[]),
            "--min-delay \"2000\": must not be above --max-delay, which is 1000, the default"
        );
        assert_eq!(
            message(delays, &[("MAX_DELAY", "7")]),
            "--min-delay \"2000\": must not be above MAX_DELAY, which is 7"
        );
        let token = Settings { peer_token: Some(Secret::from("a b".to_owned())), ..leader() };
        assert!(message(token, &[]).starts_with("--peer-token \"(not shown)\": "));
    }

    /// A flag that does nothing is a mistake; a variable may be shared with the leader.
    #[test]
    fn a_follower_refuses_flags_of_a_leader() {
        let text = |value: &str| Some(value.to_owned());
        let flags = Settings { write_quorum: text("2"), ..Settings::default() };
        let message = |settings: Settings| settings.validate(1, INCARNATION).err().expect("it is refused").to_string();
        assert_eq!(
            message(flags.clone()),
            "--write-quorum \"2\": has no effect with the default role, follower; only a leader uses it: --role leader"
        );
        let role = Settings { role: text("follower"), ..flags.clone() };
        assert!(message(role).contains("has no effect with --role follower;"));
        let of_environment = flags.or_from(|name| (name == "ROLE").then(|| "follower".into()));
        assert!(message(of_environment).contains("has no effect with ROLE=follower;"));
        assert!(config(&[("WRITE_QUORUM", "2"), ("SEED", "3")]).is_ok());
    }

    #[test]
    fn a_peer_token_is_taken_and_never_shown() {
        assert!(config(&[]).unwrap().peer_token.is_none());
        assert!(config(&[("PEER_TOKEN", "")]).unwrap().peer_token.is_none());
        let settings = settings(&[("PEER_TOKEN", "s3cret")]);
        assert!(settings.validate(1, INCARNATION).unwrap().peer_token.is_some());
        assert!(!format!("{settings:?}").contains("s3cret"));
        for wrong in ["s3cret s3cret".to_owned(), "s3cret\n".to_owned(), "s3cret".repeat(43)] {
            let message = config(&[("PEER_TOKEN", &wrong)]).err().unwrap().to_string();
            assert!(message.starts_with("PEER_TOKEN=") && message.contains("1 to 256 bytes"), "{message}");
            assert!(!message.contains("s3cret") && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn a_mistake_shows_on_a_follower_too() {
        assert!(config(&[("MAX_DELAY", "x")]).is_err());
        assert!(config(&[("FOLLOWERS", "a:1"), ("WRITE_QUORUM", "3")]).is_ok());
        assert!(config(&[("FOLLOWERS", "localhost:8000"), ("PORT", "8000")]).is_ok(), "the list names this follower");
    }

    #[test]
    fn another_loopback_address_is_another_node() {
        let pairs = [("ROLE", "leader"), ("HOST", "127.0.0.2"), ("FOLLOWERS", "127.0.0.1:8000")];
        assert!(config(&pairs).is_ok());
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("16MiB", 16 << 20), ("1 KiB", 1 << 10), ("2048", 2048), ("1MB", 1_000_000)] {
            assert_eq!(config(&[("MAX_BODY", text)]).unwrap().max_body, bytes, "{text}");
        }
    }
}
