//! The search providers that the settings name, and the sample scenes beside a local index.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use loupe_search::local::{Index, LocalImage, LocalText};
use loupe_search::{Cached, ImageSearch, ProviderSpec, SearchError, SearxNg, TextSearch};
use loupe_shared::protocol::Sample;

use crate::settings::Settings;

/// What text and pictures are searched with.
#[derive(Clone)]
pub struct Search {
    /// Search by words.
    pub text: Arc<dyn TextSearch>,
    /// Search by picture.
    pub image: Arc<dyn ImageSearch>,
    /// The local index that words are searched in.
    pub pages: Option<Arc<Index>>,
    /// The local index that pictures are searched in.
    pub pictures: Arc<Index>,
}

impl Search {
    /// The local indexes whose pages and pictures this server shows; hits lead there.
    pub fn indexes(&self) -> impl Iterator<Item = &Index> {
        self.pages.as_deref().into_iter().chain([&*self.pictures])
    }
}

/// Opens the providers. A local index is made first where that is needed.
///
/// # Errors
/// [`SearchError`].
pub fn open(settings: &Settings) -> Result<Search, SearchError> {
    let ProviderSpec::Local(folder) = ProviderSpec::parse(&settings.image_search)? else {
        let advice = "SearXNG cannot search by picture; give --image-search local:DIR";
        return Err(SearchError::Settings(advice.to_owned()));
    };
    let pictures = Arc::new(open_index(&folder)?);
    let pages = match ProviderSpec::parse(&settings.search)? {
        ProviderSpec::SearxNg(url) => {
            let (text, image) = (Arc::new(Cached::new(SearxNg::new(&url)?)), image_search(&pictures));
            return Ok(Search { text, image, pages: None, pictures });
        }
        ProviderSpec::Local(same) if same == folder => pictures.clone(),
        ProviderSpec::Local(other) => Arc::new(open_index(&other)?),
    };
    let text = Arc::new(Cached::new(LocalText::new(pages.clone())));
    Ok(Search { text, image: image_search(&pictures), pages: Some(pages), pictures })
}

fn image_search(pictures: &Arc<Index>) -> Arc<dyn ImageSearch> {
    Arc::new(Cached::new(LocalImage::new(pictures.clone())))
}

fn open_index(folder: &Path) -> Result<Index, SearchError> {
    if !folder.is_dir() {
        let advice = "it is not a folder; make the Atlas with `loupe atlas build --out` that path, or give --search \
                      local:DIR a folder of your own pages";
        return Err(SearchError::Index { path: folder.display().to_string(), reason: advice.to_owned() });
    }
    Index::open(folder)
}

/// Where sample scenes lie: beside the pictures that are searched.
#[must_use]
pub fn samples_dir(search: &Search) -> PathBuf {
    search.pictures.root().join("samples")
}

/// The sample scenes that `samples.json` lists: `[{"url": "/samples/one.png", "alt", "questions"}]`. None without the
/// file; entries whose picture is not there are left out.
#[must_use]
pub fn samples(dir: &Path) -> Vec<Sample> {
    let Ok(text) = std::fs::read_to_string(dir.join("samples.json")) else { return Vec::new() };
    let samples: Vec<Sample> = serde_json::from_str(&text)
        .inspect_err(
            |error| tracing::warn!(folder = %dir.display(), %error, "the sample scenes cannot be read"),
        )
        .unwrap_or_default();
    let is_there = |sample: &Sample| {
        sample
            .url
            .strip_prefix("/samples/")
            .is_some_and(|name| is_sample_name(name) && dir.join(name).is_file())
    };
    samples.into_iter().filter(is_there).collect()
}

/// Whether a name can be that of a sample scene: a PNG right in the folder.
#[must_use]
pub fn is_sample_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    name.strip_suffix(".png").is_some_and(|stem| !stem.is_empty() && stem.bytes().all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_names_lead_nowhere_else() {
        assert!(is_sample_name("two-flags_1.png"));
        for name in ["../x.png", "a/b.png", ".png", "samples.json", "a..png", ""] {
            assert!(!is_sample_name(name), "{name}");
        }
    }

    #[test]
    fn only_samples_with_a_picture_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("one.png"), b"png").unwrap();
        let list = r#"[{"url": "/samples/one.png", "alt": "a", "questions": ["q"]},
                       {"url": "/samples/two.png", "alt": "b", "questions": []},
                       {"url": "/etc/passwd", "alt": "c", "questions": []}]"#;
        std::fs::write(dir.path().join("samples.json"), list).unwrap();
        let found = samples(dir.path());
        assert_eq!(found.iter().map(|s| s.url.as_str()).collect::<Vec<_>>(), ["/samples/one.png"]);
    }
}
