//! InfoSeek (arXiv 2302.11713) as its repository publishes it, `infoseek_{train,val}.jsonl`: `{"data_id", "image_id":
//! "oven_00057589", "question", "answer": […], "answer_eval": […], "data_split"}`. `answer_eval` holds what counts as
//! right; for a number it is `{"wikidata": 176.1, "range": [low, high]}`, of which the number is taken and the range, which
//! the rule judge does not know, is left.
//!
//! Pictures are OVEN's, `oven_00057589.jpg`, in one folder or in folders named after the first two digits.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::DatasetError;
use super::fields::{field, lines, name, row, text, texts};
use super::{BadRow, Draft, Each, Picture, Source, question};

const EXTENSIONS: [&str; 5] = ["jpg", "JPEG", "jpeg", "png", "webp"];

pub(super) fn read(source: &Source, each: &mut Each<'_>) -> Result<(), DatasetError> {
    lines(&source.file, &mut |number, line| {
        each(&format!("line {number}"), row(line).and_then(|row| draft(source, &row)))
    })
}

fn draft(source: &Source, row: &Value) -> Result<Draft, BadRow> {
    let mut answers = texts(row, "answer")?;
    if row.get("answer_eval").is_some_and(|value| !value.is_null()) {
        answers.extend(accepted(row)?);
    }
    let record = question(name(row, "data_id")?, "infoseek", text(row, "question")?, answers);
    Ok(Draft { record, picture: Picture::File(picture(&source.images, text(row, "image_id")?)) })
}

fn accepted(row: &Value) -> Result<Vec<String>, BadRow> {
    let one = std::slice::from_ref(field(row, "answer_eval")?);
    let list = row.get("answer_eval").and_then(Value::as_array).map_or(one, Vec::as_slice);
    list.iter()
        .map(|form| match form {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Object(_) => name(form, "wikidata")
                .map_err(|row| BadRow::new("answer_eval", format!("does not fit: {row}"))),
            _ => Err(BadRow::new("answer_eval", "holds neither text nor a number")),
        })
        .collect()
}

/// The file that there is, or the first that was looked for.
fn picture(folder: &Path, id: &str) -> PathBuf {
    let shard = id.strip_prefix("oven_").and_then(|digits| digits.get(..2)).unwrap_or_default();
    let folders = [folder.to_owned(), folder.join(shard)];
    let mut candidates = folders.iter().flat_map(|at| EXTENSIONS.map(|end| at.join(format!("{id}.{end}"))));
    candidates.find(|path| path.is_file()).unwrap_or_else(|| folder.join(format!("{id}.jpg")))
}
