//! What an evaluation found: report.json for programs, report.md for people.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::run::{EvalError, Scored};
use super::tally::Tally;

/// One workflow's numbers. All shares are of right answers unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Every question.
    pub all: Tally,
    /// Questions that have to be searched for: all scenes, all hops.
    pub searched: Tally,
    /// Of these, scenes with one flag and one page to read.
    pub one_flag_one_hop: Tally,
    /// Questions that the picture answers.
    pub search_free: Tally,
    /// Searched ones by pages to read.
    pub by_hops: BTreeMap<u32, Tally>,
    /// Searched ones by flags in the picture.
    pub by_flags: BTreeMap<u32, Tally>,
    /// By category.
    pub by_category: BTreeMap<String, Tally>,
    /// Turns of valid grammar.
    pub grammar: Tally,
    /// Boxes that can be read.
    pub boxes: Tally,
    /// Questions for which a search was made exactly where one is needed.
    pub tool_use: Tally,
    /// Searches by picture, by words, and failed ones.
    pub searches: [u64; 3],
    /// Runs without an answer, by reason.
    pub failures: BTreeMap<String, u64>,
    /// Seconds a run took, on average.
    pub seconds: f64,
}

impl Summary {
    /// Of all rows of a workflow.
    #[must_use]
    pub fn of(rows: &[Scored]) -> Self {
        let mut summary = Self::default();
        for row in rows {
            summary.add(row);
        }
        let seconds: f64 = rows.iter().map(|row| row.seconds).sum();
        summary.seconds = seconds / (rows.len().max(1)) as f64;
        summary
    }

    fn add(&mut self, row: &Scored) {
        self.all.add(row.right);
        self.by_category.entry(row.category.clone()).or_default().add(row.right);
        if row.search {
            self.searched.add(row.right);
            self.by_hops.entry(row.hops).or_default().add(row.right);
            self.by_flags.entry(row.flags).or_default().add(row.right);
            if row.flags == 1 && row.hops == 1 {
                self.one_flag_one_hop.add(row.right);
            }
        } else {
            self.search_free.add(row.right);
        }
        let did_search = row.searches.image + row.searches.text > 0;
        self.tool_use.add(did_search == row.search);
        for (sum, more) in [(&mut self.grammar, row.valid_turns), (&mut self.boxes, row.boxes)] {
            sum.right += more.right;
            sum.all += more.all;
        }
        let searches = [row.searches.image, row.searches.text, row.searches.failed];
        for (sum, more) in self.searches.iter_mut().zip(searches) {
            *sum += u64::from(more);
        }
        if let Some(failure) = &row.failure {
            *self.failures.entry(failure.clone()).or_default() += 1;
        }
    }
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The model's name.
    pub model: String,
    /// The data set's file.
    pub data: String,
    /// Numbers by workflow.
    pub summaries: BTreeMap<String, Summary>,
    /// Rows by workflow.
    pub rows: BTreeMap<String, Vec<Scored>>,
}

impl Report {
    /// Starts without any workflow.
    #[must_use]
    pub fn new(model: &str, data: &str) -> Self {
        Self {
            model: model.to_owned(),
            data: data.to_owned(),
            summaries: BTreeMap::new(),
            rows: BTreeMap::new(),
        }
    }

    /// Adds a workflow's rows.
    pub fn add(&mut self, workflow: &str, rows: Vec<Scored>) {
        self.summaries.insert(workflow.to_owned(), Summary::of(&rows));
        self.rows.insert(workflow.to_owned(), rows);
    }

    /// Writes report.json and report.md into a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`EvalError::File`].
    pub fn write(&self, dir: &Path) -> Result<(), EvalError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| EvalError::File { path, source }
        };
        std::fs::create_dir_all(dir).map_err(at(dir))?;
        let (json, markdown) = (dir.join("report.json"), dir.join("report.md"));
        let text = serde_json::to_string_pretty(self).map_err(|error| at(&json)(error.into()))?;
        std::fs::write(&json, text + "\n").map_err(at(&json))?;
        std::fs::write(&markdown, self.markdown()).map_err(at(&markdown))
    }

    /// The report for people.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("# {} on {}\n\nShares with Wilson's 95 % intervals.\n", self.model, self.data);
        for (workflow, summary) in &self.summaries {
            text.push_str(&section(workflow, summary));
        }
        text
    }
}

fn section(workflow: &str, summary: &Summary) -> String {
    let mut rows = vec![
        ("one flag, one hop".to_owned(), summary.one_flag_one_hop),
        ("all scenes and hops".to_owned(), summary.searched),
        ("search-free".to_owned(), summary.search_free),
        ("all questions".to_owned(), summary.all),
    ];
    rows.extend(summary.by_hops.iter().map(|(hops, tally)| (format!("hops: {hops}"), *tally)));
    rows.extend(summary.by_flags.iter().map(|(flags, tally)| (format!("flags: {flags}"), *tally)));
    rows.extend(summary.by_category.iter().map(|(category, tally)| (category.clone(), *tally)));
    rows.push(("turns of valid grammar".to_owned(), summary.grammar));
    rows.push(("boxes that can be read".to_owned(), summary.boxes));
    rows.push(("searched exactly where needed".to_owned(), summary.tool_use));
    let mut text = format!("\n## {workflow}\n\n| | |\n|---|---|\n");
    for (name, tally) in rows.iter().filter(|(_, tally)| tally.all > 0) {
        text.push_str(&format!("| {name} | {tally} |\n"));
    }
    let [image, words, failed] = summary.searches;
    text.push_str(&format!(
        "\n{image} searches by picture, {words} by words, {failed} failed; {:.1} s a run.\n",
        summary.seconds
    ));
    for (reason, count) in &summary.failures {
        text.push_str(&format!("No answer: {count} ({reason}).\n"));
    }
    text
}
