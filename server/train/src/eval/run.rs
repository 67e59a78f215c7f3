//! The agent over a file of questions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use loupe_agent::dialect::{self, UnknownDialect};
use loupe_agent::host::{Query, QueryPicture};
use loupe_agent::{Agent, AgentConfig, RunEnd};
use loupe_mllm::engine::Decoder;
use loupe_search::{ImageSearch, TextSearch};
use loupe_shared::ids::ImageId;
use loupe_shared::pixels::{PixelError, Rgb8};
use loupe_shared::protocol::{ImageRole, Workflow};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::host::EvalHost;
pub use super::host::Searches;
use super::judge::is_right;
use super::tally::Tally;
use super::watch::Watch;
use crate::atlas::AtlasError;
use crate::atlas::crop::cut;
use crate::atlas::files::read_png;
use crate::dataset::record::Record;

/// Why an evaluation cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The model writes something that this program does not speak.
    #[error(transparent)]
    Dialect(#[from] UnknownDialect),
    /// A question's picture cannot be read.
    #[error("the picture of {id} cannot be read: {source}")]
    Picture {
        /// The question.
        id: String,
        /// What is wrong.
        source: AtlasError,
    },
    /// A question's region cannot be cut.
    #[error("the region of {id} cannot be cut: {source}")]
    Region {
        /// The question.
        id: String,
        /// What is wrong.
        source: PixelError,
    },
    /// A report cannot be written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
}

impl EvalError {
    /// A stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Dialect(_) => "eval_dialect",
            Self::Picture { .. } => "eval_picture",
            Self::Region { .. } => "eval_region",
            Self::File { .. } => "eval_file",
        }
    }
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scored {
    /// The question's name.
    pub id: String,
    /// Its category.
    pub category: String,
    /// Whether anything has to be searched.
    pub search: bool,
    /// Pages to read after the flag is known.
    pub hops: u32,
    /// Flags in the picture.
    pub flags: u32,
    /// What is right.
    pub gold: String,
    /// What was answered, or none where the run failed.
    pub answer: Option<String>,
    /// Why the run failed.
    pub failure: Option<String>,
    /// Whether the answer is right.
    pub right: bool,
    /// Its searches.
    pub searches: Searches,
    /// Turns of valid grammar, of all.
    pub valid_turns: Tally,
    /// Boxes that can be read, of all.
    pub boxes: Tally,
    /// How long it took.
    pub seconds: f64,
}

/// The agent that is measured.
pub struct Evaluation {
    agent: Agent,
    adapter: Option<Arc<str>>,
    watch: Arc<Watch>,
    constrain: bool,
}

impl Evaluation {
    /// A model with its tools; it answers with the adapter of that name, where one is given.
    ///
    /// # Errors
    /// [`EvalError::Dialect`].
    pub fn new(
        decoder: Arc<dyn Decoder>,
        adapter: Option<Arc<str>>,
        text: Arc<dyn TextSearch>,
        image: Arc<dyn ImageSearch>,
    ) -> Result<Self, EvalError> {
        let dialect = dialect::by_name(&decoder.info().dialect)?;
        let watch = Arc::new(Watch::new(decoder, dialect));
        let agent = Agent::new(watch.clone(), text, image, AgentConfig::default())?;
        Ok(Self { agent, adapter, watch, constrain: false })
    }

    /// The same, with every turn held to the dialect's grammar or not.
    #[must_use]
    pub fn constrained(self, constrain: bool) -> Self {
        Self { constrain, ..self }
    }

    /// Answers one question; its picture lies in `folder`.
    ///
    /// # Errors
    /// [`EvalError`] when the picture cannot be read; a run that fails is an outcome.
    pub async fn score(
        &self,
        record: &Record,
        folder: &Path,
        workflow: Workflow,
    ) -> Result<Scored, EvalError> {
        let pictures = pictures(record, folder)?;
        let query = Query {
            question: record.question.clone(),
            pictures,
            earlier: Vec::new(),
            workflow,
            adapter: self.adapter.clone(),
            lang: None,
            constrain: self.constrain,
        };
        let host = EvalHost::default();
        let began = Instant::now();
        let end = self.agent.run(query, &host, CancellationToken::new()).await;
        let seconds = began.elapsed().as_secs_f64();
        let turns = self.watch.take();
        let (answer, failure) = match end {
            RunEnd::Done(done) => (Some(done.answer), None),
            RunEnd::Failed(error) => (None, Some(error.code)),
            RunEnd::Cancelled => (None, Some("cancelled".to_owned())),
        };
        Ok(Scored {
            id: record.id.clone(),
            category: record.category.clone(),
            search: record.search,
            hops: record.hops.unwrap_or_default(),
            flags: record.flags.unwrap_or_default(),
            gold: record.answer.clone(),
            right: answer.as_deref().is_some_and(|answer| is_right(answer, &record.answer, &record.aliases)),
            answer,
            failure,
            searches: host.searches(),
            valid_turns: turns.valid,
            boxes: turns.boxes,
            seconds,
        })
    }
}

/// The whole picture, and the part that the user framed.
pub(crate) fn pictures(record: &Record, folder: &Path) -> Result<Vec<QueryPicture>, EvalError> {
    let whole = read_png(&folder.join(&record.image))
        .map_err(|source| EvalError::Picture { id: record.id.clone(), source })?;
    let mut pictures = Vec::new();
    if let Some(region) = record.region {
        let part =
            cut(&whole, &region).map_err(|source| EvalError::Region { id: record.id.clone(), source })?;
        let focus = QueryPicture { role: ImageRole::Focus, region: Some(region), ..picture(part) };
        pictures.push(focus);
    }
    pictures.insert(0, picture(whole));
    Ok(pictures)
}

fn picture(pixels: Rgb8) -> QueryPicture {
    let image_id = ImageId::from_hash(blake3::hash(pixels.data()).as_bytes());
    QueryPicture { image_id, role: ImageRole::Whole, region: None, pixels: Arc::new(pixels) }
}
