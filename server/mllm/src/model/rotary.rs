//! Cosines and sines of positions.

use candle_core::{Device, Result, Tensor};

use super::positions::Positions;
use crate::config::TextConfig;

/// What `ops::rope` turns heads by: `[b, t, d/2]` each, f32.
#[derive(Debug, Clone)]
pub struct Rotary {
    /// Cosines.
    pub cos: Tensor,
    /// Sines.
    pub sin: Tensor,
}

impl Rotary {
    /// Of a batch of sequences for the decoder; padding on the right takes angle 0.
    pub(super) fn text(
        config: &TextConfig,
        batch: &[Positions],
        length: usize,
        device: &Device,
    ) -> Result<Self> {
        let frequencies = frequencies(config.rope_theta, config.head_dim());
        let rows = sections(&config.mrope_section);
        let mut angles = vec![0f32; batch.len() * length * frequencies.len()];
        for (positions, angles) in batch.iter().zip(angles.chunks_mut(length * frequencies.len())) {
            if positions.len() > length {
                candle_core::bail!("{} positions do not fit into {length}", positions.len());
            }
            for (token, angles) in angles.chunks_mut(frequencies.len()).take(positions.len()).enumerate() {
                for ((angle, frequency), row) in angles.iter_mut().zip(&frequencies).zip(&rows) {
                    *angle = positions.rows()[*row][token] as f32 * frequency;
                }
            }
        }
        Self::from_angles(&angles, (batch.len(), length, frequencies.len()), device)
    }

    /// Of angles laid out as `shape`.
    pub(super) fn from_angles(angles: &[f32], shape: (usize, usize, usize), device: &Device) -> Result<Self> {
        let turn =
            |f: fn(f32) -> f32| Tensor::from_vec(angles.iter().map(|a| f(*a)).collect(), shape, device);
        Ok(Self { cos: turn(f32::cos)?, sin: turn(f32::sin)? })
    }
}

/// `theta^(-2i/dim)` for the pairs of `dim`, in f32 as PyTorch computes it.
pub(crate) fn frequencies(theta: f32, dim: usize) -> Vec<f32> {
    (0..dim).step_by(2).map(|i| 1.0 / theta.powf(i as f32 / dim as f32)).collect()
}

/// Which row of positions each frequency takes.
pub(crate) fn sections(mrope_section: &[usize]) -> Vec<usize> {
    mrope_section.iter().enumerate().flat_map(|(i, size)| std::iter::repeat_n(i % 3, *size)).collect()
}
