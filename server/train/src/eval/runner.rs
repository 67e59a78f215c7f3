//! All questions, several in flight; what is decided is kept at once.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use loupe_shared::protocol::Workflow;
use tokio::task::JoinSet;

use super::error::EvalError;
use super::run::Evaluation;
use super::scored::Scored;
use super::session::Session;
use crate::dataset::record::Record;

/// What is asked.
#[derive(Debug)]
pub struct Questions {
    /// The questions.
    pub records: Vec<Record>,
    /// Where their pictures lie.
    pub folder: PathBuf,
}

impl Questions {
    /// Questions whose pictures lie in `folder`. What cannot be asked or judged is found here, not after hours.
    ///
    /// # Errors
    /// [`EvalError::SameId`], [`EvalError::NoAnswer`], [`EvalError::Picture`] where one is not there.
    pub fn new(records: Vec<Record>, folder: PathBuf) -> Result<Self, EvalError> {
        let mut ids = HashSet::new();
        for record in &records {
            let id = || record.id.clone();
            if !ids.insert(record.id.as_str()) {
                return Err(EvalError::SameId(id()));
            }
            if record.answer.trim().is_empty() {
                return Err(EvalError::NoAnswer(id()));
            }
            let path = folder.join(&record.image);
            if !path.is_file() {
                return Err(EvalError::Picture { id: id(), path, reason: "it is not there".to_owned() });
            }
        }
        Ok(Self { records, folder })
    }
}

/// Asks what the session has not decided yet, workflow by workflow; `decided` is told every row.
///
/// # Errors
/// The first [`EvalError`]; what was decided before is kept.
pub async fn run(
    evaluation: &Arc<Evaluation>,
    questions: &Arc<Questions>,
    workflows: &[Workflow],
    session: &mut Session,
    mut decided: impl FnMut(&Scored),
) -> Result<(), EvalError> {
    let all = workflows.iter().flat_map(|&workflow| (0..questions.records.len()).map(move |n| (workflow, n)));
    let open: Vec<_> =
        all.filter(|&(workflow, n)| !session.has(workflow, &questions.records[n].id)).collect();
    let (mut open, mut in_flight) = (open.into_iter(), JoinSet::new());
    loop {
        while in_flight.len() < evaluation.in_flight()
            && let Some((workflow, n)) = open.next()
        {
            let (evaluation, questions) = (Arc::clone(evaluation), Arc::clone(questions));
            in_flight.spawn(async move {
                evaluation.score(&questions.records[n], &questions.folder, workflow).await
            });
        }
        let Some(scored) = in_flight.join_next().await else { return Ok(()) };
        let scored = scored??;
        decided(&scored);
        session.add(scored)?;
    }
}
