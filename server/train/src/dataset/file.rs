//! Data sets as JSON lines.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::DatasetError;
use super::record::Record;

fn at(path: &Path) -> impl Fn(std::io::Error) -> DatasetError + use<> {
    let path = path.to_owned();
    move |source| DatasetError::File { path: path.clone(), source }
}

/// Reads a data set; blank lines are passed over. A record without a name is named after the file and its line.
///
/// # Errors
/// [`DatasetError::Line`] with the number of the first line that is not a record; [`DatasetError::File`].
pub fn read(path: &Path) -> Result<Vec<Record>, DatasetError> {
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
        records.push(record);
    }
    Ok(records)
}

/// The name of a record that has none.
pub(super) fn name(path: &Path, line: usize) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    format!("{stem}-{line:06}")
}

/// Writes a data set line by line.
pub struct Writer {
    path: PathBuf,
    file: BufWriter<std::fs::File>,
}

impl Writer {
    /// Starts a file anew; its folder must be there.
    ///
    /// # Errors
    /// [`DatasetError::File`].
    pub fn create(path: &Path) -> Result<Self, DatasetError> {
        let file = std::fs::File::create(path).map_err(at(path))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`DatasetError::File`].
    pub fn write(&mut self, record: &Record) -> Result<(), DatasetError> {
        let line = serde_json::to_string(record).map_err(|error| at(&self.path)(error.into()))?;
        writeln!(self.file, "{line}").map_err(at(&self.path))
    }

    /// Makes sure that everything is written.
    ///
    /// # Errors
    /// [`DatasetError::File`].
    pub fn finish(mut self) -> Result<(), DatasetError> {
        self.file.flush().map_err(at(&self.path))
    }
}
