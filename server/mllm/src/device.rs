//! Where a model decodes, and the model there.

use std::fmt;
#[cfg(feature = "cuda")]
use std::sync::{Mutex, PoisonError};

use candle_core::Tensor;

use crate::config::{TextConfig, VisionConfig};
#[cfg(feature = "cuda")]
use crate::cuda::{self, driver::Driver};
use crate::error::{Error, Result};
use crate::lm::executor::OnCpu;
use crate::lm::{Executor, KvPool, LanguageModel};
use crate::memory;
use crate::model::{Grid, Vision};
use crate::ops;
use crate::weights::{Formats, Formatted, Weights};

/// Where a model decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Processor {
    /// On this machine's processor.
    #[default]
    Cpu,
    /// On the NVIDIA GPU of that number.
    Cuda(usize),
}

impl Processor {
    /// How they are written.
    pub const NAMES: &'static str = "`cpu`, `cuda` or `cuda:N`";

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name.split_once(':') {
            None if name == "cpu" => Some(Self::Cpu),
            None if name == "cuda" => Some(Self::Cuda(0)),
            Some(("cuda", number)) => number.parse().ok().map(Self::Cuda),
            _ => None,
        }
    }

    /// Whether weights can be kept in these formats there.
    pub(crate) fn check(self, formats: Formats) -> Result<()> {
        if self == Self::Cpu || formats == Formats::default() {
            return Ok(());
        }
        Err(Error::Device("on a GPU weights are kept in bf16; leave out --weights and --drafter".into()))
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// A language model where it decodes.
#[derive(Debug)]
pub enum Language {
    /// On this machine's processor.
    Cpu {
        /// The model itself.
        language: Box<LanguageModel>,
        /// The same weights in fewer bits.
        drafter: Option<Box<LanguageModel>>,
    },
    /// On a GPU.
    #[cfg(feature = "cuda")]
    Cuda(Box<Mutex<cuda::language::Language<Driver>>>, TextConfig),
}

impl Language {
    /// Takes every weight that `text` asks for, in these formats; where the output is `tied`, the embedding table is its
    /// projection.
    ///
    /// # Errors
    /// When a weight cannot be read, or the processor cannot be used or does not keep weights in these formats.
    pub fn load(
        on: Processor,
        text: &TextConfig,
        tied: bool,
        weights: &dyn Weights,
        formats: Formats,
    ) -> Result<Self> {
        on.check(formats)?;
        match on {
            Processor::Cpu => {
                ops::prepare_to_decode();
                let load =
                    |format| LanguageModel::load(text, tied, &Formatted { weights, format }).map(Box::new);
                let (language, drafter) = (load(formats.weights())?, formats.drafter().map(load));
                Ok(Self::Cpu { language, drafter: drafter.transpose()? })
            }
            #[cfg(feature = "cuda")]
            Processor::Cuda(number) => {
                let language = cuda::language::Language::load(Driver::open(number)?, text, tied, weights)?;
                Ok(Self::Cuda(Box::new(Mutex::new(language)), text.clone()))
            }
            #[cfg(not(feature = "cuda"))]
            Processor::Cuda(_) => Err(without_cuda()),
        }
    }

    /// The model's shape.
    #[must_use]
    pub fn config(&self) -> &TextConfig {
        match self {
            Self::Cpu { language, .. } => language.config(),
            #[cfg(feature = "cuda")]
            Self::Cuda(_, config) => config,
        }
    }

    /// Bytes of weights that a step reads.
    #[must_use]
    pub fn step_bytes(&self) -> usize {
        match self {
            Self::Cpu { language, .. } => language.step_bytes(),
            #[cfg(feature = "cuda")]
            Self::Cuda(language, _) => language.lock().unwrap_or_else(PoisonError::into_inner).step_bytes(),
        }
    }

    /// Whether there is a drafter.
    #[must_use]
    pub fn has_drafter(&self) -> bool {
        match self {
            Self::Cpu { drafter, .. } => drafter.is_some(),
            #[cfg(feature = "cuda")]
            Self::Cuda(..) => false,
        }
    }

    /// Bytes of a block of keys and values.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        match self {
            Self::Cpu { language, .. } => KvPool::block_bytes(language.config()),
            #[cfg(feature = "cuda")]
            Self::Cuda(_, config) => cuda::language::Language::<Driver>::block_bytes(config),
        }
    }

    /// Takes memory for `blocks` blocks, where a device has its own; elsewhere sees whether there is so much.
    ///
    /// # Errors
    /// When there is not so much.
    pub fn make_room(&self, blocks: usize) -> std::io::Result<()> {
        match self {
            // The system gives memory as it is first written.
            Self::Cpu { .. } => memory::check_cache((blocks * self.block_bytes()) as u64),
            #[cfg(feature = "cuda")]
            Self::Cuda(language, _) => {
                let mut language = language.lock().unwrap_or_else(PoisonError::into_inner);
                language.make_room(blocks).map_err(std::io::Error::other)
            }
        }
    }

    /// What runs steps, with room for `blocks` blocks; on a GPU there is one such room, for whoever steps.
    #[must_use]
    pub fn executor(&self, blocks: usize) -> Box<dyn Executor + '_> {
        match self {
            Self::Cpu { language, drafter } => Box::new(OnCpu::new(language, drafter.as_deref(), blocks)),
            #[cfg(feature = "cuda")]
            Self::Cuda(language, _) => Box::new(OnCuda { language, blocks }),
        }
    }
}

