//! Files that are written beside their place and put there when they are whole.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{FileError, at};

/// A file that is not in its place yet; dropped before [`finish`](Beside::finish), it leaves nothing.
pub(crate) struct Beside {
    path: PathBuf,
    part: PathBuf,
    file: BufWriter<File>,
}

impl Beside {
    /// Starts a file, and the folders above it.
    pub(crate) fn create(path: &Path) -> Result<Self, FileError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(at(folder))?;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let part = path.with_file_name(format!(".{name}.part"));
        let file = BufWriter::new(File::create(&part).map_err(at(&part))?);
        Ok(Self { path: path.to_owned(), part, file })
    }

    /// Where it will be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the file in its place; what was there before is whole until then.
    pub(crate) fn finish(mut self) -> Result<(), FileError> {
        self.file.flush().map_err(at(&self.path))?;
        self.file.get_ref().sync_all().map_err(at(&self.path))?;
        std::fs::rename(&self.part, &self.path).map_err(at(&self.path))
    }
}

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // After `finish` it is not there any more.
        drop(std::fs::remove_file(&self.part));
    }
}

/// Writes a file as a whole.
///
/// # Errors
/// [`FileError`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = Beside::create(path)?;
    file.write_all(bytes).map_err(at(path))?;
    file.finish()
}

/// Writes a value as indented JSON.
///
/// # Errors
/// [`FileError`].
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), FileError> {
    let mut json = serde_json::to_vec_pretty(value).map_err(|error| at(path)(error.into()))?;
    json.push(b'\n');
    write(path, &json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finished_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        write(&path, b"old").unwrap();
        let mut file = Beside::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        write(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_full_disk_is_named_with_the_file() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let file = BufWriter::new(File::options().write(true).open(full).unwrap());
        let missing = std::env::temp_dir().join("loupe-no-such-part");
        let mut beside = Beside { path: PathBuf::from("out/rows.jsonl"), part: missing, file };
        beside.write_all(b"row").unwrap();
        let message = beside.finish().unwrap_err().to_string();
        assert!(message.contains("out/rows.jsonl") && message.contains("No space left"), "{message}");
    }
}
