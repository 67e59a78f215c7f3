//! LLaMA-Factory's sharegpt layout with pictures: `data.json`, and the `dataset_info.json` that names its columns. The
//! data set's folder is its `dataset_dir`; pictures are relative to it. Tools' results are user turns, which LLaMA-Factory
//! does not train on.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::super::DatasetError;
use super::super::error::at;
use super::super::record::{Record, RecordRole};
use super::{marked, role, shown};
use crate::place::{Beside, write_json};

/// The name of the data set in `dataset_info.json`.
pub const NAME: &str = "loupe";
/// The files.
pub(super) const DATA: &str = "data.json";
pub(super) const INFO: &str = "dataset_info.json";

#[derive(Serialize)]
struct Row {
    messages: Vec<Message>,
    images: Vec<String>,
}

#[derive(Serialize)]
struct Message {
    role: &'static str,
    content: String,
}

/// Writes the conversations of a data set into its folder; returns how many there are. Rows without a conversation, and
/// those in which user and model do not take turns, are left out: LLaMA-Factory would skip them with a warning.
///
/// # Errors
/// [`DatasetError`] when a picture cannot be cut or a file cannot be written.
pub fn write(folder: &Path, records: &[Record]) -> Result<u64, DatasetError> {
    let path = folder.join(DATA);
    let mut file = Beside::create(&path)?;
    let mut written = 0;
    for record in records.iter().filter(|record| takes_turns(record)) {
        let row = row(folder, record)?;
        let line = serde_json::to_string(&row).map_err(|error| at(&path)(error.into()))?;
        write!(file, "{}{line}", if written == 0 { "[\n" } else { ",\n" }).map_err(at(&path))?;
        written += 1;
    }
    writeln!(file, "{}", if written == 0 { "[]" } else { "\n]" }).map_err(at(&path))?;
    file.finish()?;
    write_json(&folder.join(INFO), &info())?;
    Ok(written)
}

/// Whether a `dataset_info.json` is as it is written here; people add data sets of their own to it.
pub(super) fn is_own(path: &Path) -> bool {
    let there = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    there.is_some_and(|there: serde_json::Value| there == info())
}

fn info() -> serde_json::Value {
    json!({
        NAME: {
            "file_name": DATA,
            "formatting": "sharegpt",
            "columns": { "messages": "messages", "images": "images" },
            "tags": {
                "role_tag": "role",
                "content_tag": "content",
                "user_tag": "user",
                "assistant_tag": "assistant",
                "system_tag": "system",
            },
        },
    })
}

fn row(folder: &Path, record: &Record) -> Result<Row, DatasetError> {
    let message = |message| Message { role: role(message), content: String::new() };
    let messages =
        record.messages.iter().map(|m| Message { content: marked(m), ..message(m.role) }).collect();
    Ok(Row { messages, images: shown(folder, record, &record.messages)? })
}

/// Whether the user begins and the model ends, after at most one message of the system.
fn takes_turns(record: &Record) -> bool {
    let said = record.messages.iter().map(|message| message.role);
    let turns: Vec<RecordRole> = said
        .enumerate()
        .filter(|(at, role)| *at > 0 || *role != RecordRole::System)
        .map(|(_, role)| role)
        .collect();
    let due = [RecordRole::User, RecordRole::Assistant].into_iter().cycle();
    !turns.is_empty()
        && turns.len().is_multiple_of(2)
        && turns.iter().zip(due).all(|(role, due)| *role == due)
}
