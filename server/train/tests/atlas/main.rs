//! The Atlas and what is made of it, over the whole of the pinned npm packages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod dataset;
mod evaluation;
mod mixture;
mod questions;
mod scenes;
mod search;
mod teacher;
mod tune;
mod world;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use loupe_mllm::engine::{Message, Part};
use loupe_search::local::Index;
use loupe_search::{Found, ImageQuery, ImageSearch, SearchError, TextQuery, TextSearch};
use loupe_train::atlas::World;
use loupe_train::atlas::build::build;

/// Where `npm ci` put the packages.
fn packages() -> PathBuf {
    let packages = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../node_modules");
    assert!(packages.join("flag-icons").is_dir(), "run `npm ci` in the repository's root first");
    packages
}

/// The world of seed 0.
fn world() -> Arc<World> {
    static WORLD: OnceLock<Arc<World>> = OnceLock::new();
    WORLD.get_or_init(|| Arc::new(World::from_packages(&packages(), 0).unwrap())).clone()
}

/// The Atlas of seed 0 as a folder, and its index.
fn index() -> Arc<Index> {
    static INDEX: OnceLock<(tempfile::TempDir, Arc<Index>)> = OnceLock::new();
    let (_folder, index) = INDEX.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let atlas = folder.path().join("atlas");
        build(&packages(), &atlas, 0, None).unwrap();
        let index = Arc::new(Index::open(&atlas).unwrap());
        (folder, index)
    });
    index.clone()
}

fn text_of(message: &Message) -> String {
    let texts = message.parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        Part::Image(_) => None,
    });
    texts.collect()
}

/// The names of what lies in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

/// A search that finds nothing, or is not there.
#[derive(Clone, Copy)]
enum Useless {
    Empty,
    Gone,
}

impl Useless {
    fn answer(self) -> Result<Found, SearchError> {
        match self {
            Self::Empty => Ok(Found { hits: Vec::new(), cached: false }),
            Self::Gone => {
                let [provider, reason] = ["useless", "connection refused"].map(str::to_owned);
                Err(SearchError::Unreachable { provider, reason })
            }
        }
    }
}

#[async_trait]
impl TextSearch for Useless {
    fn name(&self) -> &str {
        "useless"
    }

    async fn search(&self, _query: &TextQuery) -> Result<Found, SearchError> {
        self.answer()
    }

    async fn check(&self) -> Result<(), SearchError> {
        self.answer().map(|_| ())
    }
}

#[async_trait]
impl ImageSearch for Useless {
    fn name(&self) -> &str {
        "useless"
    }

    async fn search(&self, _query: &ImageQuery) -> Result<Found, SearchError> {
        self.answer()
    }

    async fn check(&self) -> Result<(), SearchError> {
        self.answer().map(|_| ())
    }
}
