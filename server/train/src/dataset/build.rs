//! `loupe dataset build`: questions about Atlas scenes, and the trajectories that answer them with the real tools.
//!
//! A data set is a folder: `questions.jsonl` (every question, for evaluation), `trajectories.jsonl` (the rows that the
//! oracle could answer, for training), `images/`, and a report with plots.

use std::path::PathBuf;

use loupe_agent::dialect::Dialect;
use loupe_search::{ImageSearch, TextSearch};
use loupe_shared::pixels::PixelLimits;

use super::DatasetError;
use super::claim::Claim;
use super::file::{QUESTIONS, TRAJECTORIES, Writer};
use super::formats::remove_others;
use super::oracle::{Oracle, Outcome, hidden};
use super::picture::keep;
use super::record::{Record, RecordMessage};
use super::report::{LeftOut, Report, Searches};
use crate::atlas::asked::{Asked, Asker, Need};
use crate::atlas::pages::flag_title;
use crate::atlas::rng::Rng;
use crate::atlas::{Split, World};

/// What to build.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which countries and wordings.
    pub split: Split,
    /// How many questions.
    pub count: u64,
    /// Seed of everything drawn.
    pub seed: u64,
    /// Share of questions that need no search.
    pub search_free: f64,
    /// Where to.
    pub out: PathBuf,
}

/// What the oracle works with.
pub struct Tools<'a> {
    /// Search by words.
    pub text: &'a dyn TextSearch,
    /// Search by picture.
    pub image: &'a dyn ImageSearch,
    /// What turns are written in.
    pub dialect: &'a dyn Dialect,
    /// What the model sees of a picture.
    pub limits: PixelLimits,
}

/// Builds a data set into `plan.out`; what is there under the same names is written anew, and what an earlier build wrote
/// for other trainers is removed.
///
/// # Errors
/// [`DatasetError`] when the split is empty, a tool fails, another build writes there, or a file cannot be written.
pub async fn build(world: &World, tools: &Tools<'_>, plan: &Plan) -> Result<Report, DatasetError> {
    let asker =
        Asker::new(world, plan.split).ok_or(DatasetError::EmptySplit { split: plan.split.as_str() })?;
    let oracle = Oracle {
        text: tools.text,
        image: tools.image,
        dialect: tools.dialect,
        limits: tools.limits,
        hide: hidden(plan.split, asker.real()),
    };
    let _claim = Claim::take(&plan.out)?;
    let mut questions = Writer::create(&plan.out.join(QUESTIONS))?;
    let mut trajectories = Writer::create(&plan.out.join(TRAJECTORIES))?;
    let (layout, teacher) = ("atlas".to_owned(), Some("the oracle".to_owned()));
    let mut report = Report { layout, teacher, ..Report::default() };
    for index in 0..plan.count {
        let mut rng = Rng::of(plan.seed, plan.split.as_str(), index);
        let asked =
            if rng.chance(plan.search_free) { asker.visual(&mut rng) } else { asker.search(&mut rng) };
        let image = keep(&plan.out, &asked.scene.picture)?;
        let record = record(plan, index, image, &asked);
        questions.write(&record)?;
        report.read += 1;
        report.before.add(&record);
        match oracle.answer(&asked, &mut rng).await? {
            Outcome::Answered(messages) => {
                let messages = messages.iter().map(RecordMessage::from).collect();
                let record = Record { messages, ..record };
                trajectories.write(&record)?;
                report.after.add(&record);
                report.add(&record, searches(&asked));
            }
            Outcome::Dropped(reason) => report.leave_out(LeftOut::row(&record, reason.as_str())),
        }
    }
    remove_others(&plan.out)?;
    questions.finish()?;
    trajectories.finish()?;
    (report.questions, report.trajectories) = (report.before.rows, report.after.rows);
    report.write(&plan.out)?;
    Ok(report)
}

/// What the oracle searches for a question's answer.
fn searches(asked: &Asked) -> Searches {
    match &asked.need {
        Need::Picture => Searches::default(),
        Need::Search { chain, .. } => {
            Searches { by_words: chain.lookups.len(), by_picture: 1, of_a_part: true }
        }
    }
}

fn record(plan: &Plan, index: u64, image: String, asked: &Asked) -> Record {
    let id = format!("{}-{}-{index:06}", plan.split.as_str(), plan.seed);
    let region = match &asked.need {
        Need::Picture => None,
        Need::Search { framed, .. } => *framed,
    };
    Record {
        image,
        id,
        split: Some(plan.split),
        search: matches!(asked.need, Need::Search { .. }),
        category: asked.category.as_str().to_owned(),
        hops: Some(asked.hops() as u32),
        flags: Some(asked.scene.flags.len() as u32),
        source: None,
        question: asked.question.clone(),
        answer: asked.gold.answer.clone(),
        aliases: asked.gold.aliases.clone(),
        region,
        evidence: evidence(asked),
        messages: Vec::new(),
    }
}

/// The page of the flag, then those of the facts.
fn evidence(asked: &Asked) -> Vec<String> {
    let Need::Search { chain, .. } = &asked.need else { return Vec::new() };
    let pages = chain.lookups.iter().map(|lookup| lookup.fact.title(&lookup.country));
    std::iter::once(flag_title(&chain.country)).chain(pages).collect()
}
