//! The local index: text and picture search over a folder of anyone's own pages and pictures.
//!
//! A folder holds Markdown pages (`.md`) and pictures (`.png`, `.jpg`, `.webp`), anywhere in it. A picture belongs to the pages
//! that show it as `![alt](relative/path.png)`; one that no page shows says nothing and is left out. The index lies in `.loupe-index` inside the folder and is made again
//! whenever it is missing, damaged, or the folder's content has changed.

mod folder;
mod page;
mod providers;
mod store;
mod text;

use std::path::{Path, PathBuf};

use loupe_shared::pixels::Rgb8;
use serde::{Deserialize, Serialize};

use crate::picture::{Gallery, Thumbnail, decode};
use crate::provider::SearchError;
use folder::Folder;
pub use folder::Skipped;
pub use page::{Page, PagePicture};
pub use providers::{LocalImage, LocalText};
use store::{Loaded, Unusable};
use text::TextIndex;

/// Where the index lies in its folder.
const INDEX_DIR: &str = ".loupe-index";
/// Raised whenever the stored form or the meaning of a part of it changes.
const FORMAT: u32 = 1;

/// A picture of the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Its name in addresses: the path in the folder without `pictures/` at the front.
    pub file: String,
    /// The file, relative to the folder.
    pub path: PathBuf,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Numbers of the pages that show it, in the order of pages.
    pages: Vec<usize>,
}

/// What an index was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildReport {
    /// How many pages it holds.
    pub pages: usize,
    /// How many pictures it holds.
    pub pictures: usize,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
}

/// A page found by words.
#[derive(Debug, Clone, Copy)]
pub struct TextMatch<'a> {
    /// The page.
    pub page: &'a Page,
    /// BM25 with the title's boost, above 0.
    pub score: f32,
}

/// A picture found by picture.
#[derive(Debug, Clone, Copy)]
pub struct PictureMatch<'a> {
    /// The picture.
    pub picture: &'a Picture,
    /// How well it explains the query, 0 to 1.
    pub score: f32,
    /// How far it is ahead of the next different-looking picture, 0 to 1; see [`crate::picture::Match::confidence`].
    pub confidence: f32,
}

/// An open index.
pub struct Index {
    root: PathBuf,
    pages: Vec<Page>,
    pictures: Vec<Picture>,
    gallery: Gallery,
    text: TextIndex,
}

impl Index {
    /// Opens the index of a folder, and makes it first where that is needed. Takes as long as reading the folder once.
    ///
    /// # Errors
    /// [`SearchError::Index`] when the folder cannot be read or the index cannot be written.
    pub fn open(dir: &Path) -> Result<Self, SearchError> {
        let folder = scan(dir)?;
        let fingerprint = folder.fingerprint().map_err(|error| unreadable(dir, &error))?;
        match store::load(dir, &fingerprint) {
            Ok(loaded) => return Ok(Self::from_loaded(dir, loaded)),
            Err(reason @ (Unusable::Missing | Unusable::Stale)) => {
                tracing::info!(folder = %dir.display(), %reason, "making the local index");
            }
            Err(reason) => tracing::warn!(folder = %dir.display(), %reason, "making the local index again"),
        }
        let report = make(&folder, &fingerprint)?;
        if let Some(Skipped { path, reason }) = report.skipped.first() {
            let (count, first) = (report.skipped.len(), path.display());
            tracing::warn!(
                "{count} files are left out of the local index, first {first} ({reason}); `loupe index build {}` names all",
                dir.display()
            );
        }
        Self::load(dir, &fingerprint)
    }

    /// Makes the index of a folder, whatever was there, and opens it.
    ///
    /// # Errors
    /// [`SearchError::Index`] when the folder cannot be read or the index cannot be written.
    pub fn build(dir: &Path) -> Result<(Self, BuildReport), SearchError> {
        let folder = scan(dir)?;
        let fingerprint = folder.fingerprint().map_err(|error| unreadable(dir, &error))?;
        let report = make(&folder, &fingerprint)?;
        Ok((Self::load(dir, &fingerprint)?, report))
    }

    fn load(dir: &Path, fingerprint: &str) -> Result<Self, SearchError> {
        let loaded = store::load(dir, fingerprint).map_err(|reason| {
            let advice = format!("{reason}; run `loupe index build {}`", dir.display());
            SearchError::Index { path: dir.join(INDEX_DIR).display().to_string(), reason: advice }
        })?;
        Ok(Self::from_loaded(dir, loaded))
    }

