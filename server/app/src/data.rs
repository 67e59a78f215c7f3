//! The data folder: what lies where, and that one server has it to itself.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A folder that exists and can be written.
#[derive(Debug, Clone)]
pub struct DataFolder {
    root: PathBuf,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The path is something else than a folder.
    #[error("the data folder {0} is not a folder; give another one with --data")]
    NotAFolder(PathBuf),
    /// It cannot be created or written.
    #[error("the data folder {path} cannot be written ({reason}); give another one with --data")]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
    /// Another server has it.
    #[error(
        "another Loupe server uses the data folder {0}; stop it, or give this one another folder with --data"
    )]
    InUse(PathBuf),
}

impl DataError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAFolder(_) => "data_not_a_folder",
            Self::NotWritable { .. } => "data_not_writable",
            Self::InUse(_) => "data_in_use",
        }
    }
}

/// Held by the one server that uses a data folder; given back when dropped, and by the operating system when the
/// process dies.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

impl DataFolder {
    /// Creates the folder where it is missing and checks that it can be written.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn open(root: &Path) -> Result<Self, DataError> {
        let not_writable = |reason| DataError::NotWritable { path: root.to_owned(), reason };
        if root.exists() && !root.is_dir() {
            return Err(DataError::NotAFolder(root.to_owned()));
        }
        std::fs::create_dir_all(root).map_err(not_writable)?;
        tempfile::tempfile_in(root).map_err(not_writable)?;
        Ok(Self { root: root.to_owned() })
    }

    /// Keeps other servers out of the folder: each would take the other's running queries for interrupted ones.
    ///
    /// # Errors
    /// [`DataError::InUse`], or [`DataError::NotWritable`].
    pub fn lock(&self) -> Result<DataLock, DataError> {
        let not_writable = |reason| DataError::NotWritable { path: self.root.clone(), reason };
        let file = File::create(self.root.join("server.lock")).map_err(not_writable)?;
        match file.try_lock() {
            Ok(()) => Ok(DataLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(DataError::InUse(self.root.clone())),
            Err(TryLockError::Error(reason)) => Err(not_writable(reason)),
        }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Queries, events and shares.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.root.join("loupe.sqlite3")
    }

    /// Uploaded pictures and crops, by content.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// Models unpacked from the program.
    #[must_use]
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_data_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(DataFolder::open(file.path()).unwrap_err().code(), "data_not_a_folder");
    }

    #[test]
    fn one_server_per_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&dir.path().join("new")).unwrap();
        let lock = folder.lock().unwrap();
        assert_eq!(folder.lock().unwrap_err().code(), "data_in_use");
        drop(lock);
        assert!(folder.lock().is_ok());
    }
}
