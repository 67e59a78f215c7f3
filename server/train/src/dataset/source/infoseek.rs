//! InfoSeek (arXiv 2302.11713) as its repository publishes it, `infoseek_{train,val}.jsonl`: `{"data_id", "image_id":
//! "oven_00057589", "question", "answer": […], "answer_eval": […], "data_split"}`. `answer_eval` holds what counts as
//! right; for a number it is `{"wikidata": 176.1, "range": [low, high]}`, which becomes the number and "low to high".
//!
//! Pictures are OVEN's, `oven_00057589.jpg`, in one folder or in folders named after the first two digits.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::DatasetError;
use super::super::file::lines;
use super::fields::{field, name, row, text, texts};
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
    let mut forms = Vec::new();
    for form in list {
        match form {
            Value::String(text) => forms.push(text.clone()),
            Value::Number(number) => forms.push(number.to_string()),
            Value::Object(_) => {
                let number = name(form, "wikidata");
                forms.push(number.map_err(|row| BadRow::new("answer_eval", format!("does not fit: {row}")))?);
                forms.extend(range(form)?);
            }
            _ => return Err(BadRow::new("answer_eval", "holds neither text nor a number")),
        }
    }
    Ok(forms)
}

/// The range within which a number is right, where there is one, as the judge reads it.
fn range(form: &Value) -> Result<Option<String>, BadRow> {
    let Some(range) = form.get("range").filter(|range| !range.is_null()) else { return Ok(None) };
    let ends: Option<Vec<f64>> = range.as_array().map(|ends| ends.iter().filter_map(Value::as_f64).collect());
    match ends.as_deref() {
        Some([low, high]) => Ok(Some(format!("{low} to {high}"))),
        _ => Err(BadRow::new("answer_eval", "has a `range` that is no two numbers")),
    }
}

/// The file that there is, or the first that was looked for.
fn picture(folder: &Path, id: &str) -> PathBuf {
    let shard = id.strip_prefix("oven_").and_then(|digits| digits.get(..2)).unwrap_or_default();
    let folders = [folder.to_owned(), folder.join(shard)];
    let mut candidates = folders.iter().flat_map(|at| EXTENSIONS.map(|end| at.join(format!("{id}.{end}"))));
    candidates.find(|path| path.is_file()).unwrap_or_else(|| folder.join(format!("{id}.jpg")))
}
