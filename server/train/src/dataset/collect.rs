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
use super::decisions::{Decision, Decisions, Header};
use super::duplicates::distinct;
use super::file::Writer;
use super::intake::Intake;
use super::record::Record;
use super::report::{Mix, Report};
use super::select::Balance;
use super::source::Source;
use super::teacher::{Call, FAILED, TIMEOUT, TOOL_FAILED, Teacher};

/// The files that are written.
const QUESTIONS: &str = "questions.jsonl";
const TRAJECTORIES: &str = "trajectories.jsonl";
/// Questions in a row that a teacher may fail on.
const FAILURES: usize = 8;

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
    let taken = plan.intake.take(&plan.source)?;
    let mut report = Report {
        layout: plan.source.layout.as_str().to_owned(),
        teacher: teacher.map(|teacher| teacher.name().to_owned()),
        read: taken.read,
        bad: taken.bad,
        ..Report::default()
    };
    let (records, dropped) = distinct(taken.records, plan.near);
    report.dropped = dropped;
    report.drop_rows("not_sampled", taken.not_sampled);
    let mut questions = records;
    let mut trajectories = Vec::new();
    match teacher {
        Some(teacher) => {
            let decisions = taught(plan, teacher, &questions).await?;
            let kept = kept(&questions, &decisions, &mut report);
            let (records, calls): (Vec<Record>, Vec<Vec<Call>>) = kept.into_iter().unzip();
            for at in chosen(plan, &records, &mut report) {
                report.add(&records[at], calls[at].as_slice().into());
                trajectories.push(records[at].clone());
            }
        }
        None => {
            let places = chosen(plan, &questions, &mut report);
            questions = places.into_iter().map(|at| questions[at].clone()).collect();
        }
    }
    for record in &mut questions {
        record.messages.clear();
    }
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
        let written: Vec<PathBuf> = [QUESTIONS, TRAJECTORIES]
            .iter()
            .filter_map(|name| self.intake.out.join(name).canonicalize().ok())
            .collect();
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

/// The places of the rows that make the data set.
fn chosen(plan: &SourcePlan, records: &[Record], report: &mut Report) -> Vec<usize> {
    let all = || (0..records.len()).collect();
    let chosen = plan.balance.map_or_else(all, |balance: Balance| balance.choose(records));
    report.before = Mix::of(records);
    report.after = Mix::of(chosen.iter().map(|at| &records[*at]));
    report.drop_rows("not_chosen", (records.len() - chosen.len()) as u64);
    chosen
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
            Some(Decision::Dropped { reason, .. }) => report.drop_rows(reason, 1),
            // Every question is decided, or supposed to be, before rows are kept.
            None => {}
        }
    }
    kept
}

/// Asks the teacher about every row that was not decided yet.
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
    let mut decisions = Decisions::open(&plan.intake.out.join("decisions.jsonl"), &header)?;
    let open: Vec<Record> =
        questions.iter().filter(|record| decisions.get(record).is_none()).cloned().collect();
    tracing::info!(asked = open.len(), decided = questions.len() - open.len(), "the teacher answers");
    let mut waiting = open.into_iter();
    let mut running = JoinSet::new();
    let mut in_a_row: Vec<Decision> = Vec::new();
    let mut done = 0;
    loop {
        while running.len() < plan.jobs.max(1) {
            let Some(record) = waiting.next() else { break };
            let (folder, categories) = (plan.intake.out.clone(), plan.categories.clone());
            running.spawn(ask(Arc::clone(teacher), folder, categories, record));
        }
        let Some(answered) = running.join_next().await else { break };
        let (record, decision) =
            answered.map_err(|error| DatasetError::Teacher { rows: 1, reason: error.to_string() })?;
        done += 1;
        if done % 20 == 0 {
            tracing::info!(done, "answered");
        }
        if is_failure(&decision) {
            in_a_row.push(decision.clone());
            if in_a_row.len() >= FAILURES {
                return Err(gone(&in_a_row));
            }
            // Not written down: what failed for another's sake is asked again by the next build.
            decisions.suppose(&record, decision);
            continue;
        }
        in_a_row.clear();
        decisions.decide(&record, decision)?;
    }
    if done > 0 && in_a_row.len() == questions.len() {
        return Err(gone(&in_a_row));
    }
    Ok(decisions)
}

fn is_failure(decision: &Decision) -> bool {
    let passing = [FAILED, TIMEOUT, TOOL_FAILED];
    matches!(decision, Decision::Dropped { reason, .. } if passing.contains(&reason.as_str()))
}

fn gone(failures: &[Decision]) -> DatasetError {
    let reason = failures.last().map(|decision| match decision {
        Decision::Dropped { reason, detail } => format!("{reason}: {detail}"),
        Decision::Kept { .. } => String::new(),
    });
    DatasetError::Teacher { rows: failures.len(), reason: reason.unwrap_or_default() }
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
        *category = teacher.label(&record, &categories).await;
    }
    (record, decision)
}
