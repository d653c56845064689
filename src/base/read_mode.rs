use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a read may show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadMode {
    /// What the node stores: fast, and on a follower perhaps old, on the leader perhaps not acknowledged yet.
    #[default]
    Local,
    /// At the leader: what was acknowledged last, so that it cannot vanish; perhaps old, if there is a newer leader.
    Committed,
    /// At the leader: what was acknowledged last, by any leader, before the read began or meanwhile.
    Linearizable,
}

impl ReadMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Local, Self::Committed, Self::Linearizable];

    /// The name that requests and scenarios use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Committed => "committed",
            Self::Linearizable => "linearizable",
        }
    }

    /// Whether this is the default.
    pub fn is_local(&self) -> bool {
        *self == Self::Local
    }
}

impl fmt::Display for ReadMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ReadMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mode = Self::ALL.into_iter().find(|mode| mode.name() == text);
        mode.ok_or_else(|| format!("there is no mode {text:?}; the modes are local, committed and linearizable"))
    }
}
