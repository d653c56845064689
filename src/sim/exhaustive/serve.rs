use std::io;
use std::net::{SocketAddr, TcpListener};

use stateright::Model;

use super::model::Exhaustive;
use super::scope::Scope;

/// Serves stateright's explorer of this scope at the address, until the process ends: a page in which a person walks from
/// state to state. It computes the states that it is asked for, and up to `states` of them if it is asked for all.
/// `ready` is called once the address is known to be free.
///
/// # Errors
/// If the address cannot be listened at.
pub fn serve(scope: Scope, address: SocketAddr, states: usize, ready: impl FnOnce()) -> io::Result<()> {
    // stateright panics where the address is taken.
    TcpListener::bind(address)?;
    ready();
    let _ = Exhaustive::new(scope.step_by_step()).checker().target_state_count(states).serve(address);
    Ok(())
}
