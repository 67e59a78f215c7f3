//! verl's parquet for reinforcement learning, which is MMSearch-R1's as well: `data_source`, `prompt`, `images`, `ability`,
//! `reward_model` and `extra_info`. The prompt is what the agent would say first; the reference answers are in
//! `reward_model`, as MMSearch-R1's scorer reads them.

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Int64Builder, ListBuilder, StringBuilder, StructBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Fields};
use loupe_agent::dialect::{Dialect, QueryContext, ViewSize};
use loupe_shared::pixels::{PixelLimits, smart_resize};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::super::DatasetError;
use super::super::error::at;
use super::super::record::{Record, RecordMessage, RecordRole, View};
use super::{marked, role, shown};
use crate::atlas::files::{read, read_png};
use crate::place::Beside;

/// The file.
pub(super) const FILE: &str = "verl.parquet";
/// Rows that are in memory at a time with their pictures, and bytes of these: a column of a batch holds 2 GiB at most.
const BATCH: usize = 64;
const BATCH_BYTES: u64 = 256 << 20;
/// What verl calls a kind of task.
const ABILITY: &str = "visual_search";
/// verl's word for a reward that a function computes.
const STYLE: &str = "rule";
/// `data_source` of rows that name none.
const OWN: &str = "loupe";

/// How questions are put.
pub struct Prompts<'a> {
    /// What turns are written in.
    pub dialect: &'a dyn Dialect,
    /// What the model sees of a picture.
    pub limits: PixelLimits,
    /// The split's name in `extra_info`.
    pub split: &'a str,
}

/// Writes `verl.parquet` into a data set's folder.
///
/// # Errors
/// [`DatasetError`] when a picture cannot be read or the file cannot be written.
pub fn write(folder: &Path, records: &[Record], prompts: &Prompts<'_>) -> Result<(), DatasetError> {
    let path = folder.join(FILE);
    let failed = |error: ParquetError| at(&path)(std::io::Error::other(error));
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder().set_compression(zstd).build();
    let schema = batch(folder, &[], 0, prompts)?.schema();
    let mut file = Beside::create(&path)?;
    let mut writer = ArrowWriter::try_new(&mut file, schema, Some(properties)).map_err(failed)?;
    let mut rest = records;
    while !rest.is_empty() {
        let (rows, others) = rest.split_at(fitting(folder, rest));
        writer.write(&batch(folder, rows, records.len() - rest.len(), prompts)?).map_err(failed)?;
        writer.flush().map_err(failed)?;
        rest = others;
    }
    writer.close().map_err(failed)?;
    Ok(file.finish()?)
}

/// How many of the next rows make a batch, at least one.
fn fitting(folder: &Path, rows: &[Record]) -> usize {
    let mut bytes = 0;
    let fits = |record: &&Record| {
        let size = std::fs::metadata(folder.join(&record.image)).map_or(0, |about| about.len());
        // A framed part is a picture of its own.
        bytes += size * if record.region.is_some() { 2 } else { 1 };
        bytes <= BATCH_BYTES
    };
    rows.iter().take(BATCH).take_while(fits).count().max(1)
}

fn batch(
    folder: &Path,
    rows: &[Record],
    first: usize,
    prompts: &Prompts<'_>,
) -> Result<RecordBatch, DatasetError> {
    let mut columns = Columns::new();
    for (number, record) in (first..).zip(rows) {
        columns.add(folder, record, number, prompts)?;
    }
    columns.finish().map_err(|error| at(folder)(std::io::Error::other(error)))
}

/// A struct of nullable texts.
fn texts(names: &[&str]) -> Fields {
    names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect()
}

fn image() -> Fields {
    Fields::from(vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)])
}

fn extra() -> Fields {
    let mut fields =
        vec![Field::new("index", DataType::Int64, false), Field::new("search", DataType::Boolean, false)];
    let texts = ["split", "id", "question", "answer", "category"];
    fields.extend(texts.map(|name| Field::new(name, DataType::Utf8, true)));
    Fields::from(fields)
}

struct Columns {
    data_source: StringBuilder,
    prompt: ListBuilder<StructBuilder>,
    images: ListBuilder<StructBuilder>,
    ability: StringBuilder,
    reward_model: StructBuilder,
    extra_info: StructBuilder,
}

