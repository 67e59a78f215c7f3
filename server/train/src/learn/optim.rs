//! AdamW with decoupled weight decay, in place over the variables; hidden matrices by Muon where asked.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, InplaceOp2, Layout, Storage, Tensor, Var, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::learn::grads::Grads;
use crate::learn::{lanes, muon};

/// Numbers that one thread updates at a time.
const CHUNK: usize = 1 << 14;

/// What stays the same over a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of squared gradients.
    pub beta2: f32,
    /// Added to the root of the latter.
    pub eps: f32,
    /// Decay of matrices per step, as a part of the learning rate; vectors (norms, biases) do not decay.
    pub weight_decay: f32,
    /// Gradients are scaled down to this global norm.
    pub clip: f64,
    /// Whether the matrices inside the layers are moved by [`muon`] instead.
    pub muon: bool,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, clip: 1.0, muon: false }
    }
}

impl AdamWConfig {
    /// Says what does not fit, if anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mean = |beta: f32| (0.0..1.0).contains(&beta);
        if !mean(self.beta1) || !mean(self.beta2) {
            return Err("optimiser.beta1 and beta2 have to be 0 or more and below 1".into());
        }
        if !(self.eps > 0.0 && self.eps.is_finite()) {
            return Err("optimiser.eps has to be above 0".into());
        }
        if !(0.0..=1.0).contains(&self.weight_decay) {
            return Err("optimiser.weight_decay has to be from 0 to 1".into());
        }
        match self.clip > 0.0 {
            true => Ok(()),
            false => Err("optimiser.clip has to be above 0".into()),
        }
    }
}

/// Means of a variable's gradients and of their squares.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Moments {
    /// Of the gradients.
    pub mean: Vec<f32>,
    /// Of their squares.
    pub square: Vec<f32>,
}

impl Moments {
    /// Moves a matrix by Muon, whose momentum is the mean; there are no squares.
    fn muon(&mut self, var: &Var, grad: &Tensor, rate: f64, keep: f64) -> candle_core::Result<()> {
        let mean = std::mem::take(&mut self.mean);
        let momentum =
            (!mean.is_empty()).then(|| Tensor::from_vec(mean, var.shape(), var.device())).transpose()?;
        let momentum = muon::step(var, grad, momentum.as_ref(), rate, keep)?;
        self.mean = momentum.flatten_all()?.to_vec1()?;
        Ok(())
    }
}

/// The optimiser with its state.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    steps: u64,
    moments: BTreeMap<String, Moments>,
}

