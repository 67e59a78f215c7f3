//! What a checkpoint says of itself and of how it ends a turn.

use serde::Deserialize;

use super::files::Files;
use crate::error::Result;

/// Dialect of checkpoints that do not name one: untrained instruct models write JSON tool calls.
const DEFAULT_DIALECT: &str = "tool-call";

/// `loupe.json`: what this project's trainer writes beside the weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The model's name.
    pub name: String,
    /// The dialect it was trained to write.
    pub dialect: String,
    /// What it can and cannot do.
    pub about: String,
}

#[derive(Deserialize)]
struct LoupeJson {
    name: Option<String>,
    dialect: Option<String>,
    #[serde(default)]
    about: String,
}

impl About {
    /// Reads `loupe.json`; a checkpoint without one is named after its folder.
    ///
    /// # Errors
    /// When the file is there but not what it should be.
    pub fn read(files: &Files) -> Result<Self> {
        let found: Option<LoupeJson> =
            files.json_if_present("loupe.json", "an object with name, dialect and about")?;
        let found = found.unwrap_or(LoupeJson { name: None, dialect: None, about: String::new() });
        Ok(Self {
            name: found.name.unwrap_or_else(|| files.name()),
            dialect: found.dialect.unwrap_or_else(|| DEFAULT_DIALECT.into()),
            about: found.about,
        })
    }
}

#[derive(Deserialize)]
struct WithEnd {
    eos_token_id: Option<EndIds>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum EndIds {
    One(u32),
    Many(Vec<u32>),
}

/// The ids that end a turn: those of `generation_config.json`, else of `config.json`; empty when neither names any.
///
/// # Errors
/// When a file is there but not what it should be.
pub fn end_ids(files: &Files) -> Result<Vec<u32>> {
    for name in ["generation_config.json", "config.json"] {
        let found: Option<WithEnd> =
            files.json_if_present(name, "an object with eos_token_id, a number or a list")?;
        match found.and_then(|found| found.eos_token_id) {
            Some(EndIds::One(id)) => return Ok(vec![id]),
            Some(EndIds::Many(ids)) if !ids.is_empty() => return Ok(ids),
            _ => {}
        }
    }
    Ok(Vec::new())
}
