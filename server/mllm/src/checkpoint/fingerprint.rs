//! Which weights a checkpoint has, in few letters: models of one shape and one name are told apart by it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::files::Files;
use super::shards::Shards;
use crate::error::Result;

/// Letters of the hash that are kept.
const LETTERS: usize = 16;

/// A hash over the names and shapes of all tensors in safetensors and the beginning of each: enough to tell weights apart
/// that were trained differently, without reading them all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Of a checkpoint; none where its weights are not in safetensors, or partly in GGUF: other numbers of the same
    /// weights must not count as other weights.
    ///
    /// # Errors
    /// When a file cannot be read or is broken.
    pub fn of(files: &Files) -> Result<Option<Self>> {
        if files.names()?.iter().any(|name| name.ends_with(".gguf")) {
            return Ok(None);
        }
        let Some(shards) = Shards::open(files)? else { return Ok(None) };
        let mut hash = blake3::Hasher::new();
        shards.each_head(|name, shape, head| {
            hash.update(format!("{name} {shape:?}").as_bytes());
            hash.update(head);
        })?;
        Ok(Some(Self(hash.finalize().to_hex()[..LETTERS].to_owned())))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
