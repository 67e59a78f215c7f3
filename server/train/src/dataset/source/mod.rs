//! Questions as others publish them.
//!
//! - [`layout`]: which layout a file has.
//! - `fields`: fields of a JSON row, with their names in every complaint.
//! - `jsonl`: our own rows.
//! - `mmsearch_r1`: MMSearch-R1's parquet, which verl reads as well.
//! - `livevqa`, `okvqa`, `infoseek`: benchmarks as they are published.

mod fields;
mod infoseek;
mod jsonl;
pub mod layout;
mod livevqa;
mod mmsearch_r1;
mod okvqa;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

pub use self::layout::Layout;
use super::DatasetError;
use super::record::{Record, UNLABELLED};

/// A file of questions.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// How it is written.
    pub layout: Layout,
    /// The file of the answers, where they are not with the questions (OK-VQA).
    pub annotations: Option<PathBuf>,
    /// The folder of the pictures; unused where they are in the file itself.
    pub images: PathBuf,
}

/// A question as it was read.
#[derive(Debug)]
pub struct Draft {
    /// The question; its picture is not stored yet, so `image` is empty.
    pub record: Record,
    /// The picture.
    pub picture: Picture,
}

/// A picture as a source gives it.
#[derive(Debug)]
pub enum Picture {
    /// A file.
    File(PathBuf),
    /// The bytes of a file.
    Bytes(Vec<u8>),
}

/// Why a row cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// The field.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl BadRow {
    /// A complaint about a field.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field, self.reason)
    }
}

/// Takes each row with its place in the file, good or bad; an error ends the reading.
pub type Each<'a> = dyn FnMut(&str, Result<Draft, BadRow>) -> Result<(), DatasetError> + 'a;

impl Source {
    /// Reads the rows in the order of the file.
    ///
    /// # Errors
    /// [`DatasetError`] when the file as a whole cannot be read, and what `each` returns.
    pub fn read(&self, each: &mut Each<'_>) -> Result<(), DatasetError> {
        match self.layout {
            Layout::Jsonl => jsonl::read(self, each),
            Layout::MmsearchR1 => mmsearch_r1::read(self, each),
            Layout::LiveVqa => livevqa::read(self, each),
            Layout::OkVqa => okvqa::read(self, each),
            Layout::InfoSeek => infoseek::read(self, each),
        }
    }
}

/// A question from outside, about which nothing else is known.
fn question(id: String, source: &str, question: &str, mut answers: Vec<String>) -> Record {
    let answer = if answers.is_empty() { String::new() } else { answers.remove(0) };
    Record {
        id,
        split: None,
        search: true,
        category: UNLABELLED.to_owned(),
        hops: None,
        evidence: Vec::new(),
        flags: None,
        source: Some(source.to_owned()),
        question: question.to_owned(),
        answer,
        aliases: answers,
        image: String::new(),
        region: None,
        messages: Vec::new(),
    }
}