impl AdamW {
    /// An optimiser that has seen nothing.
    #[must_use]
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, steps: 0, moments: BTreeMap::new() }
    }

    /// An optimiser that goes on after `steps` with the state it had.
    #[must_use]
    pub fn resumed(config: AdamWConfig, steps: u64, moments: BTreeMap<String, Moments>) -> Self {
        Self { config, steps, moments }
    }

    /// Steps taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The state by variable.
    #[must_use]
    pub fn moments(&self) -> &BTreeMap<String, Moments> {
        &self.moments
    }

    /// Takes one step of size `rate`; the answer is the gradients' global norm before clipping. When that is not finite
    /// nothing is changed. A variable without gradient stays as it is.
    ///
    /// # Errors
    /// When a gradient is not an f32 tensor of its variable's shape on the CPU.
    pub fn step(&mut self, vars: &[(String, Var)], grads: &Grads, rate: f64) -> candle_core::Result<f64> {
        let present: Vec<Present> =
            vars.iter().filter_map(|(name, var)| Some((name, var, grads.get(name)?))).collect();
        let mut total = 0.0;
        for (_, _, grad) in &present {
            total += sum_of_squares(grad)?;
        }
        let norm = total.sqrt();
        if !norm.is_finite() {
            return Ok(norm);
        }
        self.steps += 1;
        let update = Update::new(&self.config, self.steps, rate, norm);
        let (matrices, others): (Vec<_>, Vec<_>) =
            present.into_iter().partition(|(name, var, _)| self.config.muon && muon::moves(name, var));
        self.muon(matrices, rate, f64::from(update.keep))?;
        for (name, var, grad) in others {
            let moments = self.moments.entry(name.clone()).or_default();
            moments.mean.resize(var.elem_count(), 0.0);
            moments.square.resize(var.elem_count(), 0.0);
            let decays = var.rank() > 1;
            var.inplace_op2(grad, &Step { update: &update, moments: Mutex::new(moments), decays })?;
        }
        Ok(norm)
    }

    /// Moves matrices by Muon, half of them in each lane: none depends on another.
    fn muon(&mut self, mut matrices: Vec<Present>, rate: f64, keep: f64) -> candle_core::Result<()> {
        // The larger first, by turns, so that both lanes have as much to do.
        matrices.sort_by_key(|(_, var, _)| Reverse(var.elem_count()));
        let mut halves = [Vec::new(), Vec::new()];
        for (at, (name, var, grad)) in matrices.into_iter().enumerate() {
            halves[at % 2].push((name, self.moments.remove(name).unwrap_or_default(), var, grad));
        }
        let moved = |half: Vec<(&String, Moments, &Var, &Tensor)>| {
            let each = half.into_iter().map(|(name, mut moments, var, grad)| {
                moments.muon(var, grad, rate, keep)?;
                Ok((name.clone(), moments))
            });
            each.collect::<candle_core::Result<Vec<_>>>()
        };
        let [one, other] = halves;
        let (one, other) = lanes::both(|| moved(one), || moved(other));
        self.moments.extend(one?.into_iter().chain(other?));
        Ok(())
    }
}

/// A variable with its name and gradient.
type Present<'a> = (&'a String, &'a Var, &'a Tensor);

/// The sum of a tensor's squares; the chunks are fixed, so that the number does not depend on the threads.
fn sum_of_squares(tensor: &Tensor) -> candle_core::Result<f64> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(CpuStorage::F32(values)) = &*storage else {
        bail!("a gradient is {:?} on {:?}, not f32 on the CPU", tensor.dtype(), tensor.device().location());
    };
    let values = &values[layout.start_offset()..layout.start_offset() + layout.shape().elem_count()];
    let parts: Vec<f64> = values
        .par_chunks(CHUNK)
        .map(|chunk| chunk.iter().map(|x| f64::from(*x) * f64::from(*x)).sum())
        .collect();
    Ok(parts.iter().sum())
}

/// The numbers of one step.
struct Update {
    beta1: f32,
    beta2: f32,
    eps: f32,
    /// Learning rate over the bias correction of the mean.
    rate: f32,
    /// One over the root of the bias correction of the squares.
    square_scale: f32,
    /// What a decaying weight keeps.
    keep: f32,
    /// Scales the gradients down to the clipping norm.
    clip: f32,
}

impl Update {
    fn new(config: &AdamWConfig, steps: u64, rate: f64, norm: f64) -> Self {
        let steps = steps as f64;
        let correction = |beta: f32| 1.0 - libm::pow(f64::from(beta), steps);
        let clip = if norm > config.clip { config.clip / norm } else { 1.0 };
        Self {
            beta1: config.beta1,
            beta2: config.beta2,
            eps: config.eps,
            rate: (rate / correction(config.beta1)) as f32,
            square_scale: (1.0 / correction(config.beta2).sqrt()) as f32,
            keep: (1.0 - rate * f64::from(config.weight_decay)) as f32,
            clip: clip as f32,
        }
    }

    fn apply(&self, weights: &mut [f32], grads: &[f32], mean: &mut [f32], square: &mut [f32], keep: f32) {
        let gradients = weights.iter_mut().zip(grads).zip(mean.iter_mut().zip(square.iter_mut()));
        for ((weight, grad), (mean, square)) in gradients {
            let grad = grad * self.clip;
            *mean = self.beta1 * *mean + (1.0 - self.beta1) * grad;
            *square = self.beta2 * *square + (1.0 - self.beta2) * grad * grad;
            let root = square.sqrt() * self.square_scale + self.eps;
            *weight = *weight * keep - self.rate * *mean / root;
        }
    }
}

