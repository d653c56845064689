use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::StartError;

/// Does the work for each of the items, `jobs` at a time, each in one of as many threads. Results come in the order in
/// which they are there; the channel is closed after the last. No further item is begun once `stop` is set.
pub(super) fn spread<T, R: Send + 'static>(
    items: impl Iterator<Item = T> + Send + 'static,
    jobs: NonZeroUsize,
    stop: Arc<AtomicBool>,
    work: impl Fn(T) -> R + Send + Sync + 'static,
) -> Result<UnboundedReceiver<R>, StartError> {
    let (results, receiver) = mpsc::unbounded_channel();
    let (items, work) = (Arc::new(Mutex::new(items)), Arc::new(work));
    // Nobody gets an item before all are there: where memory is short, simulations must not use up what the threads need.
    let all_wait = items.lock().unwrap_or_else(PoisonError::into_inner);
    for place in 1..=jobs.get() {
        let (items, work, results) = (Arc::clone(&items), Arc::clone(&work), results.clone());
        let is_over = Arc::clone(&stop);
        let next = move || {
            let mut items = items.lock().unwrap_or_else(PoisonError::into_inner);
            if is_over.load(Ordering::Relaxed) { None } else { items.next() }
        };
        // Whoever does not listen any more wants no more results.
        let work = move || while next().is_some_and(|item| results.send(work(item)).is_ok()) {};
        if let Err(error) = thread::Builder::new().spawn(work) {
            stop.store(true, Ordering::Relaxed);
            return Err(StartError::Thread { place, jobs, error });
        }
    }
    drop(all_wait);
    Ok(receiver)
}
