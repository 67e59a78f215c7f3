//! How weights are brought to a GPU.

use half::bf16;
use half::slice::HalfFloatSliceExt;

use super::gpu::{Address, Gpu, Memory, filled};
use crate::config::TextConfig;
use crate::error::Result;
use crate::lm::Matrix;
use crate::model::rotary::{frequencies, sections};
use crate::weights::{Scope, Weights};

/// A decoder's weights. Matrices `[rows, columns]` are bf16, vectors f32.
#[derive(Debug)]
pub(super) struct Decoder<M> {
    /// `[vocab, hidden]`
    pub(super) table: M,
    pub(super) layers: Vec<Layer<M>>,
    pub(super) norm: M,
    /// `[vocab, hidden]`; none where the embedding table serves.
    output: Option<M>,
    /// `[head / 2]`
    pub(super) frequencies: M,
    /// `[head / 2]`: the axis of the position that each frequency turns by.
    pub(super) axes: M,
    /// Bytes that a step reads.
    pub(super) step_bytes: usize,
}

impl<M: Memory> Decoder<M> {
    /// Takes every weight that `text` asks for, one after the other.
    pub(super) fn load<G: Gpu<Memory = M>>(
        gpu: &G,
        text: &TextConfig,
        tied: bool,
        weights: &dyn Weights,
    ) -> Result<Self> {
        let mut loader = Loader { gpu, bytes: 0 };
        let (scope, shape) = (Scope::new(weights, "model"), [text.vocab_size, text.hidden_size]);
        let table = loader.matrix(scope.matrix("embed_tokens.weight", shape)?)?;
        loader.bytes = 0;
        let below = scope.below("layers");
        let layers = (0..text.layers).map(|index| loader.layer(text, &below.below(index)));
        let layers = layers.collect::<Result<_>>()?;
        let norm = loader.vector(&scope, "norm.weight", text.hidden_size)?;
        let output = if tied { None } else { Some(loader.matrix(weights.matrix("lm_head.weight", shape)?)?) };
        let table_bytes = if tied { text.vocab_size * text.hidden_size * size_of::<bf16>() } else { 0 };
        let axes: Vec<i32> = sections(&text.mrope_section).into_iter().map(|axis| axis as i32).collect();
        Ok(Self {
            table,
            layers,
            norm,
            output,
            frequencies: filled(gpu, &frequencies(text.rope_theta, text.head_dim()))?,
            axes: filled(gpu, &axes)?,
            step_bytes: loader.bytes + table_bytes,
        })
    }

    /// The output projection `[vocab, hidden]`.
    pub(super) fn output(&self) -> Address {
        self.output.as_ref().unwrap_or(&self.table).address()
    }
}

/// A decoder layer.
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
struct Loader<'a, G: Gpu> {
    gpu: &'a G,
    /// Bytes of matrices so far.
    bytes: usize,
}

impl<G: Gpu> Loader<'_, G> {
    fn matrix(&mut self, matrix: Matrix) -> Result<G::Memory> {
        let values = matrix.into_bf16();
        self.bytes += size_of_val(values.as_slice());
        filled(self.gpu, values.reinterpret_cast())
    }

    fn vector(&self, scope: &Scope, name: &str, size: usize) -> Result<G::Memory> {
        filled(self.gpu, &scope.vector(name, size)?)
    }

    fn layer(&mut self, config: &TextConfig, scope: &Scope) -> Result<Layer<G::Memory>> {
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