struct Step<'a> {
    update: &'a Update,
    moments: Mutex<&'a mut Moments>,
    decays: bool,
}

impl InplaceOp2 for Step<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        wl: &Layout,
        grads: &CpuStorage,
        gl: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(weights), CpuStorage::F32(grads)) = (weights, grads) else {
            bail!("AdamW updates f32 weights by f32 gradients");
        };
        let count = wl.shape().elem_count();
        let (Some(weights), Some(grads)) = (
            weights.get_mut(wl.start_offset()..wl.start_offset() + count),
            grads.get(gl.start_offset()..gl.start_offset() + count),
        ) else {
            bail!("a gradient of shape {:?} does not fit a weight of shape {:?}", gl.shape(), wl.shape());
        };
        let keep = if self.decays { self.update.keep } else { 1.0 };
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let Moments { mean, square } = &mut **moments;
        weights
            .par_chunks_mut(CHUNK)
            .zip(grads.par_chunks(CHUNK))
            .zip(mean.par_chunks_mut(CHUNK).zip(square.par_chunks_mut(CHUNK)))
            .for_each(|((weights, grads), (mean, square))| {
                self.update.apply(weights, grads, mean, square, keep);
            });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    /// Two steps on one weight matrix and one bias, worked out by torch.optim.AdamW after clip_grad_norm_
    /// (tests/golden/optim/generate.py).
    #[test]
    fn two_steps_are_those_of_pytorch() -> candle_core::Result<()> {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../../../tests/golden/optim/adamw.json"))
                .expect("golden file");
        let tensor = |name: &str| {
            let values: Vec<Vec<f32>> = serde_json::from_value(golden[name].clone()).expect(name);
            let columns = values[0].len();
            Tensor::from_vec(values.concat(), (values.len(), columns), &Device::Cpu)
        };
        let matrix = Var::from_tensor(&tensor("matrix")?)?;
        let bias = Var::from_tensor(&tensor("bias")?.flatten_all()?)?;
        let input = tensor("input")?;
        let vars = [("m.weight".to_owned(), matrix.clone()), ("m.bias".to_owned(), bias.clone())];
        let config =
            AdamWConfig { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, clip: 1.0, muon: false };
        let mut optimiser = AdamW::new(config);
        for _ in 0..2 {
            let loss = input.matmul(&matrix.t()?)?.broadcast_add(&bias)?.sqr()?.sum_all()?;
            optimiser.step(&vars, &Grads::of(&vars, &loss.backward()?)?, 0.01)?;
        }
        for (name, var) in [("matrix_after", &matrix), ("bias_after", &bias)] {
            let expected = tensor(name)?.flatten_all()?.to_vec1::<f32>()?;
            let got = var.flatten_all()?.to_vec1::<f32>()?;
            for (got, expected) in got.iter().zip(&expected) {
                assert!((got - expected).abs() < 1e-6, "{name}: {got} {expected}");
            }
        }
        Ok(())
    }

    #[test]
    fn an_infinite_gradient_changes_nothing() -> candle_core::Result<()> {
        let var = Var::zeros(3, DType::F32, &Device::Cpu)?;
        let loss = (var.as_tensor() * f64::INFINITY)?.sum_all()?;
        let vars = [("w".to_owned(), var.clone())];
        let grads = Grads::of(&vars, &loss.backward()?)?;
        let norm = AdamW::new(AdamWConfig::default()).step(&vars, &grads, 0.1)?;
        assert!(!norm.is_finite());
        assert_eq!(var.to_vec1::<f32>()?, [0.0; 3]);
        Ok(())
    }
}
