use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::base::Key;

/// Readers that wait for a write of a key.
#[derive(Debug, Default)]
pub(in crate::node) struct Awaited {
    keys: Mutex<BTreeMap<Key, (Arc<Notify>, usize)>>,
    /// How many readers wait, so that a write for which nobody does costs one look.
    readers: AtomicUsize,
}

/// A reader that waits for writes of a key. It does until it is dropped.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    awaited: &'a Awaited,
    key: Key,
    notify: Arc<Notify>,
}

impl Awaited {
    /// Wakes who waits for this key; to be called once nobody can look and not see the write.
    pub(super) fn wake(&self, key: &Key) {
        if self.readers.load(Ordering::SeqCst) > 0
            && let Some((notify, _)) = self.lock().get(key)
        {
            notify.notify_waiters();
        }
    }

    /// Wakes everybody; to be called like [`Self::wake`].
    pub(super) fn wake_all(&self) {
        if self.readers.load(Ordering::SeqCst) > 0 {
            self.lock().values().for_each(|(notify, _)| notify.notify_waiters());
        }
    }

    pub(super) fn wait_for(&self, key: Key) -> Reader<'_> {
        self.readers.fetch_add(1, Ordering::SeqCst);
        let mut keys = self.lock();
        let (notify, readers) = keys.entry(key.clone()).or_default();
        *readers += 1;
        let notify = Arc::clone(notify);
        drop(keys);
        Reader { awaited: self, key, notify }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, (Arc<Notify>, usize)>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader<'_> {
    /// Ends at the next write after this call, not after it is first polled.
    pub(super) fn next_write(&self) -> OwnedNotified {
        Arc::clone(&self.notify).notified_owned()
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut keys = self.awaited.lock();
        if let Some((_, readers)) = keys.get_mut(&self.key) {
            *readers -= 1;
            if *readers == 0 {
                keys.remove(&self.key);
            }
        }
        self.awaited.readers.fetch_sub(1, Ordering::SeqCst);
    }
}
