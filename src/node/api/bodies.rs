use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;

/// Room for the bodies of requests while they come in, counted in bytes. Each connection may bring a body of the largest
/// size, and all of them together would not fit into any memory.
///
/// A body takes room for what has arrived of it, not for what it announces, so a client that sends nothing costs nothing.
/// One that finds no more room is refused and gives back what it had: if bodies waited for each other, none might end.
#[derive(Debug)]
pub(in crate::node) struct Bodies {
    room: Arc<Semaphore>,
}

/// A body that comes in, with the room that it takes until it is dropped.
#[derive(Debug)]
pub(super) struct Arriving {
    /// What came first. Nearly every body comes in one piece, which is not copied.
    first: Bytes,
    /// All of it, once there is more than that. Kept as they came, small pieces would take more room than is counted.
    text: Vec<u8>,
    room: OwnedSemaphorePermit,
    bodies: Arc<Semaphore>,
}

/// A whole body, with the room that it takes until it is dropped.
#[derive(Debug)]
pub(super) struct Arrived {
    text: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Bodies {
    /// Room for this many bytes.
    pub(in crate::node) fn new(bytes: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))) }
    }

    pub(super) fn arriving(&self) -> Result<Arriving, ApiError> {
        let room = take(&self.room, 0)?;
        Ok(Arriving { first: Bytes::new(), text: Vec::new(), room, bodies: Arc::clone(&self.room) })
    }
}

impl Arriving {
    /// Takes the next piece.
    pub(super) fn push(&mut self, piece: Bytes) -> Result<(), ApiError> {
        self.room.merge(take(&self.bodies, piece.len())?);
        if self.first.is_empty() && self.text.is_empty() {
            self.first = piece;
        } else {
            self.text.extend_from_slice(&std::mem::take(&mut self.first));
            self.text.extend_from_slice(&piece);
        }
        Ok(())
    }

    /// How many bytes have come.
    pub(super) fn len(&self) -> usize {
        self.first.len() + self.text.len()
    }

    /// The whole of it, after the last piece.
    pub(super) fn complete(self) -> Arrived {
        let text = if self.text.is_empty() { self.first } else { self.text.into() };
        Arrived { text, _room: self.room }
    }
}

impl std::ops::Deref for Arrived {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.text
    }
}

fn take(room: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    let bytes = u32::try_from(bytes).map_err(|_| ApiError::TooManyBodies)?;
    Arc::clone(room).try_acquire_many_owned(bytes).map_err(|_| ApiError::TooManyBodies)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(length: usize) -> Bytes {
        vec![b'x'; length].into()
    }

    #[test]
    fn room_is_taken_by_what_arrives_and_given_back() {
        let bodies = Bodies::new(100);
        let mut first = bodies.arriving().unwrap();
        let mut second = bodies.arriving().unwrap();
        first.push(piece(60)).unwrap();
        assert!(matches!(second.push(piece(41)), Err(ApiError::TooManyBodies)));
        second.push(piece(30)).unwrap();
        second.push(piece(10)).unwrap();
        let whole = second.complete();
        assert_eq!(*whole, [b'x'; 40]);
        assert!(first.push(piece(1)).is_err(), "a whole body still takes its room");
        drop(whole);
        first.push(piece(40)).unwrap();
        drop(first);
        bodies.arriving().unwrap().push(piece(100)).unwrap();
    }
}
