//! Files of a checkpoint, written.

use std::collections::HashMap;
use std::fmt::Display;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use safetensors::View;

use crate::error::{Error, Result};

/// Writes a safetensors file that whoever may read the files beside it may read, too: `safetensors` by itself makes one
/// that only its owner may read, so that a model trained by one user could not be served by another.
///
/// # Errors
/// [`Error::Write`].
pub fn write_tensors<S, V>(tensors: impl IntoIterator<Item = (S, V)>, file: &Path) -> Result<()>
where
    S: AsRef<str> + Ord + Display,
    V: View,
{
    let new = || Ok::<_, io::Error>(File::create(file)?.metadata()?.permissions());
    let permissions = new().map_err(|error| failed(file, &error))?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(tensors, Some(metadata), file).map_err(|error| failed(file, &error))?;
    fs::set_permissions(file, permissions).map_err(|error| failed(file, &error))
}

/// Why a file was not written.
pub(crate) fn failed(file: &Path, problem: &dyn ToString) -> Error {
    Error::Write { file: file.to_owned(), problem: problem.to_string() }
}
