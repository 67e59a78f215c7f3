//! MMSearch-R1's parquet (reference: its `mmsearch_r1` data loader), which is verl's: `prompt` `[{role, content}]`, `images`
//! `[{bytes}]`, `reward_model` `{ground_truth, candidate_answers}` (the latter a list, or one in JSON), `data_source`,
//! `extra_info`. The question is `extra_info.question` where it stands there, else the last user message. The published
//! set has `data_id` beside them, and a `category` that says whether a question needs a search.

use std::path::Path;

use arrow_array::{
    Array, BinaryArray, BooleanArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::super::DatasetError;
use super::super::error::at;
use super::super::file::name;
use super::{BadRow, Draft, Each, Picture, Source, question};

/// Rows that are in memory at a time, with their pictures.
const BATCH: usize = 32;
/// The category of questions that need no search.
const SEARCH_FREE: &str = "search_free";
/// What stands in a prompt for a picture.
const IMAGE: &str = "<image>";

pub(super) fn read(source: &Source, each: &mut Each<'_>) -> Result<(), DatasetError> {
    let path = source.file.as_path();
    let broken = |reason: String| DatasetError::Source { path: path.to_owned(), reason };
    let file = std::fs::File::open(path).map_err(at(path))?;
    // The types of the file itself: whoever wrote it may have noted others beside them.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
        .and_then(|builder| builder.with_batch_size(BATCH).build())
        .map_err(|error| broken(format!("no parquet: {error}")))?;
    let mut number = 0;
    for batch in reader {
        let batch = batch.map_err(|error| broken(format!("after row {number}: {error}")))?;
        let columns =
            Columns::of(&batch).map_err(|row| broken(format!("the column {row}; is --layout right?")))?;
        for at in 0..batch.num_rows() {
            number += 1;
            each(&format!("row {number}"), columns.draft(at, path, number))?;
        }
    }
    Ok(())
}

struct Columns<'a> {
    prompt: &'a ListArray,
    images: &'a ListArray,
    reward: &'a StructArray,
    data_source: Option<&'a StringArray>,
    extra: Option<&'a StructArray>,
    data_id: Option<&'a StringArray>,
    category: Option<&'a StringArray>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, BadRow> {
        Ok(Self {
            prompt: column(batch, "prompt")?,
            images: column(batch, "images")?,
            reward: column(batch, "reward_model")?,
            data_source: column(batch, "data_source").ok(),
            extra: column(batch, "extra_info").ok(),
            data_id: column(batch, "data_id").ok(),
            category: column(batch, "category").ok(),
        })
    }

    fn draft(&self, at: usize, path: &Path, number: usize) -> Result<Draft, BadRow> {
        let mut answers = vec![
            text(self.reward, "ground_truth", at)
                .ok_or_else(|| BadRow::new("reward_model.ground_truth", "is missing"))?,
        ];
        answers.extend(self.candidates(at)?);
        let extra = |name| self.extra.and_then(|extra| text(extra, name, at));
        let index = || {
            let column = self.extra.and_then(|extra| member::<Int64Array>(extra, "index"))?;
            column.is_valid(at).then(|| column.value(at))
        };
        let beside = |column: Option<&'a StringArray>| {
            column.filter(|column| column.is_valid(at)).map(|c| c.value(at))
        };
        let data_id = beside(self.data_id).map(str::to_owned);
        let id = extra("id").or(data_id).or_else(|| Some(index()?.to_string()));
        let from = beside(self.data_source).unwrap_or("mmsearch-r1");
        let asked = extra("question").map_or_else(|| self.asked(at), Ok)?;
        let id = id.unwrap_or_else(|| name(path, number));
        let mut record = question(id, from, &asked, answers);
        if let Some(category) = extra("category") {
            record.category = category;
        }
        let search = self.extra.and_then(|extra| member::<BooleanArray>(extra, "search"));
        record.search = match search.filter(|column| column.is_valid(at)) {
            Some(search) => search.value(at),
            None => beside(self.category) != Some(SEARCH_FREE),
        };
        Ok(Draft { record, picture: self.picture(at)? })
    }

    /// The last thing that the user says, without the marks of pictures.
    fn asked(&self, at: usize) -> Result<String, BadRow> {
        let messages =
            item::<StructArray>(self.prompt, at).ok_or_else(|| BadRow::new("prompt", "is missing"))?;
        let user = (0..messages.len()).rev().find(|i| text(&messages, "role", *i).as_deref() == Some("user"));
        let said = user.and_then(|i| text(&messages, "content", i));
        let said = said.ok_or_else(|| BadRow::new("prompt", "has no message of the user with `content`"))?;
        Ok(said.replace(IMAGE, "").trim().to_owned())
    }

    fn candidates(&self, at: usize) -> Result<Vec<String>, BadRow> {
        let bad = |reason: String| BadRow::new("reward_model.candidate_answers", reason);
        let Some(column) = self.reward.column_by_name("candidate_answers") else { return Ok(Vec::new()) };
        // A column that never held anything has a type of its own.
        if column.logical_nulls().is_some_and(|nulls| nulls.is_null(at)) {
            return Ok(Vec::new());
        }
        if let Some(lists) = column.as_any().downcast_ref::<ListArray>() {
            let list = lists.value(at);
            let texts = list.as_any().downcast_ref::<StringArray>();
            return match texts {
                Some(texts) => Ok(texts.iter().flatten().map(str::to_owned).collect()),
                None if list.is_empty() => Ok(Vec::new()),
                None => Err(bad(format!("is a list of {}, not of texts", list.data_type()))),
            };
        }
        let Some(json) = text(self.reward, "candidate_answers", at) else {
            return Err(bad(format!("holds {}, neither text nor a list of texts", column.data_type())));
        };
        if json.is_empty() {
            return Ok(Vec::new());
        }
        let list: Option<Vec<String>> =
            serde_json::from_str(&json).map_err(|error| bad(format!("is no list in JSON: {error}")))?;
        Ok(list.unwrap_or_default())
    }

    fn picture(&self, at: usize) -> Result<Picture, BadRow> {
        let images = item::<StructArray>(self.images, at).filter(|images| !images.is_empty());
        let images = images
            .ok_or_else(|| BadRow::new("images", "is empty; a picture by address only is not fetched"))?;
        // In a file of our own a framed part follows the whole picture.
        let is_own = self.extra.is_some_and(|extra| member::<BooleanArray>(extra, "search").is_some());
        if images.len() > 1 && !is_own {
            return Err(BadRow::new(
                "images",
                format!("has {}; a question has one picture here", images.len()),
            ));
        }
        let bytes = member::<BinaryArray>(&images, "bytes").filter(|column| column.is_valid(0));
        let bytes = bytes.ok_or_else(|| BadRow::new("images.bytes", "is missing"))?;
        Ok(Picture::Bytes(bytes.value(0).to_vec()))
    }
}

fn column<'a, T: Array + 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a T, BadRow> {
    let column = batch.column_by_name(name).ok_or_else(|| BadRow::new(name, "is missing"))?;
    let kind = || BadRow::new(name, format!("holds {}", column.data_type()));
    column.as_any().downcast_ref().ok_or_else(kind)
}

fn member<'a, T: Array + 'static>(rows: &'a StructArray, name: &str) -> Option<&'a T> {
    rows.column_by_name(name)?.as_any().downcast_ref()
}

/// A text of a row, where it has one.
fn text(rows: &StructArray, name: &str, at: usize) -> Option<String> {
    let column = member::<StringArray>(rows, name)?;
    column.is_valid(at).then(|| column.value(at).to_owned())
}

/// The list of a row, where it has one.
fn item<T: Array + Clone + 'static>(lists: &ListArray, at: usize) -> Option<T> {
    if lists.is_null(at) {
        return None;
    }
    lists.value(at).as_any().downcast_ref().cloned()
}
