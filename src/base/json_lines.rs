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
pub fn read<T: DeserializeOwned, C: FromIterator<T>>(input: impl BufRead) -> Result<C, JsonLinesError> {
    numbered(input).map(|item| item.map(|(_, item)| item)).collect()
}

/// The items of a file, each with the number of its line, counted from 1. Empty lines are passed over.
pub fn numbered<T: DeserializeOwned>(input: impl BufRead) -> impl Iterator<Item = Result<(usize, T), JsonLinesError>> {
    texts(input).map(|item| {
        let (line, text) = item?;
        Ok((line, parse(line, &text)?))
    })
}

/// The lines of a file that are not empty, each with its number, counted from 1.
pub(super) fn texts(input: impl BufRead) -> impl Iterator<Item = Result<(usize, String), JsonLinesError>> {
    (1..).zip(input.lines()).filter_map(|(line, text)| match text {
        Ok(text) if text.trim().is_empty() => None,
        Ok(text) => Some(Ok((line, text))),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Some(Err(JsonLinesError::Malformed { line, problem: "not UTF-8".into() }))
        }
        Err(error) => Some(Err(error.into())),
    })
}

/// Reads the item on one line.
pub(super) fn parse<T: DeserializeOwned>(line: usize, text: &str) -> Result<T, JsonLinesError> {
    // serde_json counts lines too, and always says 1 here.
    let problem = |error: serde_json::Error| error.to_string().replace(" at line 1 column", " at column");
    serde_json::from_str(text).map_err(|error| JsonLinesError::Malformed { line, problem: problem(error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut out = Vec::new();
        write(&mut out, &[1, 2, 3]).unwrap();
        assert_eq!(out, b"1\n2\n3\n");
        assert_eq!(read::<u8, Vec<u8>>(&b"1\n\n2\r\n3"[..]).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn an_error_names_the_line() {
        let message = |text: &[u8]| read::<u8, Vec<u8>>(text).unwrap_err().to_string();
        assert_eq!(message(b"1\n2\nx\n"), "line 3: expected value at column 1");
        assert_eq!(message(b"1\n\xff\n"), "line 2: not UTF-8");
    }
}
