use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{FollowerId, InvalidNodeId, NodeId};

/// A follower as a member of a configuration: which node it is, and under what name the leader finds it.
///
/// Written as `f3` where the name is the node's own, and as `c@f3` where it is `c`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Member {
    /// The node.
    pub follower: FollowerId,
    /// The name by which the configuration calls it, if that is not the node's own.
    pub alias: Option<String>,
}

/// A text that is no [`Member`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a member; members are called f1, f2, … or, under another name, c@f1")]
pub struct InvalidMember(String);

impl Member {
    /// The name by which the configuration calls it.
    pub fn name(&self) -> String {
        self.alias.clone().unwrap_or_else(|| self.follower.to_string())
    }
}

impl From<FollowerId> for Member {
    fn from(follower: FollowerId) -> Self {
        Self { follower, alias: None }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.alias {
            Some(alias) => write!(f, "{alias}@{}", self.follower),
            None => self.follower.fmt(f),
        }
    }
}

impl FromStr for Member {
    type Err = InvalidMember;

    fn from_str(text: &str) -> Result<Self, InvalidMember> {
        let invalid = || InvalidMember(text.to_owned());
        let (alias, node) = match text.split_once('@') {
            Some((alias, node)) => (Some(alias.to_owned()).filter(|alias| !alias.is_empty()), node),
            None => (None, text),
        };
        if text.starts_with('@') {
            return Err(invalid());
        }
        match node.parse::<NodeId>().map_err(|_: InvalidNodeId| invalid())? {
            NodeId::Follower(follower) => Ok(Self { follower, alias }),
            NodeId::Server(_) | NodeId::Client(_) | NodeId::Network => Err(invalid()),
        }
    }
}

impl TryFrom<String> for Member {
    type Error = InvalidMember;

    fn try_from(text: String) -> Result<Self, InvalidMember> {
        text.parse()
    }
}

impl From<Member> for String {
    fn from(member: Member) -> Self {
        member.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_a_node_and_perhaps_another_name() {
        for text in ["f1", "f128", "c@f3"] {
            assert_eq!(text.parse::<Member>().unwrap().to_string(), text);
        }
        let renamed: Member = "c@f3".parse().unwrap();
        assert_eq!((renamed.follower, renamed.name()), (FollowerId(2), "c".into()));
        assert_eq!(Member::from(FollowerId(0)).name(), "f1");
        for text in ["", "f0", "@f1", "c@", "c@n1", "n1", "leader", "f1@c"] {
            assert!(text.parse::<Member>().is_err(), "{text:?}");
        }
    }
}
