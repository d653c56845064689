//! Shows on the standard error how far long work has come: a line that is redrawn on a terminal, a line now and then
//! elsewhere. Work that ends within two seconds shows nothing.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::stdout::Lines;

/// How long work takes before anything is shown.
const PATIENCE: Duration = Duration::from_secs(2);
/// The time between two drawings on a terminal.
const REDRAW: Duration = Duration::from_millis(100);
/// The time between two lines elsewhere.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The size of the work.
#[derive(Debug, Clone, Copy)]
pub(super) enum Extent {
    /// Unknown; this unit is counted.
    Unknown(&'static str),
    /// This number of units.
    Count(u64, &'static str),
    /// This time.
    Time(Duration),
}

/// The progress of some work, which is shown until it is dropped. A thread of its own shows it, so the work may be
/// blocking or asynchronous, and may report as often as it likes.
pub(super) struct Progress {
    counter: Counter,
    bar: ProgressBar,
    /// Dropped to end the thread.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Counts work that is done. All clones count the same work.
#[derive(Debug, Clone, Default)]
pub(super) struct Counter {
    done: Arc<AtomicU64>,
    note: Arc<Mutex<String>>,
}

impl Counter {
    /// Counts one more unit.
    pub(super) fn add_one(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets the number of units that are done.
    pub(super) fn set(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
    }

    /// Sets what is shown after the number and the times.
    pub(super) fn note(&self, note: String) {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = note;
    }

    /// One line about work of this name that has taken `elapsed`.
    fn line(&self, name: &str, extent: Extent, elapsed: Duration) -> String {
        let done = self.done.load(Ordering::Relaxed);
        let time = in_words(elapsed);
        let mut line = match extent {
            Extent::Unknown("") => format!("{name}: {time}"),
            Extent::Unknown(unit) => format!("{name}: {done} {unit}, {time}"),
            Extent::Count(length, unit) => format!("{name}: {done} of {length} {unit}, {time}"),
            Extent::Time(length) => format!("{name}: {time} of {}", in_words(length)),
        };
        if let Some(left) = time_left(extent, done, elapsed) {
            line += &format!(", about {} left", in_words(left));
        }
        let note = self.note.lock().unwrap_or_else(PoisonError::into_inner);
        if !note.is_empty() {
            line += &format!("; {note}");
        }
        line
    }
}

impl Progress {
    /// Begins to show the progress of work that has this name.
    pub(super) fn start(name: impl Into<String>, extent: Extent) -> Self {
        let (end, ended) = mpsc::channel();
        let (counter, bar) = (Counter::default(), ProgressBar::new(PARTS).with_style(style(extent)));
        let display = Display { name: name.into(), extent, counter: counter.clone(), bar: bar.clone() };
        // Without a thread the work is done all the same, and nothing is shown.
        let thread = thread::Builder::new().name("progress".into()).spawn(move || display.until(&ended)).ok();
        Self { counter, bar, end: Some(end), thread }
    }

    /// What counts the work.
    pub(super) fn counter(&self) -> Counter {
        self.counter.clone()
    }

    /// Prints something else without damaging the line on the terminal.
    pub(super) fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bar.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.end.take());
        // The line is gone before anything else is printed.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The parts of a bar.
const PARTS: u64 = 1000;

fn style(extent: Extent) -> ProgressStyle {
    let template = if matches!(extent, Extent::Unknown(_)) { "{spinner} {wide_msg}" } else { "{bar:10} {wide_msg}" };
    ProgressStyle::with_template(template).expect("the template is valid")
}

/// What the thread shows.
struct Display {
    name: String,
    extent: Extent,
    counter: Counter,
    bar: ProgressBar,
}

impl Display {
    /// Shows the progress again and again until the work has ended.
    fn until(self, ended: &Receiver<()>) {
        let began = Instant::now();
        let mut pause = PATIENCE;
        while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            let elapsed = began.elapsed();
            let line = self.counter.line(&self.name, self.extent, elapsed);
            let line = Lines(&line).to_string();
            if self.bar.is_hidden() {
                // There is nobody to tell that the standard error cannot be written.
                let _ = writeln!(io::stderr(), "{line}");
                pause = LINE_EVERY;
            } else {
                let done = self.counter.done.load(Ordering::Relaxed);
                self.bar.set_message(line);
                self.bar.set_position((PARTS as f64 * share(self.extent, done, elapsed)) as u64);
                self.bar.tick();
                pause = REDRAW;
            }
        }
        self.bar.finish_and_clear();
    }
}

/// The part of the work that is done, 0 to 1; 0 if the size is unknown.
fn share(extent: Extent, done: u64, elapsed: Duration) -> f64 {
    let share = match extent {
        Extent::Unknown(_) => 0.0,
        Extent::Count(length, _) => done as f64 / length.max(1) as f64,
        Extent::Time(length) => elapsed.as_secs_f64() / length.as_secs_f64().max(1e-9),
    };
    share.clamp(0.0, 1.0)
}

/// The time that the rest of the work takes if it goes on at the same speed; none if that is unknown.
fn time_left(extent: Extent, done: u64, elapsed: Duration) -> Option<Duration> {
    match extent {
        Extent::Unknown(_) => None,
        Extent::Time(length) => Some(length.saturating_sub(elapsed)),
        Extent::Count(..) if done == 0 => None,
        Extent::Count(length, _) => {
            let seconds = elapsed.as_secs_f64() * length.saturating_sub(done) as f64 / done as f64;
            Duration::try_from_secs_f64(seconds).ok()
        }
    }
}

/// `9 s`, `2 min 5 s`, `3 h 20 min`
fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(extent: Extent, done: u64, seconds: u64) -> String {
        let counter = Counter::default();
        counter.set(done);
        counter.line("work", extent, Duration::from_secs(seconds))
    }

    #[test]
    fn a_line_has_the_name_the_part_and_the_times() {
        let searches = |done, seconds| line(Extent::Count(100, "searches"), done, seconds);
        assert_eq!(searches(0, 2), "work: 0 of 100 searches, 2 s");
        assert_eq!(searches(25, 50), "work: 25 of 100 searches, 50 s, about 2 min 30 s left");
        assert_eq!(searches(100, 200), "work: 100 of 100 searches, 3 min 20 s, about 0 s left");
        assert_eq!(line(Extent::Unknown("states"), 7, 7300), "work: 7 states, 2 h 1 min");
        assert_eq!(line(Extent::Unknown(""), 0, 3), "work: 3 s");
        let time = Extent::Time(Duration::from_secs(30));
        assert_eq!(line(time, 0, 12), "work: 12 s of 30 s, about 18 s left");
        assert_eq!(line(time, 0, 31), "work: 31 s of 30 s, about 0 s left");
    }

    #[test]
    fn a_note_follows_and_clones_count_the_same_work() {
        let counter = Counter::default();
        counter.clone().add_one();
        counter.clone().note("2 failed".into());
        let line = counter.line("swarm", Extent::Count(4, "seeds"), Duration::from_secs(5));
        assert_eq!(line, "swarm: 1 of 4 seeds, 5 s, about 15 s left; 2 failed");
    }

    #[test]
    fn a_share_stays_between_0_and_1() {
        assert_eq!(share(Extent::Count(0, "x"), 0, PATIENCE), 0.0);
        assert_eq!(share(Extent::Count(2, "x"), 3, PATIENCE), 1.0);
        assert_eq!(share(Extent::Time(4 * PATIENCE), 0, PATIENCE), 0.25);
    }
}
