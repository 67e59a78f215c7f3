//! `loupe dataset build --source`: other people's questions, and the trajectories with which a teacher answers them.
//!
//! The stages: [`intake`](super::intake), [`duplicates`](super::duplicates), the teacher
//! ([`decisions.jsonl`](super::decisions) keeps what it decided, so a build that was killed goes on),
//! [`select`](super::select), and the files.
//! Which rows are kept and in which order does not depend on how fast they were answered.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::DatasetError;
use super::claim::Claim;
use super::decisions::{Decision, Decisions, Header};
use super::duplicates::distinct;
use super::file::{QUESTIONS, TRAJECTORIES, Writer};
use super::formats::{OTHERS, remove_others};
use super::intake::Intake;
use super::record::Record;
use super::report::{DROPPED, LeftOut, Mix, Report};
use super::select::Balance;
use super::source::Source;
use super::teacher::{Call, FAILED, TIMEOUT, TOOL_FAILED, Teacher};

/// What was decided about each row.
const DECISIONS: &str = "decisions.jsonl";
/// Questions in a row that a teacher may fail on.
const FAILURES: usize = 8;
/// Failures for another's sake: the next build asks these rows again.
const PASSING: [&str; 3] = [FAILED, TIMEOUT, TOOL_FAILED];

/// What to build.
#[derive(Debug, Clone)]
pub struct SourcePlan {
    /// Where the questions are.
    pub source: Source,
    /// Which of them can be used, and where to write.
    pub intake: Intake,
    /// How much of the words of two questions may be the same; see [`distinct`].
    pub near: f64,
    /// What is chosen in the end; everything where none is given.
    pub balance: Option<Balance>,
    /// What the teacher searches with, as it was given.
    pub tools: String,
    /// The categories that the teacher chooses from, where it labels.
    pub categories: Vec<String>,
    /// Questions that are answered at the same time.
    pub jobs: usize,
}

/// What was built: the report, and the rows that were written.
#[derive(Debug)]
pub struct Collected {
    /// The report.
    pub report: Report,
    /// The rows of `questions.jsonl`.
    pub questions: Vec<Record>,
    /// The rows of `trajectories.jsonl`.
    pub trajectories: Vec<Record>,
}

/// Builds a data set into `plan.intake.out`. Without a teacher the questions are chosen; with one, its trajectories.
///
/// # Errors
/// [`DatasetError`] when the source cannot be read, the teacher fails on and on, or a file cannot be written.
pub async fn collect(plan: &SourcePlan, teacher: Option<&Arc<Teacher>>) -> Result<Collected, DatasetError> {
    let out = &plan.intake.out;
    plan.check_apart()?;
    let _claim = Claim::take(out)?;
    let taken = plan.intake.take(&plan.source)?;
    let mut report = Report {
        layout: plan.source.layout.as_str().to_owned(),
        teacher: teacher.map(|teacher| teacher.name().to_owned()),
        read: taken.read,
        bad: taken.bad,
        left_out: taken.left_out,
        ..Report::default()
    };
    if taken.not_sampled > 0 {
        report.dropped.insert("not_sampled".to_owned(), taken.not_sampled);
    }
    let (mut questions, dropped) = distinct(taken.records, plan.near);
    dropped.into_iter().for_each(|row| report.leave_out(row));
    let mut trajectories = Vec::new();
    match teacher {
        Some(teacher) => {
            let decisions = taught(plan, teacher, &questions).await?;
            let kept = kept(&questions, &decisions, &mut report);
            let (records, calls): (Vec<Record>, Vec<Vec<Call>>) = kept.into_iter().unzip();
            for at in chosen(plan, &records, &mut report)? {
                report.add(&records[at], calls[at].as_slice().into());
                trajectories.push(records[at].clone());
            }
        }
        None => {
            let places = chosen(plan, &questions, &mut report)?;
            questions = places.into_iter().map(|at| questions[at].clone()).collect();
        }
    }
    for record in &mut questions {
        record.messages.clear();
    }
    remove_others(out)?;
    write(&out.join(QUESTIONS), &questions)?;
    // Without a teacher it is empty: one of an earlier build would not belong to these questions.
    write(&out.join(TRAJECTORIES), &trajectories)?;
    (report.questions, report.trajectories) = (questions.len() as u64, trajectories.len() as u64);
    report.write(out)?;
    Ok(Collected { report, questions, trajectories })
}

