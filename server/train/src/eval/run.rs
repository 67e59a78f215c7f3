//! One question: asked, answered, judged.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loupe_agent::conversation::context;
use loupe_agent::dialect::{self, QueryContext};
use loupe_agent::host::{Query, QueryPicture};
use loupe_agent::{Agent, AgentConfig, Budgets, RunEnd};
use loupe_mllm::engine::{Decoder, ModelInfo};
use loupe_shared::ids::ImageId;
use loupe_shared::pixels::{PixelError, PixelLimits, Rgb8};
use loupe_shared::protocol::{ImageRole, RunError, Workflow};
use tokio_util::sync::CancellationToken;

use super::cause::Trail;
use super::error::EvalError;
use super::host::EvalHost;
use super::judge::{is_right, stands_in};
use super::llm::LlmJudge;
use super::scored::{Scored, Verdicts};
use super::tools::Tools;
use super::watch::Watch;
use crate::atlas::crop::cut;
use crate::dataset::record::Record;

/// How long a run may take. Questions in flight wait for each other, and that must not decide what is answered.
const WALL_CLOCK: Duration = Duration::from_secs(3_600);
/// How long one search may take.
const SEARCH: Duration = Duration::from_secs(120);
/// Codes of errors that say nothing of the model: its servers are gone, full or do not let us in.
const NOT_THE_MODEL: [&str; 3] = ["engine_unreachable", "engine_busy", "engine_failed"];

/// The agent's budgets with so much time that only a dead tool or model runs out of it.
pub(crate) fn patient() -> Budgets {
    Budgets { wall_clock: WALL_CLOCK, last_answer: WALL_CLOCK, search: SEARCH, ..Budgets::default() }
}

/// What is measured, and how.
pub struct Evaluation {
    decoder: Arc<dyn Decoder>,
    tools: Tools,
    options: Options,
}

/// How questions are asked and judged.
#[derive(Clone)]
pub struct Options {
    /// The name of the adapter that the model answers with.
    pub adapter: Option<Arc<str>>,
    /// Whether every turn is held to the dialect's grammar.
    pub constrain: bool,
    /// Whether every search by picture searches the whole of it, whatever part was meant.
    pub no_crop: bool,
    /// What a run may spend.
    pub budgets: Budgets,
    /// A model that judges beside the rule.
    pub judge: Option<Arc<LlmJudge>>,
    /// Whether a call that the recording does not have ends the evaluation.
    pub strict_replay: bool,
    /// How many questions are asked at the same time.
    pub in_flight: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            adapter: None,
            constrain: false,
            no_crop: false,
            budgets: patient(),
            judge: None,
            strict_replay: false,
            in_flight: 1,
        }
    }
}

impl Evaluation {
    /// A model with its tools.
    ///
    /// # Errors
    /// [`EvalError::Dialect`].
    pub fn new(decoder: Arc<dyn Decoder>, tools: Tools, options: Options) -> Result<Self, EvalError> {
        dialect::by_name(&decoder.info().dialect)?;
        Ok(Self { decoder, tools, options })
    }

    /// How many questions are asked at the same time, at least one.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.options.in_flight.max(1)
    }

    /// Answers one question; its picture lies in `folder`.
    ///
    /// # Errors
    /// [`EvalError`] when it cannot be asked or judged; a run that fails is an outcome.
    pub async fn score(
        &self,
        record: &Record,
        folder: &Path,
        workflow: Workflow,
    ) -> Result<Scored, EvalError> {
        let pictures = pictures(record, folder)?;
        let whole = pictures.first().map(|picture| Arc::clone(&picture.pixels));
        let instead = whole.filter(|_| self.options.no_crop);
        let (tools, calls) = self.tools.for_question(&record.id, instead);
        let tools = Arc::new(tools);
        let query = Query {
            workflow,
            adapter: self.options.adapter.clone(),
            constrain: self.options.constrain,
            ..asked(record, pictures)
        };
        let dialect = dialect::by_name(&self.decoder.info().dialect)?;
        let context = seen_by(self.decoder.info(), &query).map_err(|error| EvalError::Picture {
            id: record.id.clone(),
            path: folder.join(&record.image),
            reason: error.to_string(),
        })?;
        let watch = Arc::new(Watch::new(self.decoder.clone(), dialect, context));
        let config = AgentConfig { budgets: self.options.budgets, ..AgentConfig::default() };
        let agent = Agent::new(watch.clone(), tools.clone(), tools, config)?;
        let host = EvalHost::new(self.options.no_crop);
        let began = Instant::now();
        let end = agent.run(query, &host, CancellationToken::new()).await;
        let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some(error) = calls.broken() {
            return Err(error);
        }
        let missed = calls.missed();
        if let Some(first) = missed.first().filter(|_| self.options.strict_replay) {
            return Err(EvalError::Missed(first.clone()));
        }
        let (answer, failure) = outcome(end, record)?;
        let verdicts = match &answer {
            Some(answer) => Some(judged(self.options.judge.as_deref(), record, answer).await?),
            None => None,
        };
        let right = verdicts.as_ref().is_some_and(Verdicts::counts);
        let (notes, turns) = (host.into_notes(), watch.turns());
        let was_read = notes.read.iter().any(|text| stands_in(text, &record.answer, &record.aliases));
        let trail = Trail {
            failure: failure.as_deref(),
            search: record.search,
            steps: &notes.steps,
            evidence: &record.evidence,
            was_read,
        };
        Ok(Scored {
            id: record.id.clone(),
            workflow,
            category: record.category.clone(),
            search: record.search,
            hops: record.hops,
            flags: record.flags,
            gold: record.answer.clone(),
            answer,
            right,
            verdicts,
            cause: (!right).then(|| trail.cause()),
            failure,
            steps: notes.steps,
            missed,
            turns: turns.valid,
            boxes: turns.boxes,
            tokens: turns.tokens,
            millis,
            in_flight: self.in_flight(),
        })
    }
}

