//! Files and folders that are put in their place when they are whole: whoever looks, also after a kill or on a full disk,
//! finds the old one or the new one.
//!
//! - `file`: a file.
//! - `folder`: a folder.

mod file;
mod folder;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use file::Beside;
pub use file::{write, write_json};
pub(crate) use folder::replace as replace_folder;

/// What the file system refused, and where.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct FileError {
    /// The file or folder.
    pub path: PathBuf,
    /// What happened.
    pub source: io::Error,
}

/// Says which file an error is about.
fn at(path: &Path) -> impl Fn(io::Error) -> FileError + use<> {
    let path = path.to_owned();
    move |source| FileError { path: path.clone(), source }
}
