//! The vocabulary of the tests.

pub mod pipes;
pub mod raw;
#[cfg(feature = "sim")]
pub mod seeds;
pub mod tcp;

use std::time::Duration;

use semisync::base::{FollowerId, Key, NodeId, Value};
use tokio::time::{sleep, timeout};

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

/// Tries again until there is a result. A test that never gets one fails; no passing test depends on how long it took.
pub async fn until<R>(mut attempt: impl AsyncFnMut() -> Option<R>) -> R {
    let result = async {
        loop {
            if let Some(result) = attempt().await {
                return result;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), result).await.expect("it does not come about")
}
