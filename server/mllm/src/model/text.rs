//! The decoder.

use candle_core::{Result, Tensor};

use super::cache::KvCache;
use super::layers::{Linear, Mlp, RmsNorm};
use super::rotary::Rotary;
use crate::config::TextConfig;
use crate::ops::{self, AttentionMask};
use crate::weights::{Scope, Weights};

#[derive(Debug, Clone)]
pub(super) struct Text {
    /// `[vocab, hidden]`
    table: Tensor,
    layers: Vec<Layer>,
    norm: RmsNorm,
}

impl Text {
    pub(super) fn load(config: &TextConfig, weights: &dyn Weights) -> crate::Result<Self> {
        let scope = Scope::new(weights, "model");
        let table = scope.get("embed_tokens.weight", &[config.vocab_size, config.hidden_size])?;
        let layers = scope.below("layers");
        let layers = (0..config.layers)
            .map(|i| Layer::load(config, &layers.below(i)))
            .collect::<crate::Result<_>>()?;
        let norm = RmsNorm::load(&scope, "norm", config.hidden_size, config.rms_norm_eps)?;
        Ok(Self { table, layers, norm })
    }

    /// The same weights without what is trained beside them.
    pub(super) fn alone(&self) -> Self {
        Self { layers: self.layers.iter().map(Layer::alone).collect(), ..self.clone() }
    }

    pub(super) fn table(&self) -> &Tensor {
        &self.table
    }

    pub(super) fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        let mut shape = ids.dims().to_vec();
        shape.push(self.table.dim(1)?);
        self.table.index_select(&ids.flatten_all()?, 0)?.reshape(shape)
    }

    pub(super) fn forward(
        &self,
        embeds: &Tensor,
        rotary: &Rotary,
        mut cache: Option<&mut KvCache>,
    ) -> Result<Tensor> {
        let offset = cache.as_ref().map_or(0, |cache| cache.len());
        let mask = AttentionMask::Causal { offset };
        let mut x = embeds.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            let slot = cache.as_deref_mut().map(|cache| (cache, index));
            x = layer.forward(&x, rotary, &mask, slot)?;
        }
        if let Some(cache) = cache {
            cache.advance(embeds.dim(1)?);
        }
        self.norm.forward(&x)
    }

    pub(super) fn layer(&self, index: usize, x: &Tensor, rotary: &Rotary) -> Result<Tensor> {
        let Some(layer) = self.layers.get(index) else {
            candle_core::bail!("there is no layer {index} of {}", self.layers.len());
        };
        layer.forward(x, rotary, &AttentionMask::Causal { offset: 0 }, None)
    }

    pub(super) fn last_norm(&self, x: &Tensor) -> Result<Tensor> {
        self.norm.forward(x)
    }
}

#[derive(Debug, Clone)]
struct Layer {
    attention_norm: RmsNorm,
    attention: Attention,
    mlp_norm: RmsNorm,
    mlp: Mlp,
}

impl Layer {
    fn load(config: &TextConfig, scope: &Scope) -> crate::Result<Self> {
        let (width, eps) = (config.hidden_size, config.rms_norm_eps);
        Ok(Self {
            attention_norm: RmsNorm::load(scope, "input_layernorm", width, eps)?,
            attention: Attention::load(config, &scope.below("self_attn"))?,
            mlp_norm: RmsNorm::load(scope, "post_attention_layernorm", width, eps)?,
            mlp: Mlp::load(&scope.below("mlp"), width, config.intermediate_size, false)?,
        })
    }

    fn alone(&self) -> Self {
        Self { attention: self.attention.alone(), mlp: self.mlp.alone(), ..self.clone() }
    }

    fn forward(
        &self,
        x: &Tensor,
        rotary: &Rotary,
        mask: &AttentionMask,
        slot: Option<(&mut KvCache, usize)>,
    ) -> Result<Tensor> {
        let x = (x + self.attention.forward(&self.attention_norm.forward(x)?, rotary, mask, slot)?)?;
        &x + self.mlp.forward(&self.mlp_norm.forward(&x)?)?
    }
}

#[derive(Debug, Clone)]
struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    head_dim: usize,
}

impl Attention {
    fn load(config: &TextConfig, scope: &Scope) -> crate::Result<Self> {
        let (width, kv) = (config.hidden_size, config.kv_size());
        Ok(Self {
            query: Linear::load(&scope.below("q_proj"), width, width, true)?,
            key: Linear::load(&scope.below("k_proj"), width, kv, true)?,
            value: Linear::load(&scope.below("v_proj"), width, kv, true)?,
            output: Linear::load(&scope.below("o_proj"), width, width, false)?,
            head_dim: config.head_dim(),
        })
    }

    fn alone(&self) -> Self {
        Self {
            query: self.query.alone(),
            key: self.key.alone(),
            value: self.value.alone(),
            output: self.output.alone(),
            head_dim: self.head_dim,
        }
    }

    fn forward(
        &self,
        x: &Tensor,
        rotary: &Rotary,
        mask: &AttentionMask,
        slot: Option<(&mut KvCache, usize)>,
    ) -> Result<Tensor> {
        let q = ops::rope(&self.heads(&self.query.forward(x)?)?, &rotary.cos, &rotary.sin)?;
        let k = ops::rope(&self.heads(&self.key.forward(x)?)?, &rotary.cos, &rotary.sin)?;
        let v = self.heads(&self.value.forward(x)?)?;
        let (k, v) = match slot {
            Some((cache, layer)) => cache.append(layer, &k, &v)?,
            None => (k, v),
        };
        let mixed = ops::attention(&q, &k, &v, mask)?.transpose(1, 2)?.flatten_from(2)?;
        self.output.forward(&mixed)
    }

    /// `[b, t, heads * d]` as `[b, heads, t, d]`.
    fn heads(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, length, width) = x.dims3()?;
        x.reshape((batch, length, width / self.head_dim, self.head_dim))?.transpose(1, 2)
    }
}