/// A language model on a GPU.
#[cfg(feature = "cuda")]
struct OnCuda<'a> {
    language: &'a Mutex<cuda::language::Language<Driver>>,
    blocks: usize,
}

#[cfg(feature = "cuda")]
impl Executor for OnCuda<'_> {
    fn step(&mut self, batch: &crate::lm::Batch) -> Result<Vec<crate::lm::Next>> {
        let mut language = self.language.lock().unwrap_or_else(PoisonError::into_inner);
        language.make_room(self.blocks)?;
        language.step(batch)
    }
}

/// A vision tower where it runs.
#[derive(Debug)]
pub enum Eye {
    /// On this machine's processor.
    Cpu(Box<Vision>),
    /// On a GPU.
    #[cfg(feature = "cuda")]
    Cuda(Box<Mutex<cuda::vision::Vision<Driver>>>),
}

impl Eye {
    /// Takes every weight that the configuration asks for.
    ///
    /// # Errors
    /// When a weight cannot be read, or the processor cannot be used.
    pub fn load(on: Processor, config: &VisionConfig, weights: &dyn Weights) -> Result<Self> {
        match on {
            Processor::Cpu => {
                ops::prepare_to_decode();
                Ok(Self::Cpu(Box::new(Vision::load(config, weights)?)))
            }
            #[cfg(feature = "cuda")]
            Processor::Cuda(number) => {
                let vision = cuda::vision::Vision::load(Driver::open(number)?, config, weights)?;
                Ok(Self::Cuda(Box::new(Mutex::new(vision))))
            }
            #[cfg(not(feature = "cuda"))]
            Processor::Cuda(_) => Err(without_cuda()),
        }
    }

    /// The embeddings of pictures: patches `[patches, 1176]` become `[tokens, hidden]`.
    ///
    /// # Errors
    /// When the grids do not add up to the patches, or the GPU fails.
    pub fn see(&self, patches: &Tensor, grids: &[Grid]) -> Result<Vec<f32>> {
        match self {
            Self::Cpu(vision) => Ok(vision.forward(patches, grids)?.flatten_all()?.to_vec1()?),
            #[cfg(feature = "cuda")]
            Self::Cuda(vision) => {
                let patches: Vec<f32> = patches.flatten_all()?.to_vec1()?;
                vision.lock().unwrap_or_else(PoisonError::into_inner).see(&patches, grids)
            }
        }
    }
}

#[cfg(not(feature = "cuda"))]
pub(crate) fn without_cuda() -> Error {
    Error::Device("this program was built without the feature cuda; build it with --features cuda".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_read_as_they_are_written() {
        for processor in [Processor::Cpu, Processor::Cuda(0), Processor::Cuda(3)] {
            assert_eq!(Processor::named(&processor.to_string()), Some(processor));
        }
        assert_eq!(Processor::named("cuda"), Some(Processor::Cuda(0)));
        for wrong in ["", "gpu", "cuda:", "cuda:x", "cpu:0"] {
            assert_eq!(Processor::named(wrong), None, "{wrong}");
        }
    }
}
