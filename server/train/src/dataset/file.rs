//! Data sets as JSON lines.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use super::DatasetError;
use super::error::at;
use super::record::Record;
use crate::place::Beside;

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
    let file = std::fs::File::open(path).map_err(at(path))?;
    let mut records = Vec::new();
    for (number, line) in (1..).zip(BufReader::new(file).lines()) {
        let line = line.map_err(at(path))?;
        if line.trim().is_empty() {
            continue;
        }
        let mut record: Record = serde_json::from_str(&line).map_err(|error| DatasetError::Line {
            path: path.to_owned(),
            line: number,
            reason: error.to_string(),
        })?;
        if record.id.is_empty() {
            record.id = name(path, number);
        }
        records.push((number, record));
    }
    Ok(records)
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
