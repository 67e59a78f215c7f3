//! An evaluation's folder: what was decided already, and with which settings.
//!
//! `settings.json` is written when the folder is first used; `rows.jsonl` gets a line for every question as soon as it is
//! decided. So a killed evaluation goes on where it was, and one with other settings is refused.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use loupe_shared::protocol::Workflow;
use serde::{Deserialize, Serialize};

use super::error::{EvalError, at};
use super::scored::Scored;
use crate::dataset::record::Record;
use crate::lines::Lines;
use crate::place::write_json;

/// Everything that decides what is answered, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(pub BTreeMap<String, String>);

/// A name with its values; none where it has none.
pub(crate) type Difference<'a> = (&'a str, Option<&'a String>, Option<&'a String>);

impl Settings {
    /// The names whose values differ, with both values.
    pub(crate) fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Difference<'a>> {
        let names: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let both = |name: &'a String| (name.as_str(), self.0.get(name), other.0.get(name));
        names.into_iter().map(both).filter(|(_, own, others)| own != others)
    }
}

/// An evaluation's folder.
#[derive(Debug)]
pub struct Session {
    lines: Lines,
    rows: HashMap<(Workflow, String), Scored>,
}

impl Session {
    /// Opens a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`EvalError::OtherSettings`] where it holds rows of other settings, [`EvalError::Lines`] where another process
    /// writes into it, and others where its files cannot be read or written.
    pub fn open(dir: &Path, settings: &Settings) -> Result<Self, EvalError> {
        std::fs::create_dir_all(dir).map_err(at(dir))?;
        let path = dir.join("rows.jsonl");
        let (lines, rows) = Lines::open::<Scored>(&path)?;
        check_settings(dir, settings, rows.is_empty())?;
        let rows = rows.into_iter().map(|row| ((row.workflow, row.id.clone()), row)).collect();
        Ok(Self { lines, rows })
    }

    /// How many rows are decided.
    #[must_use]
    pub fn decided(&self) -> usize {
        self.rows.len()
    }

    /// Whether a question is decided.
    #[must_use]
    pub fn has(&self, workflow: Workflow, id: &str) -> bool {
        self.rows.contains_key(&(workflow, id.to_owned()))
    }

    /// Keeps a row.
    ///
    /// # Errors
    /// [`EvalError::Lines`].
    pub fn add(&mut self, row: Scored) -> Result<(), EvalError> {
        self.lines.add(&row)?;
        self.rows.insert((row.workflow, row.id.clone()), row);
        Ok(())
    }

    /// The rows of a workflow, in the order of `records`.
    #[must_use]
    pub fn rows(&self, workflow: Workflow, records: &[Record]) -> Vec<Scored> {
        let row = |record: &Record| self.rows.get(&(workflow, record.id.clone())).cloned();
        records.iter().filter_map(row).collect()
    }
}

/// Compares the settings with the folder's; a folder without rows takes the new ones.
fn check_settings(dir: &Path, settings: &Settings, is_new: bool) -> Result<(), EvalError> {
    let path = dir.join("settings.json");
    if is_new {
        return Ok(write_json(&path, settings)?);
    }
    let bytes = std::fs::read(&path).map_err(at(&path))?;
    let there: Settings = serde_json::from_slice(&bytes).map_err(at(&path))?;
    let value = |value: Option<&String>| value.map_or("nothing".to_owned(), |value| format!("{value:?}"));
    let told = |(name, there, now)| format!("{name}: {} there, {} now", value(there), value(now));
    let differences: Vec<String> = there.differing(settings).map(told).collect();
    if differences.is_empty() {
        return Ok(());
    }
    Err(EvalError::OtherSettings { path: dir.to_owned(), differences: differences.join("; ") })
}
