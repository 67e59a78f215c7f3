//! A data set in the files that other trainers read.
//!
//! - [`llama_factory`]: `data.json` and `dataset_info.json`, for supervised fine-tuning.
//! - [`verl`]: `verl.parquet`, for reinforcement learning.

pub mod llama_factory;
pub mod verl;

use std::path::Path;

use loupe_shared::pixels::Rgb8;

use super::DatasetError;
use super::picture::keep;
use super::record::{Record, RecordMessage, RecordRole, View};
use crate::atlas::crop::cut;
use crate::atlas::files::read_png;

/// What stands in a text for a picture, in both.
const IMAGE: &str = "<image>";
/// What takes the place of a mark that was part of the words.
const NO_IMAGE: &str = "<image >";

/// A message's words with a mark for each of its pictures before them.
fn marked(message: &RecordMessage) -> String {
    format!("{}{}", IMAGE.repeat(message.pictures.len()), message.text.replace(IMAGE, NO_IMAGE))
}

fn role(role: RecordRole) -> &'static str {
    match role {
        RecordRole::System => "system",
        RecordRole::User => "user",
        RecordRole::Assistant => "assistant",
    }
}

/// The files of the pictures that some messages show, in order, relative to the folder; a framed part is cut into a file
/// of its own.
fn shown(folder: &Path, record: &Record, messages: &[RecordMessage]) -> Result<Vec<String>, DatasetError> {
    let mut files = Vec::new();
    for view in messages.iter().flat_map(|message| &message.pictures) {
        files.push(match (view, &record.region) {
            (View::Region, Some(region)) => {
                let whole: Rgb8 = read_png(&folder.join(&record.image))?;
                keep(folder, &cut(&whole, region)?)?
            }
            _ => record.image.clone(),
        });
    }
    Ok(files)
}
