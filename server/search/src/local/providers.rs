//! The local index behind the provider traits.

use std::sync::Arc;

use async_trait::async_trait;
use loupe_shared::pixels::Rgb8;
use loupe_shared::protocol::Hit;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Index, Page, Picture};
use crate::provider::{Found, ImageQuery, ImageRef, ImageSearch, SearchError, TextQuery, TextSearch};
use crate::sentences::cut;
use crate::summary::{Source, best_passage};

/// The name of both providers.
const NAME: &str = "local";
/// Characters of a snippet.
const SNIPPET_CHARS: usize = 300;
/// Everything but what RFC 3986 leaves unreserved: a name is one segment of a path, even with a slash in it.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Text search in a local index.
#[derive(Clone)]
pub struct LocalText {
    index: Arc<Index>,
}

/// Picture search in a local index.
#[derive(Clone)]
pub struct LocalImage {
    index: Arc<Index>,
}

impl LocalText {
    /// Searches `index`.
    #[must_use]
    pub fn new(index: Arc<Index>) -> Self {
        Self { index }
    }
}

impl LocalImage {
    /// Searches `index`.
    #[must_use]
    pub fn new(index: Arc<Index>) -> Self {
        Self { index }
    }
}

#[async_trait]
impl TextSearch for LocalText {
    fn name(&self) -> &str {
        NAME
    }

    async fn search(&self, query: &TextQuery) -> Result<Found, SearchError> {
        let (index, query) = (Arc::clone(&self.index), query.clone());
        let hits = off_thread(move || {
            let found = index.search_text(&query.text, query.limit)?;
            Ok(found.iter().map(|m| text_hit(m.page, &query.text)).collect())
        });
        Ok(ranked(hits.await?))
    }

    async fn check(&self) -> Result<(), SearchError> {
        self.index.search_text("check", 1).map(drop)
    }
}

#[async_trait]
impl ImageSearch for LocalImage {
    fn name(&self) -> &str {
        NAME
    }

    async fn search(&self, query: &ImageQuery) -> Result<Found, SearchError> {
        let ImageRef::Pixels(pixels) = &query.image else {
            let advice = "the local index compares pixels and fetches no addresses; send the picture itself";
            return Err(SearchError::BadQuery(advice.to_owned()));
        };
        let (index, pixels, limit) = (Arc::clone(&self.index), Arc::clone(pixels), query.limit);
        Ok(ranked(off_thread(move || Ok(image_hits(&index, &pixels, limit))).await?))
    }

    async fn check(&self) -> Result<(), SearchError> {
        if self.index.pictures().is_empty() {
            return Err(SearchError::Index {
                path: self.index.root().display().to_string(),
                reason:
                    "it holds no pictures; add .png, .jpg or .webp files and run `loupe index build` on it"
                        .to_owned(),
            });
        }
        Ok(())
    }
}

/// Runs what computes for milliseconds where it holds nobody up.
async fn off_thread(
    work: impl FnOnce() -> Result<Vec<Hit>, SearchError> + Send + 'static,
) -> Result<Vec<Hit>, SearchError> {
    let failed = |error: tokio::task::JoinError| SearchError::BadAnswer {
        provider: NAME.to_owned(),
        reason: format!("the search stopped: {error}"),
    };
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

fn ranked(mut hits: Vec<Hit>) -> Found {
    for (rank, hit) in (1..).zip(&mut hits) {
        hit.rank = rank;
    }
    Found { hits, cached: false }
}

fn text_hit(page: &Page, query: &str) -> Hit {
    let source = Source { title: &page.title, text: &page.text };
    Hit {
        rank: 0,
        title: page.title.clone(),
        url: page_url(&page.stem),
        snippet: best_passage(query, source, SNIPPET_CHARS),
        thumb: page.pictures.first().map(|picture| picture_url(&picture.file)),
    }
}

/// One hit per page that shows a found picture.
fn image_hits(index: &Index, pixels: &Rgb8, limit: usize) -> Vec<Hit> {
    let mut hits: Vec<Hit> = Vec::new();
    for found in index.search_picture(pixels, limit) {
        for page in index.pages_of(found.picture) {
            let url = page_url(&page.stem);
            if hits.iter().all(|hit| hit.url != url) {
                hits.push(page_hit(page, found.picture, url));
            }
        }
    }
    hits.truncate(limit);
    hits
}

fn page_hit(page: &Page, picture: &Picture, url: String) -> Hit {
    let alt = page.pictures.iter().find(|shown| shown.file == picture.file).map(|shown| shown.alt.as_str());
    let text = if page.text.is_empty() { alt.unwrap_or_default() } else { &page.text };
    Hit {
        rank: 0,
        title: page.title.clone(),
        url,
        snippet: cut(&text.replace('\n', " "), SNIPPET_CHARS),
        thumb: Some(picture_url(&picture.file)),
    }
}

/// A page's address on this server.
fn page_url(stem: &str) -> String {
    format!("/pages/{}", utf8_percent_encode(stem, SEGMENT))
}

/// A picture's address on this server.
fn picture_url(file: &str) -> String {
    format!("/pictures/{}", utf8_percent_encode(file, SEGMENT))
}
