//! Rotary embedding of single tokens.

use crate::config::TextConfig;
use crate::model::rotary::{frequencies, sections};

/// Cosines and sines of the tokens of a batch: `[tokens, head width / 2]` each.
pub(super) struct Turns {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Turns {
    pub(super) fn new(config: &TextConfig, positions: &[[u32; 3]]) -> Self {
        let frequencies = frequencies(config.rope_theta, config.head_dim());
        let rows = sections(&config.mrope_section);
        let angles = positions.iter().flat_map(|position| {
            frequencies.iter().zip(&rows).map(|(frequency, row)| position[*row] as f32 * frequency)
        });
        let (cos, sin) = angles.map(|angle| (angle.cos(), angle.sin())).unzip();
        Self { half: frequencies.len(), cos, sin }
    }

    /// Turns every head `[head width]` of a token's `heads`.
    pub(super) fn turn(&self, token: usize, heads: &mut [f32]) {
        let angles = token * self.half..(token + 1) * self.half;
        let (cos, sin) = (&self.cos[angles.clone()], &self.sin[angles]);
        for head in heads.chunks_exact_mut(2 * self.half) {
            let (first, second) = head.split_at_mut(self.half);
            for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(cos.iter().zip(sin)) {
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}
