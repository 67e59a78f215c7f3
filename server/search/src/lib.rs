//! Search: providers, the local index, the summariser.
//!
//! Layout
//! - [`provider`]: the traits `TextSearch` and `ImageSearch` and their error.
//! - [`local`]: the index of a folder of pages and pictures, and the providers over it.
//! - [`picture`]: finding a picture again in a crop of a photograph of it.
//! - [`summary`]: extractive summaries and passages.
//! - `words`, `sentences`: what these are, the same for index, query and summary.

pub mod local;
pub mod picture;
pub mod provider;
mod sentences;
pub mod summary;
mod words;

pub use provider::{Found, ImageQuery, ImageRef, ImageSearch, SearchError, TextQuery, TextSearch};
