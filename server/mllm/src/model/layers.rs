//! What both towers are made of.

use candle_core::{Result, Tensor};

use super::low_rank::LowRank;
use crate::ops;
use crate::weights::Scope;

/// An affine map, and what is trained beside it.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
    beside: Option<LowRank>,
}

impl Linear {
    pub(super) fn load(scope: &Scope, input: usize, output: usize, bias: bool) -> crate::Result<Self> {
        let weight = scope.get("weight", &[output, input])?;
        let bias = if bias { Some(scope.get("bias", &[output])?) } else { None };
        Ok(Self { weight, bias, beside: scope.beside([output, input])? })
    }

    /// A map without bias from a weight that is stored in another shape.
    pub(super) fn from_weight(weight: Tensor) -> Self {
        Self { weight, bias: None, beside: None }
    }

    /// Without what is trained beside it.
    pub(super) fn alone(&self) -> Self {
        Self { beside: None, ..self.clone() }
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.beside {
            Some(beside) => beside.beside(x, &self.weight, self.bias.as_ref()),
            None => ops::linear(x, &self.weight, self.bias.as_ref()),
        }
    }
}

/// Root-mean-square normalisation with a learned scale.
#[derive(Debug, Clone)]
pub(super) struct RmsNorm {
    weight: Tensor,
    eps: f32,
}

impl RmsNorm {
    pub(super) fn load(scope: &Scope, name: &str, size: usize, eps: f32) -> crate::Result<Self> {
        Ok(Self { weight: scope.get(&format!("{name}.weight"), &[size])?, eps })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::rms_norm(x, &self.weight, self.eps)
    }
}

/// The gated feed-forward layer; the vision tower's has biases.
#[derive(Debug, Clone)]
pub(super) struct Mlp {
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Mlp {
    pub(super) fn load(scope: &Scope, width: usize, inner: usize, bias: bool) -> crate::Result<Self> {
        Ok(Self {
            gate: Linear::load(&scope.below("gate_proj"), width, inner, bias)?,
            up: Linear::load(&scope.below("up_proj"), width, inner, bias)?,
            down: Linear::load(&scope.below("down_proj"), inner, width, bias)?,
        })
    }

    /// Without what is trained beside it.
    pub(super) fn alone(&self) -> Self {
        Self { gate: self.gate.alone(), up: self.up.alone(), down: self.down.alone() }
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.down.forward(&ops::swiglu(&self.gate.forward(x)?, &self.up.forward(x)?)?)
    }
}
