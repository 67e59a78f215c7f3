//! LoRA adapters (Hu et al. 2021) in PEFT's format: small changes of a model's weights, W + scale · B A.
//!
//! An adapter is merged into the weights when a model is opened, or kept beside them and applied to the turns that name
//! it ([`crate::lm::Lora`]).
//!
//! - `base`: the weights that it was made for.
//! - [`config`]: what `adapter_config.json` says.
//! - [`spec`]: how adapters are named on the command line, and those of a served model.
//! - `modules`: the linear maps that an adapter may change, and their keys in its file.
//! - `weights`: `adapter_model.safetensors`, read and checked.
//! - `write`: an adapter as PEFT reads it.
//! - `merged`: weights with adapters merged into them.
//! - `bake`: a checkpoint with an adapter merged into it, written.

mod bake;
mod base;
pub mod config;
pub(crate) mod merged;
mod modules;
pub mod spec;
mod weights;
mod write;

use std::collections::BTreeMap;

pub use config::AdapterConfig;
pub(crate) use modules::{in_layer, is_vision};
pub use spec::{AdapterSpec, Adapters};

use crate::checkpoint::{Files, Fingerprint};
use crate::config::ModelConfig;
use crate::error::{Error, Result};

/// What an adapter adds to one linear map from `inputs` to `outputs` numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// `[rank, inputs]`
    pub a: Vec<f32>,
    /// `[outputs, rank]`
    pub b: Vec<f32>,
    /// Numbers between the two; at least 1.
    pub rank: usize,
    /// What their product is multiplied by.
    pub scale: f32,
}

/// An adapter that fits a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    config: AdapterConfig,
    /// By the name of the map's weight on the hub, without `.weight`: `model.layers.3.self_attn.q_proj`.
    pairs: BTreeMap<String, Pair>,
    /// The weights that it was made for, where it says so.
    base: Option<Fingerprint>,
}

impl Adapter {
    /// Opens an adapter's folder as PEFT writes it, for a base model of the shape `base`.
    ///
    /// # Errors
    /// When a file is missing, broken or asks for what is not supported, or the adapter belongs to another base model;
    /// with the file, the tensor, what was found and what was expected.
    pub fn open(files: &Files, base: &ModelConfig) -> Result<Self> {
        let config = AdapterConfig::read(files)?;
        let pairs = weights::read(files, &config, base)?;
        Ok(Self { config, pairs, base: base::read(files)? })
    }

    /// An adapter of new numbers: `(A, B)`, `[rank, inputs]` and `[outputs, rank]`, by the name of the map's weight
    /// on the hub, without `.weight`.
    ///
    /// # Errors
    /// [`Error::Adapter`] when a name is none of `base`'s linear maps, or numbers do not fill its shape.
    pub fn new(
        config: AdapterConfig,
        base: &ModelConfig,
        numbers: BTreeMap<String, (Vec<f32>, Vec<f32>)>,
    ) -> Result<Self> {
        let mut pairs = BTreeMap::new();
        for (module, (a, b)) in numbers {
            let Some([outputs, inputs]) = modules::shape(&module, base) else {
                return Err(Error::Adapter(format!("the model has no linear map {module}")));
            };
            let rank = config.rank(&module);
            if rank == 0 || a.len() != rank * inputs || b.len() != outputs * rank {
                let (a, b) = (a.len(), b.len());
                return Err(Error::Adapter(format!(
                    "{module}: {a} and {b} numbers do not fill [{rank}, {inputs}] and [{outputs}, {rank}]"
                )));
            }
            let scale = config.scale(&module);
            pairs.insert(module, Pair { a, b, rank, scale });
        }
        Ok(Self { config, pairs, base: None })
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// What it adds to a linear map, by the name of the map's weight on the hub, without `.weight`; often nothing.
    #[must_use]
    pub fn pair(&self, module: &str) -> Option<&Pair> {
        self.pairs.get(module)
    }

    /// The linear maps that it changes.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.pairs.keys().map(String::as_str)
    }
}
