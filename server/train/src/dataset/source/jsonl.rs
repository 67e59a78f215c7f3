//! Our own rows: [`Record`]s, of which `question`, `answer` and `image` are enough.

use super::super::DatasetError;
use super::super::file::name;
use super::super::record::Record;
use super::fields::lines;
use super::{BadRow, Draft, Each, Picture, Source};

pub(super) fn read(source: &Source, each: &mut Each<'_>) -> Result<(), DatasetError> {
    lines(&source.file, &mut |number, line| {
        let draft = serde_json::from_slice::<Record>(line).map_err(|error| complaint(&error.to_string()));
        let draft = draft.map(|mut record| {
            if record.id.is_empty() {
                record.id = name(&source.file, number);
            }
            let picture = Picture::File(source.images.join(std::mem::take(&mut record.image)));
            Draft { record, picture }
        });
        each(&format!("line {number}"), draft)
    })
}

/// Serde names the field between backticks, where it knows it.
fn complaint(message: &str) -> BadRow {
    let field = message.split('`').nth(1).unwrap_or("row");
    BadRow::new(field, format!("does not fit: {message}"))
}
