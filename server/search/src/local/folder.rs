//! The folder that an index is made from: its files, their names in addresses, and the hash of it all.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::page::{self, Page, PagePicture};
use super::{FORMAT, INDEX_DIR};

/// A page larger than this is data, not reading matter.
const LARGEST_PAGE: u64 = 4 << 20;
/// A picture file larger than this is left out.
const LARGEST_PICTURE: u64 = 64 << 20;

/// The sources of an index.
pub(super) struct Folder {
    pub(super) root: PathBuf,
    /// Markdown files relative to the root, sorted.
    pages: Vec<PathBuf>,
    /// Picture files relative to the root with their names in addresses, sorted.
    pub(super) pictures: Vec<(PathBuf, String)>,
}

/// A file that the index leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file, relative to the folder.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

impl Folder {
    /// Lists the folder and everything in it but what begins with a dot. Links are not followed.
    pub(super) fn scan(root: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        list(root, Path::new(""), &mut files)?;
        files.sort();
        let (mut pages, mut pictures) = (Vec::new(), Vec::new());
        for file in files {
            match extension(&file).as_str() {
                "md" => pages.push(file),
                "png" | "jpg" | "jpeg" | "webp" => pictures.push(file),
                _ => {}
            }
        }
        let names = names(&pictures, "pictures", false);
        Ok(Self { root: root.to_owned(), pages, pictures: pictures.into_iter().zip(names).collect() })
    }

    /// A BLAKE3 hash of all names and contents, and of the index's format.
    pub(super) fn fingerprint(&self) -> io::Result<String> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&FORMAT.to_le_bytes());
        for file in self.pages.iter().chain(self.pictures.iter().map(|(file, _)| file)) {
            let name = file.to_string_lossy();
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
            let content = fs::read(self.root.join(file)).map_err(named)?;
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
            hasher.update(blake3::hash(&content).as_bytes());
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// Reads all pages. What cannot be read as a page is told, not fatal.
    pub(super) fn read_pages(&self) -> (Vec<Page>, Vec<Skipped>) {
        let (mut pages, mut skipped) = (Vec::new(), Vec::new());
        for (file, stem) in self.pages.iter().zip(names(&self.pages, "pages", true)) {
            match self.read_text(file) {
                Ok(markdown) => pages.push(self.page(&markdown, file, stem)),
                Err(reason) => skipped.push(Skipped { path: file.clone(), reason }),
            }
        }
        (pages, skipped)
    }

    /// The bytes of a picture file.
    pub(super) fn read_picture(&self, file: &Path) -> Result<Vec<u8>, String> {
        self.read(file, LARGEST_PICTURE)
    }

    fn page(&self, markdown: &str, file: &Path, stem: String) -> Page {
        let parsed = page::parse(markdown, file);
        let title = parsed.title.unwrap_or_else(|| plain_name(file));
        let name_of = |path: &PathBuf| {
            self.pictures.iter().find(|(file, _)| file == path).map(|(_, name)| name.clone())
        };
        let pictures = parsed
            .pictures
            .into_iter()
            .filter_map(|(path, alt)| Some(PagePicture { file: name_of(&path)?, alt }))
            .collect();
        Page { stem, title, text: parsed.text, pictures }
    }

    fn read_text(&self, file: &Path) -> Result<String, String> {
        String::from_utf8(self.read(file, LARGEST_PAGE)?)
            .map_err(|error| format!("it is not UTF-8 text: {error}"))
    }

    fn read(&self, file: &Path, most: u64) -> Result<Vec<u8>, String> {
        let path = self.root.join(file);
        let size = fs::metadata(&path).map_err(|error| error.to_string())?.len();
        if size > most {
            return Err(format!("it has {size} bytes, more than {most}"));
        }
        fs::read(&path).map_err(|error| error.to_string())
    }
}

/// A file's name without folder and ending, with spaces for dashes and underscores.
pub(super) fn plain_name(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().replace(['_', '-'], " ")
}

fn list(root: &Path, below: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with('.') || below.join(&name) == Path::new(INDEX_DIR) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            list(root, &below.join(name), files)?;
        } else if kind.is_file() {
            files.push(below.join(name));
        }
    }
    Ok(())
}

fn extension(file: &Path) -> String {
    file.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Names for addresses: paths without `prefix/` at the front, where that keeps them apart, and the whole path where not.
fn names(files: &[PathBuf], prefix: &str, drop_extension: bool) -> Vec<String> {
    let name = |path: &Path| {
        let path = if drop_extension { path.with_extension("") } else { path.to_owned() };
        path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
    };
    let mut taken = HashSet::new();
    files
        .iter()
        .map(|file| {
            let short = name(file.strip_prefix(prefix).unwrap_or(file));
            if taken.insert(short.clone()) { short } else { name(file) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_where_that_keeps_them_apart() {
        let files = ["a.md", "notes/b.md", "pages/a.md", "pages/c.md"].map(PathBuf::from);
        assert_eq!(names(&files, "pages", true), ["a", "notes/b", "pages/a", "c"]);
    }

    #[test]
    fn every_change_of_a_source_changes_the_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let print = || Folder::scan(dir.path()).unwrap().fingerprint().unwrap();
        let mut seen = vec![print()];
        for (name, text) in [("a.md", "x"), ("a.md", "y"), ("b.md", ""), ("c.png", "")] {
            fs::write(dir.path().join(name), text).unwrap();
            seen.push(print());
        }
        fs::rename(dir.path().join("b.md"), dir.path().join("d.md")).unwrap();
        seen.push(print());
        fs::write(dir.path().join("ignored.txt"), "z").unwrap();
        assert_eq!(seen.last(), Some(&print()));
        let distinct: HashSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len());
    }
}
