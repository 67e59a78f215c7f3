//! A folder that one build writes into at a time.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::DatasetError;
use super::error::at;
use crate::lines::lock;

/// The file that is locked; it is there as long as a build writes.
const LOCK: &str = ".lock";

/// Keeps other builds out of a folder until it is dropped.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    /// A folder that was made for the build, and goes where nothing was written into it.
    made: Option<PathBuf>,
    _file: File,
}

impl Claim {
    /// Takes a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`DatasetError::Lines`] when another build writes into it, and [`DatasetError::File`].
    pub fn take(folder: &Path) -> Result<Self, DatasetError> {
        let made = (!folder.exists()).then(|| folder.to_owned());
        std::fs::create_dir_all(folder).map_err(at(folder))?;
        let path = folder.join(LOCK);
        loop {
            let file = File::options().write(true).create(true).truncate(false).open(&path);
            let file = file.map_err(at(&path))?;
            lock(folder, &file)?;
            // A build that just ended took its file away: a lock on that one keeps nobody out.
            if path.is_file() {
                return Ok(Self { path, made, _file: file });
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Still locked, so that it is not another build's. What cannot be removed is in nobody's way.
        drop(std::fs::remove_file(&self.path));
        if let Some(folder) = &self.made {
            drop(std::fs::remove_dir(folder));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_builds_at_a_time_and_keeps_nothing_of_it() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("new/data");
        let claim = Claim::take(&folder).unwrap();
        let message = Claim::take(&folder).unwrap_err().to_string();
        assert!(message.contains("another process") && message.contains("new/data"), "{message}");
        drop(claim);
        assert!(!folder.exists(), "nothing was written");
        let claim = Claim::take(&folder).unwrap();
        std::fs::write(folder.join("questions.jsonl"), "").unwrap();
        drop(claim);
        let claim = Claim::take(&folder).unwrap();
        drop(claim);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }
}