    fn from_loaded(dir: &Path, loaded: Loaded) -> Self {
        let Loaded { manifest, thumbnails, text } = loaded;
        Self {
            root: dir.to_owned(),
            pages: manifest.pages,
            pictures: manifest.pictures,
            gallery: Gallery::new(thumbnails),
            text,
        }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All pages, sorted by path.
    #[must_use]
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// All pictures, sorted by path.
    #[must_use]
    pub fn pictures(&self) -> &[Picture] {
        &self.pictures
    }

    /// The page of a name.
    #[must_use]
    pub fn page(&self, stem: &str) -> Option<&Page> {
        self.pages.iter().find(|page| page.stem == stem)
    }

    /// The file of a picture's name. Only files that the index holds are named, so a made-up name leads nowhere.
    #[must_use]
    pub fn picture_path(&self, file: &str) -> Option<PathBuf> {
        let picture = self.pictures.iter().find(|picture| picture.file == file)?;
        Some(self.root.join(&picture.path))
    }

    /// The pages that show a picture.
    pub fn pages_of(&self, picture: &Picture) -> impl Iterator<Item = &Page> {
        picture.pages.iter().filter_map(|&number| self.pages.get(number))
    }

    /// The best pages for some words, best first. Words that no page has find nothing.
    ///
    /// # Errors
    /// [`SearchError::Index`] when the index's files cannot be read any more.
    pub fn search_text(&self, text: &str, limit: usize) -> Result<Vec<TextMatch<'_>>, SearchError> {
        let found = self.text.search(text, limit).map_err(|error| SearchError::Index {
            path: self.root.join(INDEX_DIR).display().to_string(),
            reason: format!("{error}; run `loupe index build {}`", self.root.display()),
        })?;
        let matches = found.into_iter();
        Ok(matches.filter_map(|(n, score)| Some(TextMatch { page: self.pages.get(n)?, score })).collect())
    }

    /// The pictures that look most like `query` or a part of it, best first. Takes some tens of milliseconds of computing.
    #[must_use]
    pub fn search_picture(&self, query: &Rgb8, limit: usize) -> Vec<PictureMatch<'_>> {
        let matches = self.gallery.search(query, limit).into_iter();
        matches
            .filter_map(|m| {
                let picture = self.pictures.get(m.number)?;
                Some(PictureMatch { picture, score: m.score, confidence: m.confidence })
            })
            .collect()
    }
}

fn scan(dir: &Path) -> Result<Folder, SearchError> {
    Folder::scan(dir).map_err(|error| unreadable(dir, &error))
}

fn unreadable(dir: &Path, error: &std::io::Error) -> SearchError {
    SearchError::Index {
        path: dir.display().to_string(),
        reason: format!("the folder cannot be read: {error}; give a folder of .md pages and pictures"),
    }
}

/// Reads all sources and stores an index of them.
fn make(folder: &Folder, fingerprint: &str) -> Result<BuildReport, SearchError> {
    let (pages, mut skipped) = folder.read_pages();
    let (mut pictures, mut thumbnails) = (Vec::new(), Vec::new());
    for (path, file) in &folder.pictures {
        match read_picture(folder, path, file, &pages) {
            Ok((picture, thumbnail)) => {
                pictures.push(picture);
                thumbnails.push(thumbnail);
            }
            Err(reason) => skipped.push(Skipped { path: path.clone(), reason }),
        }
    }
    let report = BuildReport { pages: pages.len(), pictures: pictures.len(), skipped };
    store::save(&folder.root, fingerprint, pages, pictures, &thumbnails).map_err(|error| {
        SearchError::Index {
            path: folder.root.join(INDEX_DIR).display().to_string(),
            reason: format!(
                "it cannot be written: {error}; make the folder writable or copy it to where it is"
            ),
        }
    })?;
    Ok(report)
}

fn read_picture(
    folder: &Folder,
    path: &Path,
    file: &str,
    pages: &[Page],
) -> Result<(Picture, Thumbnail), String> {
    let pages = pages_showing(pages, file);
    if pages.is_empty() {
        return Err("no page shows it".to_owned());
    }
    let bytes = folder.read_picture(path)?;
    let pixels = decode(&bytes).map_err(|error| error.to_string())?;
    let (width, height) = (pixels.width(), pixels.height());
    let picture = Picture { file: file.to_owned(), path: path.to_owned(), width, height, pages };
    Ok((picture, Thumbnail::of(&pixels)))
}

fn pages_showing(pages: &[Page], file: &str) -> Vec<usize> {
    let shows = |page: &Page| page.pictures.iter().any(|picture| picture.file == file);
    pages.iter().enumerate().filter(|(_, page)| shows(page)).map(|(number, _)| number).collect()
}
