//! LoRA under training: pairs of matrices beside the decoder's linear maps, and their way to PEFT's format and back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use candle_core::{Tensor, Var};
use loupe_mllm::adapter::{Adapter, AdapterConfig, Pair};
use loupe_mllm::lm::Matrix;
use loupe_mllm::model::{Dropout, LowRank};
use loupe_mllm::weights::Weights;
use serde::{Deserialize, Serialize};

use super::base::Base;
use super::stamp::letters;
use crate::atlas::rng::fnv1a;
use crate::error::{Result, TrainError};
use crate::learn::init::{LORA_A, LORA_B};
use crate::learn::params::Params;
use crate::place::replace_folder;

/// The decoder's linear maps, all of which the paper tunes.
const TARGETS: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// The shape of an adapter. The defaults are the paper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Numbers between the two matrices.
    pub rank: usize,
    /// The change is multiplied by alpha / rank.
    pub alpha: f64,
    /// Share of a map's input that is dropped for its pair while training.
    pub dropout: f32,
    /// Which of the decoder's maps are changed, by the last part of their names.
    pub targets: Vec<String>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self { rank: 8, alpha: 16.0, dropout: 0.0, targets: TARGETS.map(str::to_owned).to_vec() }
    }
}

impl LoraConfig {
    /// Says what does not fit, if anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        // With an alpha of 0 nothing could be learnt, and no adapter taken over.
        if self.rank == 0 || !self.alpha.is_finite() || self.alpha == 0.0 {
            return Err("lora.rank has to be above 0 and lora.alpha a number other than 0".into());
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err("lora.dropout has to be 0 or more and below 1".into());
        }
        let known = |target: &String| TARGETS.contains(&target.as_str());
        match self.targets.iter().find(|target| !known(target)) {
            Some(target) => Err(format!("lora.targets has {target:?}; there are {}", TARGETS.join(", "))),
            None if self.targets.is_empty() => Err("lora.targets is empty".into()),
            None => Ok(()),
        }
    }

    fn hits(&self, module: &str) -> bool {
        let last = module.rsplit('.').next().unwrap_or_default();
        module.starts_with("model.layers.") && self.targets.iter().any(|target| target == last)
    }
}

/// A base model's weights with pairs beside them; loading a model from it makes the pairs in `params`.
pub struct LoraWeights<'a> {
    /// The frozen weights.
    pub base: &'a dyn Weights,
    /// The pairs.
    pub params: &'a Params,
    /// Their shape.
    pub config: &'a LoraConfig,
    /// The seed of dropout in the forward pass to come; 0 while nothing is to be dropped.
    pub dropout: &'a Arc<AtomicU64>,
}

impl Weights for LoraWeights<'_> {
    fn get(&self, name: &str, shape: &[usize]) -> loupe_mllm::Result<Tensor> {
        self.base.get(name, shape)
    }

    fn matrix(&self, name: &str, shape: [usize; 2]) -> loupe_mllm::Result<Matrix> {
        self.base.matrix(name, shape)
    }

    fn beside(&self, module: &str, [outputs, inputs]: [usize; 2]) -> loupe_mllm::Result<Option<LowRank>> {
        if !self.config.hits(module) {
            return Ok(None);
        }
        let rank = self.config.rank;
        let var = |end: &str, shape: [usize; 2]| self.params.var(&format!("{module}{end}"), &shape);
        Ok(Some(LowRank {
            a: var(LORA_A, [rank, inputs])?.as_tensor().clone(),
            b: var(LORA_B, [outputs, rank])?.as_tensor().clone(),
            scale: self.config.alpha / rank as f64,
            dropout: Dropout {
                rate: self.config.dropout,
                map: fnv1a(module.as_bytes()),
                seed: self.dropout.clone(),
            },
        }))
    }
}

