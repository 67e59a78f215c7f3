//! Folders that are replaced whole: whoever looks finds the old one or the new one.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::{FileError, at};

/// Has a folder written beside its place; one that is there goes when the new one is complete.
///
/// # Errors
/// Those of `write`, and when the folder cannot be put in its place.
pub(crate) fn replace<E: From<FileError>>(
    folder: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let (part, old) = (beside(folder, "part")?, beside(folder, "old")?);
    // A process that was killed between the two renames left the old one aside.
    if !folder.exists() && old.exists() {
        std::fs::rename(&old, folder).map_err(at(folder))?;
    }
    remove(&part)?;
    remove(&old)?;
    std::fs::create_dir_all(&part).map_err(at(&part))?;
    write(&part)?;
    if folder.exists() {
        std::fs::rename(folder, &old).map_err(at(folder))?;
    }
    std::fs::rename(&part, folder).map_err(at(folder))?;
    Ok(remove(&old)?)
}

/// `.NAME.ENDING` in the same folder.
fn beside(folder: &Path, ending: &str) -> Result<PathBuf, FileError> {
    let name = folder.file_name().ok_or_else(|| {
        at(folder)(io::Error::other("it has no name of its own; name a folder that is to be made"))
    })?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{ending}"));
    Ok(folder.with_file_name(hidden))
}

fn remove(folder: &Path) -> Result<(), FileError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(folder)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(folder: &Path, with: &str) -> Result<(), FileError> {
        let file = folder.join("file");
        std::fs::write(&file, with).map_err(at(&file))
    }

    #[test]
    fn what_fails_leaves_the_old_folder_and_what_was_killed_is_found_again() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("best");
        let content = || std::fs::read_to_string(folder.join("file")).unwrap();
        replace(&folder, |part| filled(part, "one")).unwrap();
        let failed =
            |part: &Path| filled(part, "half").and_then(|()| Err(at(part)(io::Error::other("full"))));
        assert!(replace(&folder, failed).is_err());
        assert_eq!(content(), "one");
        std::fs::rename(&folder, place.path().join(".best.old")).unwrap();
        assert!(replace(&folder, failed).is_err());
        assert_eq!(content(), "one");
        replace(&folder, |part| filled(part, "two")).unwrap();
        assert_eq!(content(), "two");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_path_without_a_name_is_refused_before_anything_is_removed() {
        for path in ["..", "/", "a/.."] {
            let refused = replace(Path::new(path), |_| -> Result<(), FileError> { panic!("it was written") });
            assert!(refused.unwrap_err().source.to_string().contains("name a folder"), "{path}");
        }
    }
}
