//! JSON Lines: one JSON object on each line, as traces and histories are kept in files.

use std::io::{self, BufRead, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JsonLinesError {
    /// The system says so.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is not what the file should have.
    #[error("line {line}: {problem}")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// Writes each item on a line of its own.
///
/// # Errors
/// Whatever the writer reports.
pub fn write<T: Serialize>(mut out: impl Write, items: &[T]) -> io::Result<()> {
    for item in items {
        serde_json::to_writer(&mut out, item)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Reads the items of a file. Empty lines are passed over.
///
/// # Errors
/// [`JsonLinesError`], which names the line.
pub fn read<T: DeserializeOwned>(input: impl BufRead) -> Result<Vec<T>, JsonLinesError> {
    let mut items = Vec::new();
    for (place, line) in input.lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let malformed = |error: serde_json::Error| JsonLinesError::Malformed {
            line: place + 1,
            // serde_json counts lines too, and always says 1 here.
            problem: error.to_string().replace(" at line 1 column", " at column"),
        };
        items.push(serde_json::from_str(&line).map_err(malformed)?);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut out = Vec::new();
        write(&mut out, &[1, 2, 3]).unwrap();
        assert_eq!(out, b"1\n2\n3\n");
        assert_eq!(read::<u8>(&b"1\n\n2\r\n3"[..]).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn an_error_names_the_line() {
        let message = read::<u8>(&b"1\n2\nx\n"[..]).unwrap_err().to_string();
        assert_eq!(message, "line 3: expected value at column 1");
        assert!(matches!(read::<u8>(&b"\xff\n"[..]), Err(JsonLinesError::Io(_))));
    }
}
