//! The standard output of all commands: every text goes through [`say`], and [`finish`] turns an output that could not be
//! written into an error.
//!
//! The Rust runtime opens `/dev/null` in place of a descriptor that is closed when the process starts, so output to such a
//! descriptor is lost without an error.

use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use semisync::base::Visible;

use super::{NO, complain};

/// The first error of writing to the standard output.
static ERROR: Mutex<Option<io::Error>> = Mutex::new(None);

/// Whether a file is written to the standard output, which leaves no place there for text.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Prints text and a line feed to the standard output. Control characters other than line feeds are escaped, because names
/// in the text come from files and from other programs. Prints to the standard error if [`take`] was called.
///
/// An error is kept for [`finish`]: the work that was asked for is completed first.
pub(super) fn say(text: impl Display) {
    say_raw(Lines(&text.to_string()));
}

/// As [`say`], with every character as it is: for terminal commands, and for text that another program parses.
pub(super) fn say_raw(text: impl Display) {
    let text = format!("{text}\n");
    if IS_TAKEN.load(Ordering::Relaxed) {
        // There is nobody to tell that the standard error cannot be written.
        let _ = io::stderr().write_all(text.as_bytes());
    } else if let Err(error) = open().and_then(|mut out| out.write_all(text.as_bytes())) {
        fail(error);
    }
}

/// Keeps an error of writing to the standard output for [`finish`], if it is the first.
pub(super) fn fail(error: io::Error) {
    ERROR.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
}

/// Reserves the standard output for the content of a file. Text goes to the standard error from now on.
pub(super) fn take() {
    IS_TAKEN.store(true, Ordering::Relaxed);
}

/// Opens the standard output without a buffer. The one of the standard library reports no error if the descriptor
/// cannot be written.
pub(super) fn open() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

/// Returns whether the standard output could not be written.
pub(super) fn is_lost() -> bool {
    ERROR.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Returns the exit status of a command that ends with `status`: 1, with an error message, if the standard output could
/// not be written. A pipe whose reader has ended, as behind `| head -1`, is no error.
pub(super) fn finish(status: ExitCode) -> ExitCode {
    match ERROR.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            complain(&format!("cannot write to the standard output: {error}"));
            NO
        }
        _ => status,
    }
}

/// Text of several lines, with control characters escaped.
pub(super) struct Lines<'a>(pub(super) &'a str);

impl Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, line) in self.0.split('\n').enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}", Visible(line))?;
        }
        Ok(())
    }
}
