//! What an evaluation found: report.json for programs, report.md and plots for people. It follows from the rows alone.
//!
//! - [`group`]: groups of questions.
//! - [`summary`]: one workflow's numbers.
//! - `markdown`: report.md.
//! - `plots`: the plots.

pub mod group;
mod markdown;
mod plots;
pub mod summary;

use std::path::Path;

use loupe_shared::protocol::Workflow;
use serde::Serialize;

use super::error::{EvalError, at};
use super::scored::Scored;
use super::session::Settings;
pub(crate) use markdown::table as markdown_table;
use summary::{Prices, Summary};

use crate::place::write;

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The model's name.
    pub model: String,
    /// The data set's file.
    pub data: String,
    /// What decided the answers.
    pub settings: Settings,
    /// What was paid, where prices are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// By workflow.
    pub workflows: Vec<Part>,
}

/// What was found with a workflow.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Which.
    pub workflow: Workflow,
    /// Its numbers.
    pub summary: Summary,
    /// Its questions.
    pub rows: Vec<Scored>,
}

impl Part {
    /// The workflow's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        name(self.workflow)
    }
}

/// A workflow's name.
#[must_use]
pub fn name(workflow: Workflow) -> &'static str {
    match workflow {
        Workflow::Direct => "direct",
        Workflow::Rag => "rag",
        Workflow::Agent => "agent",
    }
}

impl Report {
    /// Starts without any workflow.
    #[must_use]
    pub fn new(model: &str, data: &str, settings: Settings, prices: Option<Prices>) -> Self {
        Self { model: model.to_owned(), data: data.to_owned(), settings, prices, workflows: Vec::new() }
    }

    /// Adds a workflow's rows.
    pub fn add(&mut self, workflow: Workflow, rows: Vec<Scored>) {
        let summary = Summary::of(&rows, self.prices);
        self.workflows.push(Part { workflow, summary, rows });
    }

    /// Writes report.json, report.md and the plots into a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`EvalError::File`].
    pub fn write(&self, dir: &Path) -> Result<(), EvalError> {
        let json = serde_json::to_string_pretty(self).map_err(at(&dir.join("report.json")))?;
        let mut files = plots::plots(self);
        files.push(("report.md", self.markdown()));
        files.push(("report.json", json + "\n"));
        for (name, text) in files {
            write(&dir.join(name), text.as_bytes())?;
        }
        Ok(())
    }

    /// The report for people.
    #[must_use]
    pub fn markdown(&self) -> String {
        markdown::markdown(self)
    }
}
