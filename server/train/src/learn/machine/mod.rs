//! Where the passes of a model under training are computed: on the CPU by its definition, or on a GPU, where only pairs
//! beside frozen weights are trained.

pub(super) mod on_gpu;

use candle_core::{Device, Tensor};
use loupe_mllm::Processor;
use loupe_mllm::config::ModelConfig;
use loupe_mllm::model::Qwen2_5Vl;
use loupe_mllm::tuning::{self, Foretold, Tuner};
use loupe_mllm::weights::Weights;

use crate::error::Result;
use crate::learn::batch::{Batch, Pictures};
use crate::learn::pass;

/// A model where its passes are computed.
#[derive(Debug)]
pub enum Machine {
    /// As it is defined.
    Cpu(Box<Qwen2_5Vl>),
    /// With kernels of our own.
    Gpu(Box<dyn Tuner>),
}

impl Machine {
    /// Takes every weight that `config` asks for.
    ///
    /// # Errors
    /// When a weight cannot be read, or the processor cannot be used.
    pub fn load(on: Processor, config: &ModelConfig, weights: &dyn Weights) -> loupe_mllm::Result<Self> {
        Ok(match on {
            Processor::Cpu => Self::Cpu(Box::new(Qwen2_5Vl::load(config, weights)?)),
            Processor::Cuda(_) => Self::Gpu(tuning::open(on, config, weights)?),
        })
    }

    /// Whether it is a GPU.
    #[must_use]
    pub fn is_gpu(&self) -> bool {
        matches!(self, Self::Gpu(_))
    }

    /// How well a batch's targets are foretold where logits are divided by `temperature`, with the pairs or by the frozen
    /// weights alone; nothing is kept for gradients.
    ///
    /// # Errors
    /// When the batch does not fit the model, or the GPU fails.
    pub fn foretold(&self, batch: &Batch, temperature: f64, with_pairs: bool) -> Result<Foretold> {
        match self {
            Self::Cpu(model) if with_pairs => pass::foretold(model, batch, temperature),
            Self::Cpu(model) => pass::foretold(&model.alone(), batch, temperature),
            Self::Gpu(tuner) => {
                let reading = on_gpu::reading(&**tuner, batch, temperature)?;
                Ok(tuner.foretell(&reading, with_pairs)?)
            }
        }
    }

    /// Looks at a batch's pictures once for all passes to come, where the vision tower is not trained.
    ///
    /// # Errors
    /// When they do not fit the model, or the GPU fails.
    pub fn see(&self, batch: &mut Batch) -> Result<()> {
        let Some(Pictures::Patches(patches)) = &batch.pictures else { return Ok(()) };
        let seen = match self {
            Self::Cpu(model) => model.vision(patches, &batch.grids)?.detach(),
            Self::Gpu(tuner) => {
                let seen = tuner.see(patches, &batch.grids)?;
                let tokens = batch.grids.iter().map(|grid| grid.tokens()).sum::<usize>();
                let width = seen.len() / tokens.max(1);
                Tensor::from_vec(seen, (tokens, width), &Device::Cpu)?
            }
        };
        batch.pictures = Some(Pictures::Seen(seen));
        Ok(())
    }
}
