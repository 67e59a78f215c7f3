//! Search: providers, the local index, the summariser.
//!
//! Layout
//! - [`provider`]: the traits `TextSearch` and `ImageSearch` and their error.

pub mod provider;

pub use provider::{Found, ImageQuery, ImageRef, ImageSearch, SearchError, TextQuery, TextSearch};
