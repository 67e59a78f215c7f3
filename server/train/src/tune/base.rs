//! The model that is tuned: frozen weights with an adapter's pairs beside them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use loupe_mllm::adapter::Adapter;
use loupe_mllm::chat::Chat;
use loupe_mllm::checkpoint::{Files, Fingerprint};
use loupe_mllm::config::ModelConfig;
use loupe_mllm::ops;
use loupe_mllm::weights::Weights;
use loupe_mllm::{Loaded, Processor};

use super::lora::{self, LoraConfig, LoraWeights};
use crate::error::Result;
use crate::learn::checkpoint::{self, Progress};
use crate::learn::init::Init;
use crate::learn::log::Log;
use crate::learn::machine::Machine;
use crate::learn::optim::{AdamW, AdamWConfig};
use crate::learn::params::Params;
use crate::learn::step::Learner;

/// A model opened for tuning.
pub struct Base {
    /// With the pairs.
    pub learner: Learner,
    /// How conversations become tokens.
    pub chat: Chat,
    /// Its shape.
    pub config: ModelConfig,
    /// Its name.
    pub name: String,
    /// Which weights it has.
    pub weights: Option<Fingerprint>,
    /// The dialect that it writes.
    pub dialect: String,
    /// The seed of dropout in the forward pass to come; 0 while nothing is to be dropped.
    pub dropout: Arc<AtomicU64>,
}

impl Base {
    /// Opens a checkpoint with new pairs beside its weights, drawn by `seed`, to be tuned on a processor.
    ///
    /// # Errors
    /// Whatever is missing, broken or does not fit in the checkpoint, or keeps the processor from being used.
    pub fn open(
        on: Processor,
        files: &Files,
        lora: &LoraConfig,
        optimiser: AdamWConfig,
        seed: u64,
    ) -> Result<Self> {
        let load = |config: &ModelConfig, weights: &dyn Weights| Machine::load(on, config, weights);
        Self::open_as(files, lora, optimiser, seed, load)
    }

    /// The same with passes computed by whatever `load` makes of the weights and the pairs.
    ///
    /// # Errors
    /// As for [`Base::open`].
    pub fn open_as(
        files: &Files,
        lora: &LoraConfig,
        optimiser: AdamWConfig,
        seed: u64,
        load: impl FnOnce(&ModelConfig, &dyn Weights) -> loupe_mllm::Result<Machine>,
    ) -> Result<Self> {
        let dropout = Arc::new(AtomicU64::new(0));
        let params = Params::new(Init { seed, deviation: 0.0, layers: 0, vision_layers: 0 });
        let loaded = Loaded::open_as(files, |config, weights| {
            let pairs = LoraWeights { base: weights, params: &params, config: lora, dropout: &dropout };
            Ok((config.clone(), load(config, &pairs)?))
        })?;
        let (config, model) = loaded.model;
        let optimiser = AdamW::new(optimiser);
        Ok(Self {
            config,
            learner: Learner {
                params,
                model,
                dense: None,
                optimiser,
                checkpointing: false,
                temperature: 1.0,
            },
            chat: loaded.chat,
            name: loaded.about.name,
            weights: Fingerprint::of(files)?,
            dialect: loaded.about.dialect,
            dropout,
        })
    }

    /// Begins a run in the folder `out`: goes on from its checkpoint, or starts from an adapter or from pairs that change
    /// nothing. What is refused leaves nothing behind; with the log in hand, no other process trains there.
    ///
    /// # Errors
    /// When a run is there and is not to be resumed, another process trains there, or a checkpoint or the adapter does not
    /// fit or was made for other weights.
    pub(super) fn begin(
        &mut self,
        out: &Path,
        resume: bool,
        start: Option<&Adapter>,
        (lora, optimiser): (&LoraConfig, AdamWConfig),
    ) -> Result<(Log, Progress)> {
        ops::prepare_to_train();
        let params = &self.learner.params;
        let saved = checkpoint::of_run(out, resume)?;
        if let (None, Some(adapter)) = (&saved, start) {
            adapter.check_base(self.weights.as_ref())?;
            lora::take(adapter, params, lora)?;
        }
        let log = Log::open(out)?;
        let Some(saved) = saved else { return Ok((log, Progress::default())) };
        let progress;
        (self.learner.optimiser, progress) = checkpoint::load(&saved, params, optimiser)?;
        Ok((log, progress))
    }
}