impl SourcePlan {
    /// Refuses to write over what is read.
    fn check_apart(&self) -> Result<(), DatasetError> {
        let names = [QUESTIONS, TRAJECTORIES, DECISIONS, DROPPED].into_iter().chain(OTHERS);
        let written: Vec<PathBuf> =
            names.filter_map(|name| self.intake.out.join(name).canonicalize().ok()).collect();
        for path in std::iter::once(&self.source.file).chain(&self.source.annotations) {
            if path.canonicalize().is_ok_and(|path| written.contains(&path)) {
                let reason = "the build would write over it; name another folder with --out".to_owned();
                return Err(DatasetError::Source { path: path.clone(), reason });
            }
        }
        Ok(())
    }
}

fn write(path: &Path, records: &[Record]) -> Result<(), DatasetError> {
    let mut writer = Writer::create(path)?;
    for record in records {
        writer.write(record)?;
    }
    writer.finish()
}

/// The places of the rows that make the data set, in order.
fn chosen(plan: &SourcePlan, records: &[Record], report: &mut Report) -> Result<Vec<usize>, DatasetError> {
    let all = || (0..records.len()).collect();
    let chosen = plan.balance.map_or_else(all, |balance: Balance| balance.choose(records));
    report.before = Mix::of(records);
    if let Some(share) = plan.balance.and_then(|balance| balance.refuses_all(records)) {
        let (rows, free) = (report.before.rows, report.before.search_free);
        return Err(DatasetError::NothingChosen { share, rows, free });
    }
    report.after = Mix::of(chosen.iter().map(|at| &records[*at]));
    for (at, record) in records.iter().enumerate() {
        if chosen.binary_search(&at).is_err() {
            report.leave_out(LeftOut::row(record, "not_chosen"));
        }
    }
    Ok(chosen)
}

/// The rows that the teacher answered as they should be, with its searches; the others are counted.
fn kept(questions: &[Record], decisions: &Decisions, report: &mut Report) -> Vec<(Record, Vec<Call>)> {
    let mut kept = Vec::new();
    for record in questions {
        match decisions.get(record) {
            Some(Decision::Kept { messages, calls, category }) => {
                let category = category.clone().unwrap_or_else(|| record.category.clone());
                let (messages, search) = (messages.clone(), !calls.is_empty());
                kept.push((Record { messages, search, category, ..record.clone() }, calls.clone()));
            }
            Some(Decision::Dropped { reason, detail }) => {
                let detail = Some(detail.clone()).filter(|detail| !detail.is_empty());
                report.leave_out(LeftOut { detail, ..LeftOut::row(record, reason) });
            }
            // Every question is decided, or supposed to be, before rows are kept.
            None => {}
        }
    }
    kept
}

/// Asks the teacher about every row that was not decided yet, those last on which it failed before.
async fn taught(
    plan: &SourcePlan,
    teacher: &Arc<Teacher>,
    questions: &[Record],
) -> Result<Decisions, DatasetError> {
    let header = Header {
        teacher: teacher.name().to_owned(),
        dialect: teacher.dialect().to_owned(),
        max_turns: teacher.max_turns(),
        tools: plan.tools.clone(),
        categories: plan.categories.clone(),
    };
    let decisions = Decisions::open(&plan.intake.out.join(DECISIONS), &header)?;
    let open = questions.iter().filter(|record| decisions.get(record).is_none()).cloned();
    let (again, fresh): (Vec<Record>, Vec<Record>) = open.partition(|record| decisions.has_failed(record));
    let asked = again.len() + fresh.len();
    tracing::info!(asked, decided = questions.len() - asked, "the teacher answers");
    let mut asking = Asking { plan, teacher, decisions, failures: Vec::new(), done: 0 };
    let most = FAILURES.min(fresh.len());
    asking.ask(fresh, most).await?;
    // What failed before may fail for its own sake: it must not keep the data set from being made.
    asking.ask(again, usize::MAX).await?;
    Ok(asking.decisions)
}

