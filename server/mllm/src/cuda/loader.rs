//! How weights are brought to a GPU.

use half::slice::HalfFloatSliceExt;

use super::gpu::{Gpu, filled};
use crate::config::TextConfig;
use crate::error::Result;
use crate::lm::Matrix;
use crate::weights::Scope;

/// A decoder layer. Matrices `[rows, columns]` are bf16, vectors f32.
#[derive(Debug)]
pub(super) struct Layer<M> {
    pub(super) attention_norm: M,
    pub(super) qkv: M,
    pub(super) qkv_bias: M,
    pub(super) output: M,
    pub(super) mlp_norm: M,
    pub(super) gate_up: M,
    pub(super) down: M,
}

/// Brings weights to a GPU and counts their bytes.
pub(super) struct Loader<'a, G: Gpu> {
    pub(super) gpu: &'a G,
    /// Bytes of matrices so far.
    pub(super) bytes: usize,
}

impl<G: Gpu> Loader<'_, G> {
    pub(super) fn matrix(&mut self, matrix: Matrix) -> Result<G::Memory> {
        let values = matrix.into_bf16();
        self.bytes += size_of_val(values.as_slice());
        filled(self.gpu, values.reinterpret_cast())
    }

    pub(super) fn vector(&self, scope: &Scope, name: &str, size: usize) -> Result<G::Memory> {
        filled(self.gpu, &scope.vector(name, size)?)
    }

    pub(super) fn layer(&mut self, config: &TextConfig, scope: &Scope) -> Result<Layer<G::Memory>> {
        let (width, kv_width, inner) = (config.hidden_size, config.kv_size(), config.intermediate_size);
        let (attention, mlp) = (scope.below("self_attn"), scope.below("mlp"));
        let parts = [("q_proj", width), ("k_proj", kv_width), ("v_proj", kv_width)];
        let (mut qkv, mut bias) = (Vec::new(), Vec::new());
        for (name, rows) in parts {
            let part = attention.below(name);
            qkv.push(part.matrix("weight", [rows, width])?);
            bias.extend(part.vector("bias", rows)?);
        }
        let gate_up =
            ["gate_proj", "up_proj"].map(|name| mlp.matrix(&format!("{name}.weight"), [inner, width]));
        Ok(Layer {
            attention_norm: self.vector(scope, "input_layernorm.weight", width)?,
            qkv: self.matrix(Matrix::stack(qkv)?)?,
            qkv_bias: filled(self.gpu, &bias)?,
            output: self.matrix(attention.matrix("o_proj.weight", [width, width])?)?,
            mlp_norm: self.vector(scope, "post_attention_layernorm.weight", width)?,
            gate_up: self.matrix(Matrix::stack(gate_up.into_iter().collect::<Result<_>>()?)?)?,
            down: self.matrix(mlp.matrix("down_proj.weight", [width, inner])?)?,
        })
    }
}