impl Columns {
    fn new() -> Self {
        let list = |fields| ListBuilder::new(StructBuilder::from_fields(fields, 0));
        Self {
            data_source: StringBuilder::new(),
            prompt: list(texts(&["role", "content"])),
            images: list(image()),
            ability: StringBuilder::new(),
            reward_model: StructBuilder::from_fields(
                texts(&["style", "ground_truth", "candidate_answers"]),
                0,
            ),
            extra_info: StructBuilder::from_fields(extra(), 0),
        }
    }

    fn add(
        &mut self,
        folder: &Path,
        record: &Record,
        number: usize,
        prompts: &Prompts<'_>,
    ) -> Result<(), DatasetError> {
        let prompt = prompts.prompt(folder, record)?;
        for message in &prompt {
            append(self.prompt.values(), &[role(message.role), &marked(message)]);
        }
        self.prompt.append(true);
        for file in shown(folder, record, &prompt)? {
            let bytes = read(&folder.join(&file))?;
            let images = self.images.values();
            if let Some(column) = images.field_builder::<BinaryBuilder>(0) {
                column.append_value(bytes);
            }
            if let Some(column) = images.field_builder::<StringBuilder>(1) {
                column.append_value(file);
            }
            images.append(true);
        }
        self.images.append(true);
        self.data_source.append_value(record.source.as_deref().unwrap_or(OWN));
        self.ability.append_value(ABILITY);
        let aliases = serde_json::Value::from(record.aliases.clone()).to_string();
        append(&mut self.reward_model, &[STYLE, &record.answer, &aliases]);
        self.add_extra(record, number, prompts.split);
        Ok(())
    }

    fn add_extra(&mut self, record: &Record, number: usize, split: &str) {
        let extra = &mut self.extra_info;
        if let Some(column) = extra.field_builder::<Int64Builder>(0) {
            column.append_value(i64::try_from(number).unwrap_or(i64::MAX));
        }
        if let Some(column) = extra.field_builder::<BooleanBuilder>(1) {
            column.append_value(record.search);
        }
        let words = [split, &record.id, &record.question, &record.answer, &record.category];
        for (at, text) in (2..).zip(words) {
            if let Some(column) = extra.field_builder::<StringBuilder>(at) {
                column.append_value(text);
            }
        }
        extra.append(true);
    }

    fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        let columns: [(&str, ArrayRef); 6] = [
            ("data_source", Arc::new(self.data_source.finish())),
            ("prompt", Arc::new(self.prompt.finish())),
            ("images", Arc::new(self.images.finish())),
            ("ability", Arc::new(self.ability.finish())),
            ("reward_model", Arc::new(self.reward_model.finish())),
            ("extra_info", Arc::new(self.extra_info.finish())),
        ];
        RecordBatch::try_from_iter(columns)
    }
}

/// Adds a row to a struct of texts.
fn append(rows: &mut StructBuilder, row: &[&str]) {
    for (at, text) in row.iter().enumerate() {
        if let Some(column) = rows.field_builder::<StringBuilder>(at) {
            column.append_value(text);
        }
    }
    rows.append(true);
}

impl Prompts<'_> {
    /// What the agent says before the model's first turn.
    fn prompt(&self, folder: &Path, record: &Record) -> Result<Vec<RecordMessage>, DatasetError> {
        let picture = read_png(&folder.join(&record.image))?;
        let (height, width) = smart_resize(picture.height(), picture.width(), self.limits)?;
        let framed = record.region.is_some();
        let context = QueryContext { view: Some(ViewSize { width, height }), framed, lang: None };
        let message = |role, text| RecordMessage { role, text, pictures: Vec::new(), weight: 0.0 };
        let system = self.dialect.system(&context).map(|text| message(RecordRole::System, text));
        let mut asked = message(RecordRole::User, self.dialect.initial_turn(&record.question, &context));
        asked.pictures.push(View::Whole);
        if framed {
            asked.pictures.push(View::Region);
        }
        Ok(system.into_iter().chain([asked]).collect())
    }
}
