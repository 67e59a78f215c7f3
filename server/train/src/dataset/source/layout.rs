//! Which layout a file of questions has.

use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use super::super::DatasetError;
use super::super::error::at;

/// How a file of questions is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Our own rows: `{"question", "answer", "image", …}`.
    Jsonl,
    /// MMSearch-R1's parquet.
    MmsearchR1,
    /// LiveVQA's benchmark.json.
    LiveVqa,
    /// OK-VQA's questions, with the answers in a second file.
    OkVqa,
    /// InfoSeek's rows.
    InfoSeek,
}

impl Layout {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Jsonl, Self::MmsearchR1, Self::LiveVqa, Self::OkVqa, Self::InfoSeek];

    /// Its name on the command line and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::MmsearchR1 => "mmsearch-r1",
            Self::LiveVqa => "livevqa",
            Self::OkVqa => "okvqa",
            Self::InfoSeek => "infoseek",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.as_str() == name)
    }

    /// Looks at the name and the beginning of a file.
    ///
    /// # Errors
    /// [`DatasetError::Source`] where that says nothing; [`DatasetError::File`].
    pub fn guess(path: &Path) -> Result<Self, DatasetError> {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        let guessed = match extension.to_str() {
            Some("parquet") => Some(Self::MmsearchR1),
            Some("json") => Self::of_json(path)?,
            _ => Self::of_line(path)?,
        };
        let names = Self::ALL.map(Self::as_str).join(", ");
        let reason = format!("its layout cannot be told; give --layout one of {names}");
        guessed.ok_or(DatasetError::Source { path: path.to_owned(), reason })
    }

    fn of_json(path: &Path) -> Result<Option<Self>, DatasetError> {
        let bytes = std::fs::read(path).map_err(at(path))?;
        let Ok(json) = serde_json::from_slice::<Value>(&bytes) else { return Ok(None) };
        if json.get("questions").is_some_and(Value::is_array) {
            return Ok(Some(Self::OkVqa));
        }
        let first = json.get(0);
        Ok(first.filter(|row| row.get("level1_qa").is_some()).map(|_| Self::LiveVqa))
    }

    fn of_line(path: &Path) -> Result<Option<Self>, DatasetError> {
        let mut first = Vec::new();
        let mut lines = BufReader::new(std::fs::File::open(path).map_err(at(path))?);
        lines.read_until(b'\n', &mut first).map_err(at(path))?;
        let Ok(row) = serde_json::from_slice::<Value>(&first) else { return Ok(None) };
        if row.get("data_id").is_some() {
            return Ok(Some(Self::InfoSeek));
        }
        Ok(row.get("question").map(|_| Self::Jsonl))
    }
}
