//! Fields of a JSON row, with their names in every complaint.

use std::path::Path;

use serde_json::Value;

use super::super::DatasetError;
use super::super::error::at;
use super::BadRow;

/// A file of one JSON value.
pub(super) fn json(path: &Path) -> Result<Value, DatasetError> {
    let bytes = std::fs::read(path).map_err(at(path))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| DatasetError::Source { path: path.to_owned(), reason: format!("no JSON: {error}") })
}

/// A list of rows.
pub(super) fn rows<'a>(path: &Path, json: &'a Value, name: &str) -> Result<&'a [Value], DatasetError> {
    let list = if name.is_empty() { Some(json) } else { json.get(name) };
    let named = if name.is_empty() { "a list".to_owned() } else { format!("a list {name:?}") };
    let reason = format!("it has to hold {named}; is --layout right?");
    list.and_then(Value::as_array)
        .map(Vec::as_slice)
        .ok_or(DatasetError::Source { path: path.to_owned(), reason })
}

/// A row of a file of lines.
pub(super) fn row(line: &[u8]) -> Result<Value, BadRow> {
    serde_json::from_slice(line).map_err(|error| BadRow::new("row", format!("is no JSON: {error}")))
}

/// A field that has to be there.
pub(super) fn field<'a>(row: &'a Value, name: &str) -> Result<&'a Value, BadRow> {
    row.get(name).filter(|value| !value.is_null()).ok_or_else(|| BadRow::new(name, "is missing"))
}

/// A field of words.
pub(super) fn text<'a>(row: &'a Value, name: &str) -> Result<&'a str, BadRow> {
    field(row, name)?.as_str().ok_or_else(|| BadRow::new(name, "is no text"))
}

/// A field of a name or a number.
pub(super) fn name(row: &Value, field_name: &str) -> Result<String, BadRow> {
    match field(row, field_name)? {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(BadRow::new(field_name, "is neither text nor a number")),
    }
}

/// A field of one or several texts.
pub(super) fn texts(row: &Value, name: &str) -> Result<Vec<String>, BadRow> {
    match field(row, name)? {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(list) => list
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(|| BadRow::new(name, "holds no text")))
            .collect(),
        _ => Err(BadRow::new(name, "is neither text nor a list of texts")),
    }
}
