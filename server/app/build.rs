//! Names the folders that are embedded in the program, so that a change in them builds it again.

use std::path::{Path, PathBuf};

fn main() {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    embed("LOUPE_WEB_DIST", &here.join("../../target/web/dist"));
    embed("LOUPE_POCKET", &here.join("../mllm/pocket"));
}

/// Takes the folder that the environment names, else `default`. A folder that is not there yet is made: cargo watches
/// what exists, and the program says at run time what is missing in it.
fn embed(variable: &str, default: &Path) {
    println!("cargo::rerun-if-env-changed={variable}");
    let folder = std::env::var_os(variable).map_or_else(|| default.to_owned(), PathBuf::from);
    if let Err(error) = std::fs::create_dir_all(&folder) {
        println!("cargo::warning={} cannot be made: {error}", folder.display());
    }
    println!("cargo::rerun-if-changed={}", folder.display());
    println!("cargo::rustc-env={variable}={}", folder.display());
}
