//! Files of JSON lines that grow while a process may be killed at any moment.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{EvalError, at};

/// How long a lock is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// A file that lines are added to; no other process adds to it meanwhile.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    /// Opens a file, which is made if it is not there, and reads what it holds. A last line without its end was being
    /// written when the process died; it is cut off.
    ///
    /// # Errors
    /// [`EvalError::InUse`], [`EvalError::Line`] with the number of the first line that cannot be read, or
    /// [`EvalError::File`].
    pub(super) fn open<T: DeserializeOwned>(path: &Path) -> Result<(Self, Vec<T>), EvalError> {
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(path).map_err(at(path))?;
        lock(path, &file)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(at(path))?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let rows = read(path, &bytes[..whole])?;
        file.set_len(whole as u64).map_err(at(path))?;
        file.seek(SeekFrom::End(0)).map_err(at(path))?;
        Ok((Self { path: path.to_owned(), file }, rows))
    }

    /// Adds a line in one write.
    ///
    /// # Errors
    /// [`EvalError::File`].
    pub(super) fn add(&mut self, row: &impl Serialize) -> Result<(), EvalError> {
        let mut line = serde_json::to_vec(row).map_err(at(&self.path))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(at(&self.path))
    }
}

/// Keeps other processes out. One that was just killed may take a moment to let go.
fn lock(path: &Path, file: &File) -> Result<(), EvalError> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(at(path)(error)),
            Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => std::thread::sleep(PATIENCE / 10),
            Err(TryLockError::WouldBlock) => return Err(EvalError::InUse(path.to_owned())),
        }
    }
}

/// Reads whole lines.
///
/// # Errors
/// [`EvalError::Line`].
pub(super) fn read<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<Vec<T>, EvalError> {
    let lines = bytes.split(|byte| *byte == b'\n').zip(1..).filter(|(line, _)| !line.trim_ascii().is_empty());
    let parsed = lines.map(|(line, number)| {
        serde_json::from_slice(line).map_err(|error| EvalError::Line {
            path: path.to_owned(),
            line: number,
            reason: error.to_string(),
        })
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_cut_off_and_a_bad_one_inside_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, "1\n2\n3").unwrap();
        let (mut lines, rows) = Lines::open::<u32>(&path).unwrap();
        assert_eq!(rows, [1, 2]);
        assert!(matches!(Lines::open::<u32>(&path), Err(EvalError::InUse(_))));
        lines.add(&4).unwrap();
        drop(lines);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n4\n");
        std::fs::write(&path, "1\nx\n3\n").unwrap();
        assert!(matches!(Lines::open::<u32>(&path), Err(EvalError::Line { line: 2, .. })));
    }
}
