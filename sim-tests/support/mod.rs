//! The vocabulary of the tests.

pub mod raw;
#[cfg(feature = "sim")]
pub mod seeds;
pub mod tcp;

use semisync::base::{FollowerId, Key, NodeId, Value};

pub fn key(text: &str) -> Key {
    Key::new(text).expect("tests use valid keys")
}

pub fn json(text: &str) -> Value {
    Value::from_json(text).expect("tests use valid JSON")
}

/// The follower called `f1`, `f2`, …
pub fn f(number: u8) -> NodeId {
    NodeId::Follower(FollowerId(number - 1))
}
