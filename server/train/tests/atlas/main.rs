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

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use loupe_mllm::engine::{Message, Part};
use loupe_search::local::Index;
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
