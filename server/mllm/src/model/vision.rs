//! The vision tower and the merger.

use candle_core::{Result, Tensor, bail};

use super::grid::Grid;
use super::layers::{Linear, Mlp, RmsNorm};
use super::rotary::{Rotary, frequencies};
use super::window::{Windows, patch_positions};
use crate::config::VisionConfig;
use crate::config::vision::{FRAMES, MERGE, PATCH, PATCH_VALUES};
use crate::ops::{self, AttentionMask};
use crate::weights::{Scope, Weights};

/// Added to the mean square in the tower's norms; transformers fixes it for every checkpoint.
pub(crate) const EPS: f32 = 1e-6;

/// The vision tower with the merger.
#[derive(Debug, Clone)]
pub struct Vision {
    patch_embed: Linear,
    blocks: Vec<Block>,
    merger: Merger,
    config: VisionConfig,
}

impl Vision {
    /// Takes every weight that `config` asks for.
    ///
    /// # Errors
    /// When a weight is missing, has another shape or cannot be read.
    pub fn load(config: &VisionConfig, weights: &dyn Weights) -> crate::Result<Self> {
        let scope = Scope::new(weights, "visual");
        // The convolution's stride is its kernel, so it is a matrix product over whole patches.
        let kernel = scope.get("patch_embed.proj.weight", &[config.hidden_size, 3, FRAMES, PATCH, PATCH])?;
        let patch_embed = Linear::from_weight(kernel.reshape((config.hidden_size, PATCH_VALUES))?);
        let blocks = scope.below("blocks");
        let blocks =
            (0..config.depth).map(|i| Block::load(config, &blocks.below(i))).collect::<crate::Result<_>>()?;
        let merger = Merger::load(config, &scope.below("merger"))?;
        Ok(Self { patch_embed, blocks, merger, config: config.clone() })
    }

    /// The tower's shape.
    #[must_use]
    pub fn config(&self) -> &VisionConfig {
        &self.config
    }

    /// Encodes pictures: their patches one after the other `[patches, 1176]` become `[merged tokens, hidden]`, in
    /// reading order of each picture's merged grid.
    ///
    /// # Errors
    /// When the grids do not add up to the patches.
    pub fn forward(&self, patches: &Tensor, grids: &[Grid]) -> Result<Tensor> {
        let total: usize = grids.iter().map(|grid| grid.patches()).sum();
        if patches.dims2()? != (total, PATCH_VALUES) || total == 0 {
            bail!("patches of shape {:?} do not fit grids of {total} patches", patches.dims());
        }
        let windows = Windows::new(grids, self.config.window_cells());
        let angles = angles(&self.config, grids, &windows);
        let half = self.config.head_dim() / 2;
        let rotary = Rotary::from_angles(&angles, (1, total, half), patches.device())?;
        let order = Tensor::new(windows.order, patches.device())?;
        let places = Tensor::new(windows.places, patches.device())?;
        let within_windows = AttentionMask::Segments(windows.windows);
        let within_pictures = AttentionMask::Segments(windows.pictures);

        let mut x = grouped(&self.patch_embed.forward(patches)?, &order)?;
        for (index, block) in self.blocks.iter().enumerate() {
            let whole = self.config.full_attention_blocks.contains(&index);
            let mask = if whole { &within_pictures } else { &within_windows };
            x = block.forward(&x, &rotary, mask)?;
        }
        self.merger.forward(&x)?.index_select(&places, 0)
    }
}

/// The angle of every patch, in the windows' order: half of the frequencies turn with the row, half with the column.
pub(crate) fn angles(config: &VisionConfig, grids: &[Grid], windows: &Windows) -> Vec<f32> {
    let frequencies = frequencies(config.rope_theta, config.head_dim() / 2);
    let positions = patch_positions(grids);
    let group = MERGE * MERGE;
    let mut angles = Vec::with_capacity(positions.len() * frequencies.len() * 2);
    for cell in &windows.order {
        for [row, column] in &positions[*cell as usize * group..(*cell as usize + 1) * group] {
            angles.extend(frequencies.iter().map(|f| *row as f32 * f));
            angles.extend(frequencies.iter().map(|f| *column as f32 * f));
        }
    }
    angles
}

/// Reorders rows `[n, width]` in groups of the four patches of a cell.
fn grouped(x: &Tensor, order: &Tensor) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let group = MERGE * MERGE;
    x.reshape((rows / group, group * width))?.index_select(order, 0)?.reshape((rows, width))
}

#[derive(Debug, Clone)]
struct Block {
    attention_norm: RmsNorm,
    qkv: Linear,
    output: Linear,
    mlp_norm: RmsNorm,
    mlp: Mlp,
    heads: usize,
}

impl Block {
    fn load(config: &VisionConfig, scope: &Scope) -> crate::Result<Self> {
        let width = config.hidden_size;
        Ok(Self {
            attention_norm: RmsNorm::load(scope, "norm1", width, EPS)?,
            qkv: Linear::load(&scope.below("attn.qkv"), width, 3 * width, true)?,
            output: Linear::load(&scope.below("attn.proj"), width, width, true)?,
            mlp_norm: RmsNorm::load(scope, "norm2", width, EPS)?,
            mlp: Mlp::load(&scope.below("mlp"), width, config.intermediate_size, true)?,
            heads: config.heads,
        })
    }

    fn forward(&self, x: &Tensor, rotary: &Rotary, mask: &AttentionMask) -> Result<Tensor> {
        let x = (x + self.attend(&self.attention_norm.forward(x)?, rotary, mask)?)?;
        &x + self.mlp.forward(&self.mlp_norm.forward(&x)?)?
    }

    fn attend(&self, x: &Tensor, rotary: &Rotary, mask: &AttentionMask) -> Result<Tensor> {
        let (rows, width) = x.dims2()?;
        // [3, heads, rows, d]
        let qkv =
            self.qkv.forward(x)?.reshape((rows, 3, self.heads, width / self.heads))?.permute((1, 2, 0, 3))?;
        let part = |index| qkv.narrow(0, index, 1);
        let q = ops::rope(&part(0)?, &rotary.cos, &rotary.sin)?;
        let k = ops::rope(&part(1)?, &rotary.cos, &rotary.sin)?;
        let mixed = ops::attention(&q, &k, &part(2)?, mask)?;
        self.output.forward(&mixed.transpose(1, 2)?.reshape((rows, width))?)
    }
}

#[derive(Debug, Clone)]
struct Merger {
    norm: RmsNorm,
    first: Linear,
    second: Linear,
}

impl Merger {
    fn load(config: &VisionConfig, scope: &Scope) -> crate::Result<Self> {
        let merged = config.hidden_size * MERGE * MERGE;
        Ok(Self {
            norm: RmsNorm::load(scope, "ln_q", config.hidden_size, EPS)?,
            first: Linear::load(&scope.below("mlp.0"), merged, merged, true)?,
            second: Linear::load(&scope.below("mlp.2"), merged, config.out_hidden_size, true)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, width) = x.dims2()?;
        let group = MERGE * MERGE;
        let x = self.norm.forward(x)?.reshape((rows / group, group * width))?;
        self.second.forward(&ops::gelu_erf(&self.first.forward(&x)?)?)
    }
}
