//! A model in Hugging Face layout, its weights in safetensors or GGUF, opened and checked.
//!
//! - [`fingerprint`]: which weights it has, in few letters.
//! - [`files`]: where its files lie: a folder, or the program itself.
//! - [`store`]: its weights.
//! - `shards`: weights in safetensors.
//! - `shard`: one safetensors file.
//! - `gguf`: weights as llama.cpp stores them.
//! - `write`: files of one, written.
//! - [`about`]: what `loupe.json` and `generation_config.json` say.

pub mod about;
pub mod files;
pub mod fingerprint;
mod gguf;
pub(crate) mod shard;
pub(crate) mod shards;
pub mod store;
pub(crate) mod write;

pub use about::About;
pub use files::Files;
pub use fingerprint::Fingerprint;
pub use store::Store;
pub use write::write_tensors;

use crate::config::{ModelConfig, ParseError};
use crate::error::{Error, Result};

const CONFIG: &str = "config.json";

/// Reads and checks `config.json`.
///
/// # Errors
/// When it is missing, of another architecture, contradictory or not supported.
pub fn read_config(files: &Files) -> Result<ModelConfig> {
    gguf::check_companions(files)?;
    let json = files.read(CONFIG, "the model's shape in Hugging Face layout")?;
    ModelConfig::parse(&json).map_err(|error| match error {
        ParseError::Architecture(found) => Error::UnknownArchitecture { file: files.path(CONFIG), found },
        ParseError::Field(error) => {
            Error::BadFile { file: files.path(CONFIG), problem: error.problem, expected: error.expected }
        }
    })
}
