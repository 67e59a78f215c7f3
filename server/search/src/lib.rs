//! Search: providers, the local index, the summariser.
//!
//! Layout
//! - [`provider`]: the traits `TextSearch` and `ImageSearch` and their error.
//! - [`local`]: the index of a folder of pages and pictures, and the providers over it.
//! - [`picture`]: finding a picture again in a crop of a photograph of it.
//! - [`searxng`]: a SearXNG instance as a provider.
//! - [`cache`]: a memory before any provider.
//! - [`spec`]: providers as settings name them.
//! - [`summary`]: extractive summaries and passages.
//! - `words`, `sentences`: what these are, the same for index, query and summary.
//! - [`http`], `plain`: the client of live providers and model servers, and plain text out of what they answer.

pub mod cache;
pub mod http;
pub mod local;
pub mod picture;
mod plain;
pub mod provider;
pub mod searxng;
mod sentences;
pub mod spec;
pub mod summary;
mod words;

pub use cache::Cached;
pub use provider::{Found, ImageQuery, ImageRef, ImageSearch, SearchError, TextQuery, TextSearch};
pub use searxng::SearxNg;
pub use spec::ProviderSpec;
