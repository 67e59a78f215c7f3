//! What was decided about each row, written down at once: a build that was killed goes on where it was, and asks nothing
//! twice.
//!
//! The file is JSON lines that are only ever appended to. Its first line says who decides, and how. Rows on which the
//! teacher failed stand there as well: they are asked again, after all others. A last line without an end was being
//! written when the build was killed, and is cut off.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::DatasetError;
use super::error::at;
use super::record::{Record, RecordMessage};
use super::teacher::Call;
use crate::lines::Lines;

/// Who decides, and how. Decisions of another are of no use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The teacher's name.
    pub teacher: String,
    /// What its turns are written in.
    pub dialect: String,
    /// Turns within which it has to answer.
    pub max_turns: u32,
    /// What text and pictures are searched with, as it was given.
    pub tools: String,
    /// The categories to choose from, where it labels.
    pub categories: Vec<String>,
}

/// What was decided about a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "lowercase")]
pub enum Decision {
    /// It stays, with the conversation that answers it.
    Kept {
        /// The conversation.
        messages: Vec<RecordMessage>,
        /// The searches in it.
        calls: Vec<Call>,
        /// The teacher's category, where it was asked for one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        category: Option<String>,
    },
    /// It does not.
    Dropped {
        /// Why, as in the report.
        reason: String,
        /// The same in more words.
        detail: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Row {
        key: String,
        #[serde(flatten)]
        decision: Decision,
    },
    Failed {
        key: String,
        failed: String,
        detail: String,
    },
    Header(Header),
}

/// The decisions of a build.
pub struct Decisions {
    lines: Lines,
    decided: HashMap<String, Decision>,
    /// Rows on which the teacher failed at least once.
    failed: HashSet<String>,
}

impl Decisions {
    /// Opens the decisions of a build, or begins them.
    ///
    /// # Errors
    /// [`DatasetError::Decisions`] when another decided, [`DatasetError::Lines`] when a line cannot be read or another build
    /// writes there, and [`DatasetError::File`].
    pub fn open(path: &Path, header: &Header) -> Result<Self, DatasetError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(at(folder))?;
        }
        let (mut lines, read) = Lines::open(path)?;
        let mut read = read.into_iter();
        match read.next() {
            None => lines.add(&Line::Header(header.clone()))?,
            Some(Line::Header(known)) if known == *header => {}
            Some(_) => return Err(DatasetError::Decisions { path: path.to_owned() }),
        }
        let (mut decided, mut failed) = (HashMap::new(), HashSet::new());
        for line in read {
            match line {
                Line::Row { key, decision } => {
                    decided.insert(key, decision);
                }
                Line::Failed { key, .. } => {
                    failed.insert(key);
                }
                Line::Header(_) => {}
            }
        }
        Ok(Self { lines, decided, failed })
    }

    /// What was decided about a row, if it was.
    #[must_use]
    pub fn get(&self, record: &Record) -> Option<&Decision> {
        self.decided.get(&key(record))
    }

    /// Whether nothing was decided yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.decided.is_empty()
    }

    /// Whether the teacher failed on a row before.
    #[must_use]
    pub fn has_failed(&self, record: &Record) -> bool {
        self.failed.contains(&key(record))
    }

    /// Writes a decision down.
    ///
    /// # Errors
    /// [`DatasetError::Lines`].
    pub fn decide(&mut self, record: &Record, decision: Decision) -> Result<(), DatasetError> {
        let key = key(record);
        self.lines.add(&Line::Row { key: key.clone(), decision: decision.clone() })?;
        self.decided.insert(key, decision);
        Ok(())
    }

    /// Writes down that the teacher failed on a row. It counts as dropped until the build ends; the next one asks again.
    ///
    /// # Errors
    /// [`DatasetError::Lines`].
    pub fn fail(&mut self, record: &Record, reason: String, detail: String) -> Result<(), DatasetError> {
        let key = key(record);
        if self.failed.insert(key.clone()) {
            let (failed, detail) = (reason.clone(), detail.clone());
            self.lines.add(&Line::Failed { key: key.clone(), failed, detail })?;
        }
        self.decided.insert(key, Decision::Dropped { reason, detail });
        Ok(())
    }
}

/// What a decision hangs on: the same question about the same picture with the same answer is the same row.
fn key(record: &Record) -> String {
    let asked = (&record.question, &record.answer, &record.aliases, &record.image, &record.region);
    let text = serde_json::to_string(&asked).unwrap_or_default();
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(max_turns: u32) -> Header {
        let [teacher, dialect, tools] = ["t", "deepmm", "local"].map(str::to_owned);
        Header { teacher, dialect, max_turns, tools, categories: Vec::new() }
    }

    fn row(question: &str) -> Record {
        serde_json::from_value(serde_json::json!({"question": question, "answer": "a", "image": "b"}))
            .unwrap()
    }

    fn dropped(reason: &str) -> Decision {
        Decision::Dropped { reason: reason.to_owned(), detail: String::new() }
    }

    #[test]
    fn a_file_that_ends_anywhere_loses_its_torn_line_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("decisions.jsonl");
        let mut decisions = Decisions::open(&path, &header(10)).unwrap();
        let kept =
            Decision::Kept { messages: Vec::new(), calls: Vec::new(), category: Some("art".to_owned()) };
        decisions.decide(&row("one"), dropped("wrong_answer")).unwrap();
        decisions.decide(&row("two"), kept.clone()).unwrap();
        drop(decisions);
        let whole = std::fs::read(&path).unwrap();
        let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
        for end in 0..=whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let mut again = Decisions::open(&path, &header(10)).unwrap();
            let expected =
                [(ends[1], row("one"), dropped("wrong_answer")), (ends[2], row("two"), kept.clone())];
            for (at, row, decision) in expected {
                assert_eq!(again.get(&row), (end > at).then_some(&decision), "cut at {end}");
                if end <= at {
                    again.decide(&row, decision).unwrap();
                }
            }
            assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {end}");
        }
    }

    #[test]
    fn a_failure_is_no_decision_and_stands_there_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("decisions.jsonl");
        let (one, two) = (row("one"), row("two"));
        for _ in 0..2 {
            let mut decisions = Decisions::open(&path, &header(10)).unwrap();
            assert!(decisions.is_empty() && decisions.get(&one).is_none());
            decisions.fail(&one, "timeout".to_owned(), "60 s".to_owned()).unwrap();
            assert!(decisions.get(&one).is_some());
        }
        let mut decisions = Decisions::open(&path, &header(10)).unwrap();
        assert!(decisions.has_failed(&one) && !decisions.has_failed(&two));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        decisions.decide(&one, dropped("wrong_answer")).unwrap();
        drop(decisions);
        let decisions = Decisions::open(&path, &header(10)).unwrap();
        assert_eq!(decisions.get(&one), Some(&dropped("wrong_answer")));
    }

    #[test]
    fn decisions_of_another_are_refused_and_a_broken_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("decisions.jsonl");
        drop(Decisions::open(&path, &header(10)).unwrap());
        let error = Decisions::open(&path, &header(9)).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("another teacher"), "{error}");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}{{\"key\"\n")).unwrap();
        let error = Decisions::open(&path, &header(10)).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