/// A row's question with its [`pictures`], for the agent and without an adapter.
pub(crate) fn asked(record: &Record, pictures: Vec<QueryPicture>) -> Query {
    Query {
        question: record.question.clone(),
        pictures,
        earlier: Vec::new(),
        workflow: Workflow::Agent,
        adapter: None,
        lang: None,
        constrain: false,
    }
}

/// What the rule says of an answer, and a model where one judges.
pub(crate) async fn judged(
    judge: Option<&LlmJudge>,
    record: &Record,
    answer: &str,
) -> Result<Verdicts, EvalError> {
    let rule = is_right(answer, &record.answer, &record.aliases);
    let Some(judge) = judge else { return Ok(Verdicts { rule, model: None }) };
    let verdict = judge.verdict(&record.question, &record.answer, &record.aliases, answer).await;
    let verdict =
        verdict.map_err(|error| EvalError::Judge { id: record.id.clone(), reason: error.to_string() })?;
    Ok(Verdicts { rule, model: Some(verdict) })
}

/// The answer, or the code of what ended the run without one.
fn outcome(end: RunEnd, record: &Record) -> Result<(Option<String>, Option<String>), EvalError> {
    match end {
        RunEnd::Done(done) => Ok((Some(done.answer), None)),
        RunEnd::Failed(RunError { code, message }) if NOT_THE_MODEL.contains(&code.as_str()) => {
            Err(EvalError::Engine { id: record.id.clone(), reason: message })
        }
        RunEnd::Failed(error) => Ok((None, Some(error.code))),
        RunEnd::Cancelled => Ok((None, Some("cancelled".to_owned()))),
    }
}

/// What a dialect has to know of a query, for a model.
pub(crate) fn seen_by(model: &ModelInfo, query: &Query) -> Result<QueryContext, PixelError> {
    let limits = PixelLimits {
        min_pixels: model.min_pixels.into(),
        max_pixels: model.max_pixels.into(),
        ..PixelLimits::default()
    };
    context(query, limits)
}

/// The whole picture, and the part that the user framed.
pub(crate) fn pictures(record: &Record, folder: &Path) -> Result<Vec<QueryPicture>, EvalError> {
    let path = folder.join(&record.image);
    let unusable = |reason: String| EvalError::Picture { id: record.id.clone(), path: path.clone(), reason };
    let bytes = std::fs::read(&path).map_err(|error| unusable(error.to_string()))?;
    let whole = loupe_search::picture::decode(&bytes).map_err(|error| unusable(error.to_string()))?;
    let focus = match record.region {
        None => None,
        Some(region) => {
            let part =
                cut(&whole, &region).map_err(|source| EvalError::Region { id: record.id.clone(), source })?;
            Some(QueryPicture { role: ImageRole::Focus, region: Some(region), ..picture(part) })
        }
    };
    Ok(std::iter::once(picture(whole)).chain(focus).collect())
}

fn picture(pixels: Rgb8) -> QueryPicture {
    let image_id = ImageId::from_hash(blake3::hash(pixels.data()).as_bytes());
    QueryPicture { image_id, role: ImageRole::Whole, region: None, pixels: Arc::new(pixels) }
}
