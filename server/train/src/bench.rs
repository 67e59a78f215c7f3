//! How fast training is on this machine.

use std::sync::Arc;
use std::time::Instant;

use candle_core::{Device, Tensor};
use loupe_mllm::Processor;
use loupe_mllm::bench::RandomWeights;
use loupe_mllm::checkpoint::{Files, read_config};
use loupe_mllm::config::ModelConfig;
use loupe_mllm::cuda::tune::Load;
use loupe_mllm::model::Positions;
use loupe_mllm::ops;
use serde::Serialize;

use crate::atlas::rng::Rng;
use crate::error::Result;
use crate::learn::batch::{Batch, Place, Target};
use crate::learn::init::Init;
use crate::learn::machine::Machine;
use crate::learn::optim::{AdamW, AdamWConfig};
use crate::learn::params::Params;
use crate::learn::step::Learner;
use crate::tune::base::Base;
use crate::tune::lora::{LoraConfig, LoraWeights};
use crate::tune::memory::Memory;

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TrainFigure {
    /// Sequences of a step.
    pub rows: usize,
    /// Tokens of each.
    pub length: usize,
    /// Numbers under training.
    pub trained: usize,
    /// A whole step: forward, backward, AdamW. The median.
    pub step_ms: f64,
    /// Of one step's tokens.
    pub tokens_per_second: f64,
}

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trained {
    /// Every weight.
    Everything,
    /// A LoRA adapter of rank 16 on all of the decoder's maps.
    Adapter,
}

/// Steps over words alone, drawn at random, every token a target, on a checkpoint's shape in f32.
///
/// # Errors
/// When the checkpoint cannot be used.
pub fn train(files: &Files, what: Trained, rows: usize, length: usize, steps: usize) -> Result<TrainFigure> {
    ops::prepare_to_train();
    let mut learner = learner(files, what)?;
    let vocab = read_config(files)?.text.vocab_size;
    let batch = batch(rows, length, vocab)?;
    let mut times = Vec::with_capacity(steps);
    for step in 0..=steps as u64 {
        let began = Instant::now();
        learner.step(std::slice::from_ref(&batch), 1e-4, step)?;
        times.push(began.elapsed().as_secs_f64());
    }
    // The first step also takes memory from the system.
    let mut times = times.split_off(1.min(steps));
    times.sort_by(f64::total_cmp);
    let seconds = times[times.len() / 2];
    let tokens_per_second = (rows * length) as f64 / seconds;
    let trained = learner.params.count();
    Ok(TrainFigure { rows, length, trained, step_ms: seconds * 1e3, tokens_per_second })
}

fn learner(files: &Files, what: Trained) -> Result<Learner> {
    if what == Trained::Adapter {
        let lora = LoraConfig { rank: 16, ..LoraConfig::default() };
        return Ok(Base::open(Processor::Cpu, files, &lora, AdamWConfig::default(), 1)?.learner);
    }
    let config = read_config(files)?;
    let (layers, vision_layers) = (config.text.layers, config.vision.depth);
    let params = Params::new(Init { seed: 1, deviation: 0.02, layers, vision_layers });
    let model = Machine::load(Processor::Cpu, &config, &params)?;
    let optimiser = AdamW::new(AdamWConfig::default());
    Ok(Learner { params, model, dense: None, optimiser, checkpointing: false, temperature: 1.0 })
}

/// How an adapter of a large model is tuned.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// Numbers between the adapter's matrices.
    pub rank: usize,
    /// Tokens of a step, in one sequence.
    pub length: usize,
    /// Steps.
    pub steps: usize,
    /// Whether layers are computed again for their gradients.
    pub checkpointing: bool,
}

/// What tuning took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TuneFigure {
    /// Layers of the language model.
    pub layers: usize,
    /// Tokens of a step.
    pub length: usize,
    /// Whether layers were computed again.
    pub checkpointing: bool,
    /// Numbers of the model itself.
    pub frozen: u64,
    /// Numbers under training.
    pub trained: u64,
    /// The median step, in seconds.
    pub step_seconds: f64,
    /// The most memory that this process ever had, where the system tells; on a GPU the most of it that was taken.
    pub peak_bytes: Option<u64>,
    /// What was to be expected by the shape.
    pub expected: Memory,
}

/// Steps of a LoRA adapter on all of the decoder's maps, on a model of that shape with random weights: f32 on the CPU, bf16
/// on a GPU.
///
/// # Errors
/// When memory does not suffice.
pub fn tune(on: Processor, config: &ModelConfig, how: Tuning) -> Result<TuneFigure> {
    ops::prepare_to_train();
    let lora = LoraConfig { rank: how.rank, ..LoraConfig::default() };
    let (params, dropout) =
        (Params::new(Init { seed: 1, deviation: 0.0, layers: 0, vision_layers: 0 }), Arc::default());
    let pairs = LoraWeights { base: &RandomWeights, params: &params, config: &lora, dropout: &dropout };
    let model = Machine::load(on, config, &pairs)?;
    let optimiser = AdamW::new(AdamWConfig::default());
    let mut learner =
        Learner { params, model, dense: None, optimiser, checkpointing: how.checkpointing, temperature: 1.0 };
    let batch = batch(1, how.length, config.text.vocab_size)?;
    let mut times = Vec::with_capacity(how.steps);
    for step in 0..how.steps as u64 {
        let began = Instant::now();
        learner.step(std::slice::from_ref(&batch), 1e-4, step)?;
        times.push(began.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let trained = learner.params.count() as u64;
    Ok(TuneFigure {
        layers: config.text.layers,
        length: how.length,
        // A GPU always computes layers again.
        checkpointing: how.checkpointing || learner.model.is_gpu(),
        frozen: config.parameters(),
        trained,
        step_seconds: times.get(times.len() / 2).copied().unwrap_or_default(),
        peak_bytes: match &learner.model {
            Machine::Cpu(_) => peak(),
            Machine::Gpu(tuner) => Some(tuner.taken()?),
        },
        expected: match on {
            Processor::Cpu => Memory::of(config, trained, how.length as u64, how.checkpointing),
            Processor::Cuda(_) => {
                let (rank, tokens, longest) = (how.rank, how.length, how.length);
                Memory::on_gpu(config, &Load { trained, rank, drops: false, tokens, longest, patches: 0 })
            }
        },
    })
}

/// The most memory that this process ever had, as Linux tells it.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn batch(rows: usize, length: usize, vocab: usize) -> Result<Batch> {
    let mut rng = Rng::of(1, "bench", 0);
    let ids: Vec<u32> = (0..rows * length).map(|_| rng.below(vocab) as u32).collect();
    let mut targets = Vec::with_capacity(ids.len());
    for (at, id) in ids.iter().enumerate().filter(|(at, _)| at % length > 0) {
        let sequence = (at / length) as u32;
        targets.push(Target { row: at as u32 - 1, id: *id, weight: 1.0, sequence, turn: 0 });
    }
    let positions = ids.chunks(length).map(|ids| Positions::of(ids, u32::MAX, &[]));
    Ok(Batch {
        next: Place::default(),
        positions: positions.collect::<loupe_mllm::Result<_>>()?,
        order: None,
        pictures: None,
        grids: Vec::new(),
        targets,
        kinds: vec!["bench"; rows],
        cell_places: Vec::new(),
        cells: Vec::new(),
        tokens: ids.len() as u64,
        ids: Tensor::from_vec(ids, (rows, length), &Device::Cpu)?,
    })
}
