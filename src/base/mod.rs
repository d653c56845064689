//! The vocabulary: keys, values, stamps, node names, the bodies that go over HTTP, the typed trace, and seeds.
//!
//! This is the lowest layer. It depends on nothing else in the crate, and everything else may depend on it.

mod consistency;
pub mod history;
pub mod json_lines;
mod key;
mod member;
mod node;
mod read_mode;
mod recording;
mod request;
mod requests;
pub mod seed;
mod stamp;
pub mod trace;
mod value;
mod visible;
pub mod wire;

pub use consistency::Inconsistency;
pub use key::{InvalidKey, Key};
pub use member::{InvalidMember, Member};
pub use node::{FollowerId, FollowerSet, InvalidNodeId, InvalidNodeRef, NodeId, NodeRef};
pub use read_mode::ReadMode;
pub use recording::{Recording, RecordingError};
pub use request::{InvalidRequestName, RequestName};
pub use requests::{Request, Requests};
pub use seed::Seed;
pub use stamp::{Epoch, InvalidVersion, Stamp, Version};
pub use value::{InvalidValue, Value};
pub use visible::Visible;
