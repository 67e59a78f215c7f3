//! What drafts from the prompt gain while questions are answered with real tools.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use loupe_mllm::engine::{Completion, Decoder, EngineError, GenerateRequest, ModelInfo};
use loupe_mllm::{Limits, WeightFormat};
use loupe_search::local::{Index, LocalImage, LocalText};
use loupe_shared::protocol::Workflow;
use loupe_train::dataset::file;
use loupe_train::eval::run::{Evaluation, Options};
use loupe_train::eval::tools::{Providers, Tools};
use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;

use crate::model::{ModelOptions, ModelSpec};

/// The same questions answered with drafts and without.
#[derive(Debug, Serialize)]
pub(super) struct DraftFigure {
    questions: usize,
    /// Tokens written after each turn's first, which no draft can spare.
    tokens: u32,
    /// Microseconds a token.
    plain_us: f64,
    drafted_us: f64,
    /// Turns that said something else.
    different_turns: usize,
}

pub(super) fn line(figure: &DraftFigure) -> String {
    let DraftFigure { questions, tokens, plain_us, drafted_us, different_turns } = figure;
    format!(
        "{questions} questions, {tokens} tokens: {plain_us:.0} us a token, {drafted_us:.0} us with drafts ({:.2}x); {different_turns} turns differ",
        plain_us / drafted_us
    )
}

/// Answers the first `limit` questions of a data set with both, one after the other.
pub(super) async fn drafts(
    model: &str,
    format: WeightFormat,
    data: &Path,
    index: &Path,
    limit: usize,
) -> anyhow::Result<DraftFigure> {
    let mut records = file::read(data)?;
    records.truncate(limit);
    let folder = data.parent().unwrap_or(Path::new("."));
    let index = Arc::new(Index::open(index)?);
    let mut sides = Vec::new();
    for drafts in [false, true] {
        let limits = Limits { drafts, ..Limits::default() };
        let options = ModelOptions { weights: format, limits, ..ModelOptions::default() };
        let watched = Arc::new(Watched::new(ModelSpec::parse(model).open(options).await?));
        let (text, image) = (LocalText::new(index.clone()), LocalImage::new(index.clone()));
        let tools = Tools::Live(Providers { text: Arc::new(text), image: Arc::new(image) });
        sides.push((watched.clone(), Evaluation::new(watched, tools, Options::default())?));
    }
    for record in &records {
        for (_, evaluation) in &sides {
            evaluation.score(record, folder, Workflow::Agent).await?;
        }
    }
    let [plain, drafted] = [0, 1].map(|side| sides[side].0.take());
    let different = plain.turns.iter().zip(&drafted.turns).filter(|(plain, drafted)| plain != drafted);
    Ok(DraftFigure {
        questions: records.len(),
        tokens: plain.tokens,
        plain_us: plain.microseconds(),
        drafted_us: drafted.microseconds(),
        different_turns: different.count() + plain.turns.len().abs_diff(drafted.turns.len()),
    })
}

/// What a decoder wrote and how long it took.
#[derive(Debug, Default)]
struct Written {
    turns: Vec<String>,
    tokens: u32,
    time: Duration,
}

impl Written {
    fn microseconds(&self) -> f64 {
        self.time.as_secs_f64() * 1e6 / f64::from(self.tokens.max(1))
    }
}

/// A decoder whose turns are counted.
struct Watched {
    decoder: Arc<dyn Decoder>,
    written: Mutex<Written>,
}

impl Watched {
    fn new(decoder: Arc<dyn Decoder>) -> Self {
        Self { decoder, written: Mutex::default() }
    }

    fn take(&self) -> Written {
        std::mem::take(&mut self.written.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Decoder for Watched {
    fn info(&self) -> &ModelInfo {
        self.decoder.info()
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        deltas: UnboundedSender<String>,
    ) -> Result<Completion, EngineError> {
        let completion = self.decoder.generate(request, deltas).await?;
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.turns.push(completion.text.clone());
        written.tokens += completion.generated_tokens.saturating_sub(1);
        written.time += completion.decoding;
        Ok(completion)
    }
}
