//! Questions answered with real tools, and what their turns were.

use std::path::{Path, PathBuf};
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

/// Questions to answer, and the index to search.
#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    /// Questions, as `loupe dataset build` writes them
    #[arg(long, value_name = "FILE")]
    pub(super) data: PathBuf,
    /// Folder of the local index to search
    #[arg(long, value_name = "DIR")]
    pub(super) index: PathBuf,
    /// Only the first N questions
    #[arg(long, value_name = "N", default_value_t = 200)]
    limit: usize,
}

impl Asked {
    pub(super) fn records(&self) -> anyhow::Result<Vec<Record>> {
        let mut records = file::read(&self.data)?;
        records.truncate(self.limit);
        Ok(records)
    }

    /// Where their pictures are.
    pub(super) fn folder(&self) -> &Path {
        self.data.parent().unwrap_or(Path::new("."))
    }
}
