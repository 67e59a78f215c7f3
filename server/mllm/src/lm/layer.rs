//! One decoder layer.

use candle_core::Result;
use rayon::prelude::*;

use super::attend::attend;
use super::batch::Batch;
use super::kv::{BLOCK, KvPool};
use super::lora::{Adapted, Product};
use super::matrix::Matrix;
use super::rotary::Turns;
use crate::config::TextConfig;
use crate::ops::rows::{rms_norm, swiglu_in_halves};
use crate::weights::Scope;

/// Queries, keys and values are one matrix, gate and up another: each is read in one pass.
#[derive(Debug)]
pub(super) struct Layer {
    eps: f32,
    attention_norm: Vec<f32>,
    /// `[(heads + 2 kv heads) * head width, hidden]`
    qkv: Matrix,
    qkv_bias: Vec<f32>,
    output: Matrix,
    mlp_norm: Vec<f32>,
    /// `[2 * intermediate, hidden]`: gate, then up.
    gate_up: Matrix,
    down: Matrix,
    width: usize,
    kv_width: usize,
}

impl Layer {
    pub(super) fn load(config: &TextConfig, scope: &Scope) -> crate::Result<Self> {
        let (width, kv_width, inner) = (config.hidden_size, config.kv_size(), config.intermediate_size);
        let (attention, mlp) = (scope.below("self_attn"), scope.below("mlp"));
        let parts = [("q_proj", width), ("k_proj", kv_width), ("v_proj", kv_width)];
        let mut qkv = Vec::new();
        let mut qkv_bias = Vec::new();
        for (name, rows) in parts {
            let part = attention.below(name);
            qkv.push(part.matrix("weight", [rows, width])?);
            qkv_bias.extend(part.vector("bias", rows)?);
        }
        let gate_up =
            ["gate_proj", "up_proj"].map(|name| mlp.matrix(&format!("{name}.weight"), [inner, width]));
        Ok(Self {
            eps: config.rms_norm_eps,
            attention_norm: scope.vector("input_layernorm.weight", width)?,
            qkv: Matrix::stack(qkv)?.compact(),
            qkv_bias,
            output: attention.matrix("o_proj.weight", [width, width])?.compact(),
            mlp_norm: scope.vector("post_attention_layernorm.weight", width)?,
            gate_up: Matrix::stack(gate_up.into_iter().collect::<crate::Result<_>>()?)?.compact(),
            down: mlp.matrix("down_proj.weight", [width, inner])?.compact(),
            width,
            kv_width,
        })
    }

    /// Bytes of the matrices.
    pub(super) fn bytes(&self) -> usize {
        [&self.qkv, &self.output, &self.gate_up, &self.down].map(Matrix::bytes).iter().sum()
    }

    /// What attention adds to `x` `[tokens, hidden]`; the tokens' keys and values go into the pool.
    pub(super) fn attention(
        &self,
        x: &[f32],
        turns: &Turns,
        batch: &Batch,
        adapted: &Adapted,
        pool: &mut KvPool,
        index: usize,
    ) -> Result<Vec<f32>> {
        let normed = rms_norm(x, &self.attention_norm, self.eps);
        let mut qkv = self.qkv.product(&normed, Some(&self.qkv_bias))?;
        adapted.add(&mut qkv, index, Product::Qkv, &normed)?;
        let row = self.width + 2 * self.kv_width;
        qkv.par_chunks_mut(row).enumerate().with_min_len(16).for_each(|(token, qkv)| {
            // Values are not turned.
            turns.turn(token, &mut qkv[..self.width + self.kv_width]);
        });
        let mut rows = qkv.chunks_exact(row);
        for segment in &batch.segments {
            for (place, qkv) in (segment.before..segment.total()).zip(&mut rows) {
                let (keys, values) = qkv[self.width..].split_at(self.kv_width);
                pool.write(index, segment.blocks[place / BLOCK], place % BLOCK, keys, values);
            }
        }
        let mixed = attend(&qkv, self.width, row, batch, pool, index)?;
        let mut output = self.output.product(&mixed, None)?;
        adapted.add(&mut output, index, Product::Output, &mixed)?;
        Ok(output)
    }

    /// What the feed-forward layer adds to `x` `[tokens, hidden]`.
    pub(super) fn feed_forward(&self, x: &[f32], adapted: &Adapted, index: usize) -> Result<Vec<f32>> {
        let normed = rms_norm(x, &self.mlp_norm, self.eps);
        let mut gate_up = self.gate_up.product(&normed, None)?;
        adapted.add(&mut gate_up, index, Product::GateUp, &normed)?;
        let inner = self.gate_up.rows() / 2;
        let gated = swiglu_in_halves(&gate_up, inner);
        let mut down = self.down.product(&gated, None)?;
        adapted.add(&mut down, index, Product::Down, &gated)?;
        Ok(down)
    }
}
