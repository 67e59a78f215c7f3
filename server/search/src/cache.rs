//! A small memory of answers, so that the same search in one conversation is not made twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use moka::future::Cache;

use crate::provider::{Found, ImageQuery, ImageRef, ImageSearch, SearchError, TextQuery, TextSearch};

/// Most answers that are kept.
const MOST: u64 = 1_000;
/// How long an answer stays true.
const LIFETIME: Duration = Duration::from_secs(15 * 60);

/// A provider with a memory. Only successes are kept; the same search asked twice at once is made once.
pub struct Cached<S> {
    provider: S,
    answers: Cache<String, Arc<Found>>,
}

impl<S> Cached<S> {
    /// Puts a memory before `provider`.
    #[must_use]
    pub fn new(provider: S) -> Self {
        Self { provider, answers: Cache::builder().max_capacity(MOST).time_to_live(LIFETIME).build() }
    }

    async fn remember(
        &self,
        key: String,
        search: impl Future<Output = Result<Found, SearchError>>,
    ) -> Result<Found, SearchError> {
        let asked = AtomicBool::new(false);
        let fresh = async {
            asked.store(true, Ordering::Relaxed);
            search.await.map(Arc::new)
        };
        let found =
            self.answers.try_get_with(key, fresh).await.map_err(|error| SearchError::clone(&error))?;
        Ok(Found { hits: found.hits.clone(), cached: found.cached || !asked.into_inner() })
    }
}

#[async_trait]
impl<S: TextSearch> TextSearch for Cached<S> {
    fn name(&self) -> &str {
        self.provider.name()
    }

    async fn search(&self, query: &TextQuery) -> Result<Found, SearchError> {
        let words = query.text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let key = format!("{} {} {words}", query.limit, query.lang.as_deref().unwrap_or("-"));
        self.remember(key, self.provider.search(query)).await
    }

    async fn check(&self) -> Result<(), SearchError> {
        self.provider.check().await
    }
}

#[async_trait]
impl<S: ImageSearch> ImageSearch for Cached<S> {
    fn name(&self) -> &str {
        self.provider.name()
    }

    async fn search(&self, query: &ImageQuery) -> Result<Found, SearchError> {
        let picture = match &query.image {
            ImageRef::Pixels(pixels) => {
                format!("{}x{} {}", pixels.width(), pixels.height(), blake3::hash(pixels.data()))
            }
            ImageRef::PublicUrl(url) => url.to_string(),
        };
        self.remember(format!("{} {picture}", query.limit), self.provider.search(query)).await
    }

    async fn check(&self) -> Result<(), SearchError> {
        self.provider.check().await
    }
}
