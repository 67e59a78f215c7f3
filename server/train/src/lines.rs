//! Files of JSON lines that grow while a process may be killed at any moment.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How long a lock is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why such a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    /// A line that an earlier process wrote cannot be read.
    #[error("{path}, line {line}: {reason}; mend or remove the file")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What does not fit.
        reason: String,
    },
    /// Another process adds to it.
    #[error("another process writes into {0}; wait for it, or name another folder")]
    InUse(PathBuf),
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
}

fn at<E: Into<std::io::Error>>(path: &Path) -> impl Fn(E) -> LinesError + use<E> {
    let path = path.to_owned();
    move |source| LinesError::File { path: path.clone(), source: source.into() }
}

/// A file that lines are added to; no other process adds to it meanwhile.
#[derive(Debug)]
pub(crate) struct Lines {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    length: u64,
}

impl Lines {
    /// Opens a file, which is made if it is not there, and reads what it holds. A last line without its end was being
    /// written when the process died; it is cut off. A file that is somebody else's is refused and left as it is.
    ///
    /// # Errors
    /// [`LinesError::InUse`], [`LinesError::Line`] with the number of the first line that cannot be read, or
    /// [`LinesError::File`].
    pub(crate) fn open<T: DeserializeOwned>(path: &Path) -> Result<(Self, Vec<T>), LinesError> {
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(path).map_err(at(path))?;
        lock(path, &file)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(at(path))?;
        let (rows, length) = read(path, &bytes)?;
        file.set_len(length).map_err(at(path))?;
        file.seek(SeekFrom::End(0)).map_err(at(path))?;
        let mut lines = Self { path: path.to_owned(), file, length };
        if length == bytes.len() as u64 && bytes.last().is_some_and(|byte| *byte != b'\n') {
            lines.put(b"\n")?;
        }
        Ok((lines, rows))
    }

    /// Adds a line in one write.
    ///
    /// # Errors
    /// [`LinesError::File`].
    pub(crate) fn add(&mut self, row: &impl Serialize) -> Result<(), LinesError> {
        let mut line = serde_json::to_vec(row).map_err(at(&self.path))?;
        line.push(b'\n');
        self.put(&line)
    }

    fn put(&mut self, line: &[u8]) -> Result<(), LinesError> {
        if let Err(error) = self.file.write_all(line) {
            // What did not fit on the disk must not stand before the next line. Where even this fails, opening cuts it.
            let back = self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::End(0)));
            drop(back);
            return Err(at(&self.path)(error));
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

/// Keeps other processes out of a file until it is closed. One that was just killed may take a moment to let go.
///
/// # Errors
/// [`LinesError::InUse`] or [`LinesError::File`].
pub(crate) fn lock(path: &Path, file: &File) -> Result<(), LinesError> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(at(path)(error)),
            Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => std::thread::sleep(PATIENCE / 10),
            Err(TryLockError::WouldBlock) => return Err(LinesError::InUse(path.to_owned())),
        }
    }
}

/// Reads a file that may still grow: its rows, and how many bytes of it are to stay.
///
/// # Errors
/// [`LinesError::Line`].
pub(crate) fn read<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<(Vec<T>, u64), LinesError> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = bytes[..whole]
        .split(|byte| *byte == b'\n')
        .zip(1..)
        .filter(|(line, _)| !line.trim_ascii().is_empty());
    let parsed = lines.map(|(line, number)| {
        serde_json::from_slice(line).map_err(|error| LinesError::Line {
            path: path.to_owned(),
            line: number,
            reason: error.to_string(),
        })
    });
    let rows: Vec<T> = parsed.collect::<Result<_, _>>()?;
    if !rows.is_empty() || bytes.trim_ascii().is_empty() {
        return Ok((rows, whole as u64));
    }
    match first(path, bytes)? {
        Some(row) => Ok((vec![row], bytes.len() as u64)),
        None => Ok((rows, whole as u64)),
    }
}

/// The first line of a file in which no line has an end yet; none where it was being written when the process died.
/// Anything else was not written here, and nothing may be cut from it.
fn first<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<Option<T>, LinesError> {
    let error = match serde_json::from_slice(bytes) {
        Ok(row) => return Ok(Some(row)),
        Err(error) => error,
    };
    let is_object = bytes.trim_ascii_start().starts_with(b"{");
    if is_object && serde_json::from_slice::<Value>(bytes).is_err_and(|error| error.is_eof()) {
        return Ok(None);
    }
    let line = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    Err(LinesError::Line { path: path.to_owned(), line, reason: error.to_string() })
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
        assert!(matches!(Lines::open::<u32>(&path), Err(LinesError::InUse(_))));
        lines.add(&4).unwrap();
        drop(lines);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n4\n");
        std::fs::write(&path, "1\nx\n3\n").unwrap();
        assert!(matches!(Lines::open::<u32>(&path), Err(LinesError::Line { line: 2, .. })));
    }

    /// A line as an evaluation's recording has it.
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Row {
        call: String,
    }

    #[test]
    fn a_file_of_somebody_else_without_a_line_end_is_refused_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tape.jsonl");
        for foreign in
            [r#"{"answer": 42}"#, "[1, 2", "notes", "\nnotes", "\u{feff}{", r#"{"a": 1} {"b""#, "{,"]
        {
            std::fs::write(&path, foreign).unwrap();
            let error = Lines::open::<Row>(&path).unwrap_err();
            assert!(matches!(error, LinesError::Line { .. }), "{foreign}: {error}");
            assert!(error.to_string().contains("mend or remove the file"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign);
        }
    }

    #[test]
    fn a_first_line_of_ours_is_kept_where_only_its_end_is_missing_and_cut_where_it_is_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tape.jsonl");
        let whole = r#"{"call":"Ω"}"#;
        for end in 0..=whole.len() {
            std::fs::write(&path, &whole.as_bytes()[..end]).unwrap();
            let (lines, rows) = Lines::open::<Row>(&path).unwrap();
            drop(lines);
            let (expected, left) = match end == whole.len() {
                true => (vec![Row { call: "Ω".to_owned() }], format!("{whole}\n")),
                false => (Vec::new(), String::new()),
            };
            assert_eq!(rows, expected, "cut at {end}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), left, "cut at {end}");
        }
    }
}
