//! Questions answered with real tools, and what their turns were.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use loupe_mllm::engine::{Completion, Decoder, EngineError, GenerateRequest, ModelInfo};
use loupe_search::local::{Index, LocalImage, LocalText};
use loupe_train::dataset::file;
use loupe_train::dataset::record::Record;
use loupe_train::eval::EvalError;
use loupe_train::eval::run::{Evaluation, Options};
use loupe_train::eval::tools::{Providers, Tools};
use tokio::sync::mpsc::UnboundedSender;

/// A turn as it was asked for and what came of it.
pub(super) type Turn = (GenerateRequest, Completion);

/// A decoder that keeps its turns.
pub(super) struct Watched {
    decoder: Arc<dyn Decoder>,
    turns: Mutex<Vec<Turn>>,
}

impl Watched {
    pub(super) fn new(decoder: Arc<dyn Decoder>) -> Arc<Self> {
        Arc::new(Self { decoder, turns: Mutex::default() })
    }

    /// The turns since the last time.
    pub(super) fn take(&self) -> Vec<Turn> {
        std::mem::take(&mut self.turns.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The agent over this decoder with the tools of a local index.
    pub(super) fn agent(self: &Arc<Self>, index: &Arc<Index>) -> Result<Evaluation, EvalError> {
        let (text, image) = (LocalText::new(index.clone()), LocalImage::new(index.clone()));
        let tools = Tools::Live(Providers { text: Arc::new(text), image: Arc::new(image) });
        Evaluation::new(self.clone(), tools, Options::default())
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
        let completion = self.decoder.generate(request.clone(), deltas).await?;
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.push((request, completion.clone()));
        Ok(completion)
    }
}

/// Questions of a data set, with the folder of their pictures, and the index that is searched.
pub(super) struct Asked<'a> {
    /// The file.
    pub(super) data: &'a Path,
    /// The index' folder.
    pub(super) index: &'a Path,
    /// How many of the questions.
    pub(super) limit: usize,
}

impl<'a> Asked<'a> {
    pub(super) fn records(&self) -> anyhow::Result<Vec<Record>> {
        let mut records = file::read(self.data)?;
        records.truncate(self.limit);
        Ok(records)
    }

    /// Where their pictures are.
    pub(super) fn folder(&self) -> &'a Path {
        self.data.parent().unwrap_or(Path::new("."))
    }
}
