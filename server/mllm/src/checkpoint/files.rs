//! Where a checkpoint's files lie.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A folder, or files inside the program.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
    embedded: Option<BTreeMap<String, Cow<'static, [u8]>>>,
}

/// Something to read a file's parts from.
pub(super) trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

impl Files {
    /// The folder of a checkpoint.
    #[must_use]
    pub fn folder(path: &Path) -> Self {
        Self { root: path.to_owned(), embedded: None }
    }

    /// Files embedded in the program, by name; `name` stands for the folder in messages.
    #[must_use]
    pub fn embedded(name: &str, files: BTreeMap<String, Cow<'static, [u8]>>) -> Self {
        Self { root: PathBuf::from(name), embedded: Some(files) }
    }

    /// The path of a file, for messages.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The last part of the folder's name, for models that do not name themselves.
    #[must_use]
    pub fn name(&self) -> String {
        self.root.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned())
    }

    /// A file that has to be there.
    ///
    /// # Errors
    /// [`Error::MissingFile`] with what it should hold, or [`Error::Read`].
    pub fn read(&self, name: &str, expected: &'static str) -> Result<Vec<u8>> {
        self.read_if_present(name)?.ok_or_else(|| Error::MissingFile { file: self.path(name), expected })
    }

    /// A file that may be absent.
    ///
    /// # Errors
    /// [`Error::Read`] when it is there but cannot be read.
    pub fn read_if_present(&self, name: &str) -> Result<Option<Vec<u8>>> {
        if let Some(files) = &self.embedded {
            return Ok(files.get(name).map(|bytes| bytes.to_vec()));
        }
        match std::fs::read(self.path(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Read { file: self.path(name), source }),
        }
    }

    /// A JSON file that may be absent.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::BadFile`] when it is not what `expected` says.
    pub fn json_if_present<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>> {
        let Some(bytes) = self.read_if_present(name)? else {
            return Ok(None);
        };
        let value = serde_json::from_slice(&bytes).map_err(|error| Error::BadFile {
            file: self.path(name),
            problem: error.to_string(),
            expected: expected.to_owned(),
        })?;
        Ok(Some(value))
    }

    /// Whether a file is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match &self.embedded {
            Some(files) => files.contains_key(name),
            None => self.path(name).is_file(),
        }
    }

    /// The files whose names end in `end`, sorted.
    ///
    /// # Errors
    /// [`Error::Read`] when the folder cannot be read; one that is not there holds no files.
    pub(super) fn ending_in(&self, end: &str) -> Result<Vec<String>> {
        let mut names = match &self.embedded {
            Some(files) => files.keys().cloned().collect(),
            None => self.listed().map_err(|source| Error::Read { file: self.root.clone(), source })?,
        };
        names.retain(|name| name.ends_with(end));
        names.sort_unstable();
        Ok(names)
    }

    /// The names of all files, sorted.
    ///
    /// # Errors
    /// [`Error::Read`] when the folder cannot be read; one that is not there holds no files.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        self.ending_in("")
    }

    fn listed(&self) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// Opens a file for reading parts of it, with its length in bytes.
    pub(super) fn open(&self, name: &str) -> io::Result<(Box<dyn ReadSeek>, u64)> {
        let Some(files) = &self.embedded else {
            let file = File::open(self.path(name))?;
            let length = file.metadata()?.len();
            return Ok((Box::new(file), length));
        };
        let bytes = files.get(name).ok_or(ErrorKind::NotFound)?.clone();
        let length = bytes.len() as u64;
        Ok((Box::new(Cursor::new(bytes)), length))
    }
}