/// The pairs beside a model as an adapter.
///
/// # Errors
/// When they do not fit `base`.
pub fn to_adapter(base: &Base, config: &LoraConfig) -> Result<Adapter> {
    let mut halves: BTreeMap<String, [Vec<f32>; 2]> = BTreeMap::new();
    for (name, var) in base.learner.params.all() {
        for (half, end) in [LORA_A, LORA_B].into_iter().enumerate() {
            if let Some(module) = name.strip_suffix(end) {
                halves.entry(module.to_owned()).or_default()[half] = var.flatten_all()?.to_vec1()?;
            }
        }
    }
    let numbers = halves.into_iter().map(|(module, [a, b])| (module, (a, b))).collect();
    let peft = AdapterConfig::new(config.rank, config.alpha, Some(base.name.clone()));
    Ok(Adapter::new(peft, &base.config, numbers)?.made_for(base.weights.clone()))
}

/// Takes over an adapter's numbers, all or none; its scale is worked into B where it is another one.
///
/// # Errors
/// When it changes other maps than `params` has, or has another rank or width.
pub fn take(adapter: &Adapter, params: &Params, config: &LoraConfig) -> Result<()> {
    let known: BTreeMap<String, Var> = params.all().into_iter().collect();
    let mut taken = BTreeMap::new();
    for module in adapter.modules() {
        let Some(pair) = adapter.pair(module) else { continue };
        for (end, values) in matrices(pair, config)? {
            let name = format!("{module}{end}");
            fits(&name, &values, known.get(&name), config).map_err(refused)?;
            taken.insert(name, values);
        }
    }
    if let Some(missing) = known.keys().find(|name| !taken.contains_key(*name)) {
        return Err(refused(format!("it lacks {missing}, which the recipe tunes")));
    }
    for (name, values) in &taken {
        known[name].set(values)?;
    }
    Ok(())
}

/// A pair as tensors by the ends of their names, B for the recipe's scale.
fn matrices(pair: &Pair, config: &LoraConfig) -> Result<[(&'static str, Tensor); 2]> {
    let tensor = |values: &[f32], shape| Tensor::from_slice(values, shape, &candle_core::Device::Cpu);
    let (inputs, outputs) = (pair.a.len() / pair.rank, pair.b.len() / pair.rank);
    let scale = (config.alpha / config.rank as f64) as f32;
    let b = (tensor(&pair.b, (outputs, pair.rank))? * f64::from(pair.scale / scale))?;
    Ok([(LORA_A, tensor(&pair.a, (pair.rank, inputs))?), (LORA_B, b)])
}

/// Says why a matrix of an adapter cannot be taken, if it cannot.
fn fits(name: &str, values: &Tensor, var: Option<&Var>, config: &LoraConfig) -> Result<(), String> {
    let Some(var) = var else {
        return Err(format!("it has {name}, the recipe tunes only {}", config.targets.join(", ")));
    };
    if var.dims() == values.dims() {
        return Ok(());
    }
    let (its, wanted, rank) = (values.dims(), var.dims(), config.rank);
    Err(format!(
        "{name} has the shape {its:?} in it; this model and the recipe's rank {rank} want {wanted:?}"
    ))
}

/// An adapter by its numbers, in few letters.
pub(super) fn hash(adapter: &Adapter) -> String {
    let mut hasher = blake3::Hasher::new();
    for module in adapter.modules() {
        let Some(pair) = adapter.pair(module) else { continue };
        hasher.update(module.as_bytes()).update(&pair.scale.to_le_bytes());
        hasher.update(bytemuck::cast_slice(&pair.a)).update(bytemuck::cast_slice(&pair.b));
    }
    letters(hasher.finalize())
}

fn refused(reason: String) -> TrainError {
    TrainError::Adapter { reason }
}

/// Writes an adapter's folder; one that is there is replaced when the new one is complete.
///
/// # Errors
/// When it cannot be written.
pub fn save(adapter: &Adapter, folder: &Path) -> Result<()> {
    replace_folder(folder, |part| Ok(adapter.save(part)?))
}
