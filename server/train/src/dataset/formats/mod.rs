//! A data set in the files that other trainers read.
//!
//! - [`llama_factory`]: `data.json` and `dataset_info.json`, for supervised fine-tuning.
//! - [`verl`]: `verl.parquet`, for reinforcement learning.

pub mod llama_factory;
pub mod verl;

use std::path::Path;

use loupe_shared::pixels::Rgb8;

use super::DatasetError;
use super::error::at;
use super::file::QUESTIONS;
use super::picture::keep;
use super::record::{Record, RecordMessage, RecordRole, View};
use crate::atlas::crop::cut;
use crate::atlas::files::read_png;

/// What stands in a text for a picture, in both.
const IMAGE: &str = "<image>";
/// The files that are written here.
pub(super) const OTHERS: [&str; 3] = [llama_factory::DATA, llama_factory::INFO, verl::FILE];
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

/// Removes what an earlier build wrote for other trainers: it does not belong to the rows of this one.
///
/// # Errors
/// [`DatasetError::File`].
pub(super) fn remove_others(folder: &Path) -> Result<(), DatasetError> {
    // Where no data set is, they are somebody else's.
    if !folder.join(QUESTIONS).is_file() {
        return Ok(());
    }
    for path in OTHERS.map(|name| folder.join(name)) {
        if path.ends_with(llama_factory::INFO) && !llama_factory::is_own(&path) {
            continue;
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(&path)(error)),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_an_earlier_build_go_and_somebody_elses_stay() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let there = || OTHERS.map(|name| folder.path().join(name).exists());
        llama_factory::write(folder.path(), &[]).unwrap();
        put(verl::FILE, "old");
        remove_others(folder.path()).unwrap();
        assert_eq!(there(), [true; 3], "there is no data set");
        put("questions.jsonl", "");
        remove_others(folder.path()).unwrap();
        assert_eq!(there(), [false; 3]);
        put(llama_factory::INFO, r#"{"mine": {"file_name": "mine.json"}}"#);
        remove_others(folder.path()).unwrap();
        assert_eq!(there(), [false, true, false]);
    }
}
