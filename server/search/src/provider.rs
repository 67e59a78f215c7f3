//! What every provider is, to the agent.

use std::sync::Arc;

use async_trait::async_trait;
use loupe_shared::pixels::Rgb8;
use loupe_shared::protocol::Hit;
use serde::{Deserialize, Serialize};
use url::Url;

/// A search by words.
#[derive(Debug, Clone)]
pub struct TextQuery {
    /// The words.
    pub text: String,
    /// Most hits wanted.
    pub limit: usize,
    /// BCP 47 tag of the wanted language.
    pub lang: Option<String>,
}

/// A picture to search by.
#[derive(Debug, Clone)]
pub enum ImageRef {
    /// The pixels.
    Pixels(Arc<Rgb8>),
    /// An address, for providers that take nothing else.
    PublicUrl(Url),
}

/// A search by picture.
#[derive(Debug, Clone)]
pub struct ImageQuery {
    /// The picture.
    pub image: ImageRef,
    /// Most hits wanted.
    pub limit: usize,
}

/// What a provider found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Best first, `rank` from 1.
    pub hits: Vec<Hit>,
    /// Whether it came from a cache.
    pub cached: bool,
}

/// Search by words.
#[async_trait]
pub trait TextSearch: Send + Sync {
    /// The provider's name: `local`, `searxng`.
    fn name(&self) -> &str;

    /// Searches.
    ///
    /// # Errors
    /// [`SearchError`]; finding nothing is not an error, being unable to look is.
    async fn search(&self, query: &TextQuery) -> Result<Found, SearchError>;

    /// One cheap check that the provider would answer.
    ///
    /// # Errors
    /// [`SearchError`] saying what to do.
    async fn check(&self) -> Result<(), SearchError>;
}

/// Search by picture.
#[async_trait]
pub trait ImageSearch: Send + Sync {
    /// The provider's name.
    fn name(&self) -> &str;

    /// Searches.
    ///
    /// # Errors
    /// [`SearchError`]; finding nothing is not an error, being unable to look is.
    async fn search(&self, query: &ImageQuery) -> Result<Found, SearchError>;

    /// One cheap check that the provider would answer.
    ///
    /// # Errors
    /// [`SearchError`] saying what to do.
    async fn check(&self) -> Result<(), SearchError>;
}

/// Why a search gave no answer. Messages say what happened and what to do.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum SearchError {
    /// The provider could not be reached or did not answer in time.
    #[error("{provider} could not be reached: {reason}")]
    Unreachable {
        /// The provider.
        provider: String,
        /// What happened.
        reason: String,
    },
    /// The provider refused, with what to do about it.
    #[error("{provider} refused: {reason}")]
    Refused {
        /// The provider.
        provider: String,
        /// What it said and what to change.
        reason: String,
    },
    /// The provider asks to wait.
    #[error("{provider} asks to wait{}; {advice}", .retry_after_s.map(|s| format!(" {s} s")).unwrap_or_default())]
    RateLimited {
        /// The provider.
        provider: String,
        /// Seconds to wait, when it said so.
        retry_after_s: Option<u64>,
        /// What to change, so that it does not happen again.
        advice: String,
    },
    /// The provider answered in a form that it does not document.
    #[error("{provider} answered with something unexpected: {reason}")]
    BadAnswer {
        /// The provider.
        provider: String,
        /// What does not fit.
        reason: String,
    },
    /// The query itself cannot be searched.
    #[error("this cannot be searched: {0}")]
    BadQuery(String),
    /// The settings name no usable provider.
    #[error("{0}")]
    Settings(String),
    /// The local index is missing or damaged.
    #[error("the local index at {path} cannot be used: {reason}")]
    Index {
        /// Where.
        path: String,
        /// What is wrong and what to do.
        reason: String,
    },
}

impl SearchError {
    /// A stable code for events and error bodies.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "search_unreachable",
            Self::Refused { .. } => "search_refused",
            Self::RateLimited { .. } => "search_rate_limited",
            Self::BadAnswer { .. } => "search_bad_answer",
            Self::BadQuery(_) => "search_bad_query",
            Self::Settings(_) => "search_settings",
            Self::Index { .. } => "search_index",
        }
    }
}
