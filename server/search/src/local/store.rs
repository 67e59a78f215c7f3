//! The index on disk: `.loupe-index` in the folder, replaced as a whole or not at all.
//!
//! `manifest.json` holds the pages and the list of pictures, `pictures.bin` their thumbnails one after another, `text/` is
//! tantivy's. Everything is derived from the folder, so whatever is missing, old or damaged is simply made again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::page::Page;
use super::text::{self, TextIndex};
use super::{INDEX_DIR, Picture};
use crate::picture::Thumbnail;

/// What the index holds beside tantivy's part.
#[derive(Serialize, Deserialize)]
pub(super) struct Manifest {
    /// [`super::folder::Folder::fingerprint`] of the sources.
    pub(super) fingerprint: String,
    pub(super) pages: Vec<Page>,
    pub(super) pictures: Vec<Picture>,
    /// BLAKE3 of `pictures.bin`.
    thumbnails_hash: String,
}

/// Everything that [`load`] brings into memory.
pub(super) struct Loaded {
    pub(super) manifest: Manifest,
    pub(super) thumbnails: Vec<Thumbnail>,
    pub(super) text: TextIndex,
}

/// Why a stored index is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("there is none yet")]
    Missing,
    #[error("the folder has changed since it was made")]
    Stale,
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// Loads the index of a folder, if it was made from just these sources.
pub(super) fn load(root: &Path, fingerprint: &str) -> Result<Loaded, Unusable> {
    let dir = root.join(INDEX_DIR);
    if !dir.is_dir() {
        return Err(Unusable::Missing);
    }
    let damaged = |part: &str, error: String| Unusable::Damaged(format!("{part}: {error}"));
    let json = fs::read(dir.join("manifest.json")).map_err(|e| damaged("manifest.json", e.to_string()))?;
    let manifest: Manifest =
        serde_json::from_slice(&json).map_err(|e| damaged("manifest.json", e.to_string()))?;
    if manifest.fingerprint != fingerprint {
        return Err(Unusable::Stale);
    }
    let bytes = fs::read(dir.join("pictures.bin")).map_err(|e| damaged("pictures.bin", e.to_string()))?;
    if blake3::hash(&bytes).to_hex().as_str() != manifest.thumbnails_hash {
        return Err(damaged("pictures.bin", "its hash differs".to_owned()));
    }
    let thumbnails: Option<Vec<Thumbnail>> =
        bytes.chunks(Thumbnail::BYTES).map(Thumbnail::from_bytes).collect();
    let thumbnails = thumbnails
        .filter(|thumbnails| thumbnails.len() == manifest.pictures.len())
        .ok_or_else(|| damaged("pictures.bin", "its length differs".to_owned()))?;
    let text = TextIndex::open(&dir.join("text")).map_err(|e| damaged("text", e.to_string()))?;
    Ok(Loaded { manifest, thumbnails, text })
}

/// Writes an index beside the old one and puts it in its place.
pub(super) fn save(
    root: &Path,
    fingerprint: &str,
    pages: Vec<Page>,
    pictures: Vec<Picture>,
    thumbnails: &[Thumbnail],
) -> io::Result<()> {
    let fresh = Scratch::new(root)?;
    let bytes: Vec<u8> = thumbnails.iter().flat_map(Thumbnail::as_bytes).copied().collect();
    fs::write(fresh.path.join("pictures.bin"), &bytes)?;
    fs::create_dir(fresh.path.join("text"))?;
    text::write(&fresh.path.join("text"), &pages).map_err(io::Error::other)?;
    let thumbnails_hash = blake3::hash(&bytes).to_hex().to_string();
    let manifest = Manifest { fingerprint: fingerprint.to_owned(), pages, pictures, thumbnails_hash };
    fs::write(fresh.path.join("manifest.json"), serde_json::to_vec(&manifest)?)?;
    replace(root, &fresh.path)
}

/// Puts `fresh` where the index lies. Whoever opened the old one has it in memory.
fn replace(root: &Path, fresh: &Path) -> io::Result<()> {
    let target = root.join(INDEX_DIR);
    let old = Scratch::new(root)?;
    match fs::rename(&target, old.path.join("index")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match fs::rename(fresh, &target) {
        // Another process put its own index there in between; it was made from the same folder.
        Err(_) if target.is_dir() => Ok(()),
        done => done,
    }
}

/// A folder of our own beside the index, gone when dropped.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new(root: &Path) -> io::Result<Self> {
        for attempt in 0..64 {
            let path = root.join(format!("{INDEX_DIR}-{}-{attempt}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!("{INDEX_DIR}-… folders are left over; remove them")))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.path.exists() {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a scratch folder is left over");
        }
    }
}
