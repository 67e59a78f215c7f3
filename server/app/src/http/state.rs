//! What handlers share.

use std::path::PathBuf;
use std::sync::Arc;

use loupe_mllm::engine::ModelInfo;
use loupe_shared::protocol::Sample;
use tokio_util::sync::CancellationToken;

use super::health::ProviderHealth;
use crate::images::ImageFolder;
use crate::runs::Runs;
use crate::search::Search;
use crate::store::Store;

/// Everything that a server is made of.
pub struct Parts {
    /// All runs.
    pub runs: Arc<Runs>,
    /// Queries, events, shares.
    pub store: Store,
    /// Pictures.
    pub images: ImageFolder,
    /// The model that answers.
    pub model: ModelInfo,
    /// The search providers.
    pub search: Search,
    /// Sample scenes.
    pub samples: Vec<Sample>,
    /// The folder the samples lie in.
    pub samples_dir: PathBuf,
    /// The server's address as others see it, for link previews.
    pub public_url: Option<String>,
    /// Which pages may frame the widget, as a CSP source list.
    pub embed_ancestors: String,
    /// Ends streams.
    pub stopping: CancellationToken,
}

/// What handlers share. Clones are cheap.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    parts: Parts,
    health: ProviderHealth,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let health = ProviderHealth::new(parts.search.clone());
        Self(Arc::new(Inner { parts, health }))
    }

    /// How the search providers are.
    #[must_use]
    pub fn health(&self) -> &ProviderHealth {
        &self.0.health
    }

    /// Which pages may frame the widget.
    #[must_use]
    pub fn embed_ancestors(&self) -> &str {
        &self.embed_ancestors
    }
}

impl std::ops::Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}
