//! What came of a build: report.json for programs, report.md and bar charts for people.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use loupe_shared::protocol::Tool;
use serde::Serialize;

use super::DatasetError;
use super::error::at;
use super::plots::plots;
use super::record::{Record, RecordRole};
use super::source::BadRow;
use super::teacher::Call;
use crate::place::{write, write_json};

/// What some rows are like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Mix {
    /// Rows.
    pub rows: u64,
    /// Of these, those that need no search.
    pub search_free: u64,
    /// Rows by category.
    pub categories: BTreeMap<String, u64>,
}

impl Mix {
    /// Of some rows.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut mix = Self::default();
        records.into_iter().for_each(|record| mix.add(record));
        mix
    }

    /// Counts a row.
    pub(super) fn add(&mut self, record: &Record) {
        self.rows += 1;
        self.search_free += u64::from(!record.search);
        *self.categories.entry(record.category.clone()).or_default() += 1;
    }
}

/// What a trajectory searched.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Searches {
    pub(super) by_words: usize,
    pub(super) by_picture: usize,
    /// Whether one by picture was for a part of it.
    pub(super) of_a_part: bool,
}

impl Searches {
    fn kind(self) -> &'static str {
        match (self.by_picture, self.by_words) {
            (0, 0) => "none",
            (0, 1) => "one text search",
            (0, _) => "several text searches",
            (_, 0) if self.of_a_part => "a part of the picture",
            (_, 0) => "the whole picture",
            _ if self.of_a_part => "a part and text",
            _ => "the whole and text",
        }
    }
}

impl From<&[Call]> for Searches {
    fn from(calls: &[Call]) -> Self {
        let by_words = calls.iter().filter(|call| call.tool == Tool::TextSearch).count();
        let of_a_part = calls.iter().any(Call::is_crop);
        Self { by_words, by_picture: calls.len() - by_words, of_a_part }
    }
}

/// The rows that were left out, beside the report.
pub(super) const DROPPED: &str = "dropped.jsonl";

/// A row that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its name, where it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where it stands in the source, where it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Why, as in the report.
    pub reason: String,
    /// The same in more words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl LeftOut {
    /// A row that could be read.
    pub(super) fn row(record: &Record, reason: &str) -> Self {
        Self { id: Some(record.id.clone()), place: None, reason: reason.to_owned(), detail: None }
    }

    /// A row that does not fit.
    pub(super) fn bad(place: &str, row: &BadRow) -> Self {
        let (place, detail) = (Some(place.to_owned()), Some(row.to_string()));
        Self { id: None, place, reason: bad_row(&row.field), detail }
    }
}

/// Why a row is left out of which a field does not fit.
fn bad_row(field: &str) -> String {
    format!("bad row: {field}")
}

/// What a build found and wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The source's layout, or `atlas`.
    pub layout: String,
    /// The teacher or the oracle, where there was one.
    pub teacher: Option<String>,
    /// Rows in the source.
    pub read: u64,
    /// Rows left out because of a field that does not fit.
    pub bad: BTreeMap<String, u64>,
    /// Rows left out for another reason.
    pub dropped: BTreeMap<String, u64>,
    /// Which rows these are, but for those that were not drawn.
    #[serde(skip)]
    pub left_out: Vec<LeftOut>,
    /// Questions that were written.
    pub questions: u64,
    /// Trajectories that were written.
    pub trajectories: u64,
    /// What could be chosen from.
    pub before: Mix,
    /// What was chosen.
    pub after: Mix,
    /// Chosen trajectories by their turns.
    pub turns: BTreeMap<String, u64>,
    /// Chosen trajectories by their searches.
    pub tools: BTreeMap<String, u64>,
}

impl Report {
    /// Counts a chosen trajectory.
    pub(super) fn add(&mut self, record: &Record, searches: Searches) {
        let turns = record.messages.iter().filter(|message| message.role == RecordRole::Assistant).count();
        *self.turns.entry(format!("{turns:02}")).or_default() += 1;
        *self.tools.entry(searches.kind().to_owned()).or_default() += 1;
    }

    /// Everything that was left out, by reason.
    pub(super) fn reasons(&self) -> BTreeMap<String, u64> {
        let bad = self.bad.iter().map(|(field, count)| (bad_row(field), *count));
        self.dropped.clone().into_iter().chain(bad).collect()
    }

    /// Counts a row that was left out.
    pub(super) fn leave_out(&mut self, row: LeftOut) {
        *self.dropped.entry(row.reason.clone()).or_default() += 1;
        self.left_out.push(row);
    }

    /// Writes `report.json`, `report.md`, the charts and the rows that were left out into a folder.
    ///
    /// # Errors
    /// [`DatasetError::File`].
    pub fn write(&self, folder: &Path) -> Result<(), DatasetError> {
        for (name, plot) in plots(self) {
            write(&folder.join(name), plot.as_bytes())?;
        }
        write(&folder.join("report.md"), self.markdown().as_bytes())?;
        self.write_left_out(&folder.join(DROPPED))?;
        Ok(write_json(&folder.join("report.json"), self)?)
    }

    fn write_left_out(&self, path: &Path) -> Result<(), DatasetError> {
        let mut lines = Vec::new();
        for row in &self.left_out {
            serde_json::to_writer(&mut lines, row).map_err(|error| at(path)(error.into()))?;
            lines.push(b'\n');
        }
        Ok(write(path, &lines)?)
    }

    /// The report for people.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "# Data set\n\nFrom `{}`, {} rows; teacher: {}.\nWritten: {} questions, {} trajectories.\n",
            self.layout,
            self.read,
            self.teacher.as_deref().unwrap_or("none"),
            self.questions,
            self.trajectories
        );
        table(&mut text, "Left out", "dropped.svg", self.reasons().into_iter());
        let free = |mix: &Mix| format!("{} of {}", mix.search_free, mix.rows);
        // Writing into a String cannot fail.
        writeln!(
            text,
            "\n## Categories\n\n![](categories.svg)\n\n| category | before | chosen |\n|---|---|---|\n\
             | *search-free* | {} | {} |",
            free(&self.before),
            free(&self.after)
        )
        .ok();
        for (category, count) in &self.before.categories {
            let chosen = self.after.categories.get(category).copied().unwrap_or_default();
            writeln!(text, "| {} | {count} | {chosen} |", category.replace('|', "/")).ok();
        }
        table(
            &mut text,
            "Turns",
            "turns.svg",
            self.turns.iter().map(|(turns, count)| (turns.clone(), *count)),
        );
        table(
            &mut text,
            "Searches",
            "tools.svg",
            self.tools.iter().map(|(kind, count)| (kind.clone(), *count)),
        );
        text
    }
}

/// A chart and a table; nothing where there are no rows.
fn table(text: &mut String, title: &str, chart: &str, rows: impl Iterator<Item = (String, u64)>) {
    let lines: String = rows.map(|(name, count)| format!("| {name} | {count} |\n")).collect();
    if !lines.is_empty() {
        // Writing into a String cannot fail.
        write!(text, "\n## {title}\n\n![]({chart})\n\n| | rows |\n|---|---|\n{lines}").ok();
    }
}
