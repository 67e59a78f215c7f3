//! LoRA under training (Hu et al. 2021): a linear map's change of low rank, beside its frozen weight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::ops;

/// Numbers of a mask that one thread draws at a time.
const CHUNK: usize = 1 << 12;

/// `scale · B A dropout(x)`.
#[derive(Debug, Clone)]
pub struct LowRank {
    /// `[rank, inputs]`
    pub a: Tensor,
    /// `[outputs, rank]`
    pub b: Tensor,
    /// What the product is multiplied by: PEFT's alpha / rank.
    pub scale: f64,
    /// What is dropped of x.
    pub dropout: Dropout,
}

impl LowRank {
    /// The map of a frozen weight and this beside it: x `[.., inputs]` becomes `[.., outputs]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn beside(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let Some(dropped) = self.dropout.apply(x)? else {
            return ops::linear_low_rank(x, (weight, bias), (&self.a, &self.b), self.scale);
        };
        let change = ops::linear(&ops::linear(&dropped, &self.a, None)?, &self.b, None)?;
        ops::linear(x, weight, bias)? + (change * self.scale)?
    }
}

/// Drops numbers at random while training, and scales the others so that their mean stays. The mask is a function of
/// the seed and of which map it is, so that a layer that is computed again for its gradient drops the same.
#[derive(Debug, Clone)]
pub struct Dropout {
    /// The share that is dropped, 0 to below 1.
    pub rate: f32,
    /// Which map it is.
    pub map: u64,
    /// The seed of this forward pass, shared by all maps; 0 drops nothing.
    pub seed: Arc<AtomicU64>,
}

impl Dropout {
    /// What the draws of this forward pass begin with, and the draw below which a number is dropped; none where nothing
    /// is dropped.
    pub(crate) fn draws(&self) -> Option<[u64; 2]> {
        let seed = self.seed.load(Ordering::Relaxed);
        let below = (f64::from(self.rate) * 2f64.powi(64)) as u64;
        (self.rate > 0.0 && seed != 0).then(|| [seed ^ mix(self.map), below])
    }

    /// What numbers that are kept are multiplied by.
    pub(crate) fn keep(&self) -> f32 {
        1.0 / (1.0 - self.rate)
    }

    /// x with numbers dropped; none where nothing is dropped.
    fn apply(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let Some([start, below]) = self.draws() else { return Ok(None) };
        let keep = self.keep();
        let mut mask = vec![0.0; x.elem_count()];
        mask.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, mask)| {
            let mut state = mix(start ^ mix(chunk as u64 + 1).rotate_left(32));
            for value in mask {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                *value = if mix(state) < below { 0.0 } else { keep };
            }
        });
        Ok(Some((x * Tensor::from_vec(mask, x.shape(), x.device())?)?))
    }
}

/// SplitMix64's finaliser (Steele et al. 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn dropout_keeps_the_mean_repeats_itself_and_can_be_off() {
        let seed = Arc::new(AtomicU64::new(0));
        let dropout = |map| Dropout { rate: 0.25, map, seed: seed.clone() };
        let x = Tensor::ones(100_000, DType::F32, &Device::Cpu).unwrap();
        assert!(dropout(1).apply(&x).unwrap().is_none());
        let values = |map| dropout(map).apply(&x).unwrap().unwrap().to_vec1::<f32>().unwrap();
        seed.store(7, Ordering::Relaxed);
        let first = values(1);
        assert_eq!(first, values(1));
        assert_ne!(first, values(2));
        let dropped = first.iter().filter(|value| **value == 0.0).count() as f32 / 1e5;
        let mean = first.iter().sum::<f32>() / 1e5;
        assert!((dropped - 0.25).abs() < 0.01 && (mean - 1.0).abs() < 0.02, "{dropped} {mean}");
        seed.store(8, Ordering::Relaxed);
        assert_ne!(first, values(1));
    }
}