/// A failure of the teacher, its server or a tool.
struct Failure {
    record: Record,
    reason: String,
    detail: String,
}

/// What a teacher is being asked.
struct Asking<'a> {
    plan: &'a SourcePlan,
    teacher: &'a Arc<Teacher>,
    decisions: Decisions,
    /// Those since the last decision.
    failures: Vec<Failure>,
    done: usize,
}

impl Asking<'_> {
    /// Asks about some rows; `most` failures in a row end the build.
    async fn ask(&mut self, rows: Vec<Record>, most: usize) -> Result<(), DatasetError> {
        let mut waiting = rows.into_iter();
        let mut running = JoinSet::new();
        loop {
            while running.len() < self.plan.jobs.max(1) {
                let Some(record) = waiting.next() else { break };
                let (folder, categories) = (self.plan.intake.out.clone(), self.plan.categories.clone());
                running.spawn(ask(Arc::clone(self.teacher), folder, categories, record));
            }
            let Some(answered) = running.join_next().await else { break };
            let (record, decision) =
                answered.map_err(|error| DatasetError::Teacher { rows: 1, reason: error.to_string() })?;
            self.done += 1;
            if self.done.is_multiple_of(20) {
                tracing::info!(done = self.done, "answered");
            }
            self.take(record, decision)?;
            if self.failures.len() >= most {
                return self.give_up();
            }
        }
        self.note()
    }

    fn take(&mut self, record: Record, decision: Decision) -> Result<(), DatasetError> {
        match decision {
            Decision::Dropped { reason, detail } if PASSING.contains(&reason.as_str()) => {
                self.failures.push(Failure { record, reason, detail });
                Ok(())
            }
            decision => {
                self.note()?;
                self.decisions.decide(&record, decision)
            }
        }
    }

    /// Writes the failures down.
    fn note(&mut self) -> Result<(), DatasetError> {
        for Failure { record, reason, detail } in self.failures.drain(..) {
            self.decisions.fail(&record, reason, detail)?;
        }
        Ok(())
    }

    /// Ends the build. Its failures are written down unless nothing ever worked: then they say nothing of their rows.
    fn give_up(&mut self) -> Result<(), DatasetError> {
        let last = self.failures.last().map(|failure| format!("{}: {}", failure.reason, failure.detail));
        let (rows, reason) = (self.failures.len(), last.unwrap_or_default());
        if !self.decisions.is_empty() {
            self.note()?;
        }
        Err(DatasetError::Teacher { rows, reason })
    }
}

/// Decides about a row; labels it where it is kept and categories are given.
async fn ask(
    teacher: Arc<Teacher>,
    folder: PathBuf,
    categories: Vec<String>,
    record: Record,
) -> (Record, Decision) {
    let mut decision = teacher.decide(&record, &folder).await;
    if let Decision::Kept { category, .. } = &mut decision
        && !categories.is_empty()
    {
        match teacher.label(&record, &categories).await {
            Ok(label) => *category = label,
            // Kept now, it would never be asked for its category again.
            Err(failed) => decision = failed,
        }
    }
    (record, decision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::source::Layout;

    #[tokio::test]
    async fn a_source_among_the_files_that_are_written_is_refused_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().to_owned();
        for name in ["questions.jsonl", "dropped.jsonl", "verl.parquet", "data.json"] {
            let file = out.join(name);
            std::fs::write(&file, "source").unwrap();
            let source =
                Source { file: file.clone(), layout: Layout::Jsonl, annotations: None, images: out.clone() };
            let intake =
                Intake { out: out.clone(), skip_bad: true, most_pixels: 1_000, sample: None, seed: 1 };
            let (tools, categories) = (String::new(), Vec::new());
            let plan = SourcePlan { source, intake, near: 0.7, balance: None, tools, categories, jobs: 1 };
            let message = collect(&plan, None).await.unwrap_err().to_string();
            assert!(message.contains("write over it"), "{name}: {message}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "source");
        }
    }
}
