//! Data sets as JSON lines.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use serde_path_to_error::Segment;

use super::DatasetError;
use super::error::at;
use super::record::Record;
use super::source::BadRow;
use crate::place::Beside;

/// A data set's questions, in its folder.
pub const QUESTIONS: &str = "questions.jsonl";
/// The same with the conversations that answer them.
pub const TRAJECTORIES: &str = "trajectories.jsonl";

/// Reads a data set; blank lines are passed over. A record without a name is named after the file and its line.
///
/// # Errors
/// [`DatasetError::Line`] with the number of the first line that is not a record; [`DatasetError::File`].
pub fn read(path: &Path) -> Result<Vec<Record>, DatasetError> {
    Ok(read_lines(path)?.into_iter().map(|(_, record)| record).collect())
}

/// Reads a data set as [`read`] does and says of each record on which line of the file it is.
///
/// # Errors
/// As [`read`].
pub fn read_lines(path: &Path) -> Result<Vec<(usize, Record)>, DatasetError> {
    let mut records = Vec::new();
    lines(path, &mut |number, line| {
        let mut record = parse(line).map_err(|row| DatasetError::Line {
            path: path.to_owned(),
            line: number,
            reason: row.to_string(),
        })?;
        if record.id.is_empty() {
            record.id = name(path, number);
        }
        records.push((number, record));
        Ok(())
    })?;
    Ok(records)
}

/// Takes a line with its number; an error ends the reading.
pub(super) type EachLine<'a> = dyn FnMut(usize, &[u8]) -> Result<(), DatasetError> + 'a;

/// The lines of a file that are not blank, with their numbers from 1. One that is no UTF-8 is a bad line like any other.
pub(super) fn lines(path: &Path, each: &mut EachLine<'_>) -> Result<(), DatasetError> {
    let file = std::fs::File::open(path).map_err(at(path))?;
    for (number, line) in (1..).zip(BufReader::new(file).split(b'\n')) {
        let line = line.map_err(at(path))?;
        if !line.trim_ascii().is_empty() {
            each(number, &line)?;
        }
    }
    Ok(())
}

/// Reads a record; a complaint names its field.
pub(super) fn parse(line: &[u8]) -> Result<Record, BadRow> {
    let mut json = serde_json::Deserializer::from_slice(line);
    let record = serde_path_to_error::deserialize(&mut json).map_err(|error| complaint(&error))?;
    json.end().map_err(|error| BadRow::new("row", format!("does not fit: {error}")))?;
    Ok(record)
}

fn complaint(error: &serde_path_to_error::Error<serde_json::Error>) -> BadRow {
    let (path, reason) = (error.path(), error.inner().to_string());
    let Some(Segment::Map { key }) = path.iter().next() else {
        // Serde names a field that is missing between backticks.
        let field = reason.split('`').nth(1).unwrap_or("row");
        return BadRow::new(field, format!("does not fit: {reason}"));
    };
    let inside = if path.iter().len() > 1 { format!(" at {path}") } else { String::new() };
    BadRow::new(key, format!("does not fit{inside}: {reason}"))
}

/// The name of a record that has none.
pub(super) fn name(path: &Path, line: usize) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    format!("{stem}-{line:06}")
}

/// Writes a data set line by line, beside its place until it is whole.
pub struct Writer {
    file: Beside,
}

impl Writer {
    /// Starts a file anew.
    ///
    /// # Errors
    /// [`DatasetError::File`].
    pub fn create(path: &Path) -> Result<Self, DatasetError> {
        Ok(Self { file: Beside::create(path)? })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`DatasetError::File`].
    pub fn write(&mut self, record: &Record) -> Result<(), DatasetError> {
        let path = self.file.path().to_owned();
        let line = serde_json::to_string(record).map_err(|error| at(&path)(error.into()))?;
        writeln!(self.file, "{line}").map_err(at(&path))
    }

    /// Makes sure that everything is written, and puts the file in its place.
    ///
    /// # Errors
    /// [`DatasetError::File`].
    pub fn finish(self) -> Result<(), DatasetError> {
        Ok(self.file.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("questions.jsonl");
        let mut bytes = b"{\"question\": \"Who?\", \"answer\": \"Ada\", \"image\": \"a.png\"}\n".to_vec();
        bytes.extend_from_slice(line);
        std::fs::write(&path, bytes).unwrap();
        read(&path).unwrap_err().to_string()
    }

    #[test]
    fn a_field_of_the_wrong_kind_is_named_with_its_line() {
        for (line, part) in [
            (r#"{"question": "Who?", "answer": 42, "image": "a.png"}"#, "`answer`"),
            (r#"{"question": "Who?", "answer": "Ada", "image": "a.png", "aliases": ["x", 1]}"#, "aliases[1]"),
            (r#"{"question": "Who?", "image": "a.png"}"#, "`answer`"),
            (r#"{"question": "Who?", "answer": "Ada", "image": "a.png", "anwser": 1}"#, "`anwser`"),
            (r#"{"question": "Who?", "answer": "Ada", "image": "a.png"} x"#, "`row`"),
        ] {
            let message = refused(line.as_bytes());
            assert!(message.contains("line 2") && message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_line_that_is_no_utf_8_is_named_by_its_number() {
        let message = refused(b"{\"question\": \"\xff?\", \"answer\": \"Ada\", \"image\": \"a.png\"}");
        assert!(message.contains("line 2") && message.contains("`question`"), "{message}");
    }
}
