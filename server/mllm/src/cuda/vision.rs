//! The vision tower and the merger on a GPU.

use half::bf16;
use half::slice::HalfFloatSliceExt;

use super::gpu::{Address, Gpu, Into, Memory, Product, filled};
use super::kernels::{Attend, Heads, Kernels, Norm, SOURCE, TILE};
use crate::config::VisionConfig;
use crate::config::vision::{FRAMES, MERGE, PATCH, PATCH_VALUES};
use crate::error::{Error, Result};
use crate::model::Grid;
use crate::model::vision::{EPS, angles};
use crate::model::window::Windows;
use crate::weights::{Scope, Weights};

/// Patches of one merged cell.
const GROUP: usize = MERGE * MERGE;

/// The vision tower with the merger, on a GPU.
#[derive(Debug)]
pub struct Vision<G: Gpu> {
    gpu: G,
    program: G::Program,
    config: VisionConfig,
    heads: Heads,
    /// Width inside the feed-forward layers, padded with zeros to a multiple of 8.
    inner: usize,
    /// `[hidden, 1176]`
    patch: G::Memory,
    blocks: Vec<Block<G::Memory>>,
    merger_norm: G::Memory,
    merger: [Affine<G::Memory>; 2],
}

/// A matrix in bf16 and a bias in f32.
#[derive(Debug)]
struct Affine<M> {
    weights: M,
    bias: M,
}

#[derive(Debug)]
struct Block<M> {
    attention_norm: M,
    qkv: Affine<M>,
    output: Affine<M>,
    mlp_norm: M,
    gate_up: Affine<M>,
    down: Affine<M>,
}

/// Places of the intermediate values of `rows` patches.
struct Space {
    /// `[rows, hidden]`, f32.
    x: Address,
    normed: Address,
    /// `[rows, 3 * hidden]`, f32.
    qkv: Address,
    /// `[rows, hidden]` each.
    parts: [Address; 3],
    mixed: Address,
    /// `[rows, 2 * inner]`
    gate_up: Address,
    inner: Address,
    /// The merger's, f32.
    merged: [Address; 2],
}

impl<G: Gpu> Vision<G> {
    /// Takes every weight that `config` asks for.
    ///
    /// # Errors
    /// When the kernels do not fit the tower, a weight cannot be read, or memory does not suffice.
    pub fn load(gpu: G, config: &VisionConfig, weights: &dyn Weights) -> Result<Self> {
        let heads = Heads { kv_heads: config.heads, group: 1, width: config.head_dim() };
        if !heads.width.is_multiple_of(16) || heads.width > 128 || !config.out_hidden_size.is_multiple_of(8) {
            let sizes = [heads.width, config.out_hidden_size];
            return Err(Error::Device(format!(
                "the kernels do not fit the vision tower: head and output are {sizes:?} wide; expected a head of a multiple of 16 up to 128, and an output of a multiple of 8"
            )));
        }
        let program = gpu.program(SOURCE, &heads.defines())?;
        let scope = Scope::new(weights, "visual");
        let (hidden, inner) = (config.hidden_size, inner(config));
        let kernel = scope.get("patch_embed.proj.weight", &[hidden, 3, FRAMES, PATCH, PATCH])?;
        let kernel: Vec<f32> = kernel.flatten_all()?.to_vec1()?;
        let loader = Loader { gpu: &gpu };
        let below = scope.below("blocks");
        let blocks = (0..config.depth).map(|index| loader.block(config, inner, &below.below(index)));
        let blocks = blocks.collect::<Result<_>>()?;
        let (merger, merged) = (scope.below("merger"), hidden * GROUP);
        let first = loader.affine(&merger.below("mlp.0"), [merged, merged])?;
        let second = loader.affine(&merger.below("mlp.2"), [config.out_hidden_size, merged])?;
        Ok(Self {
            patch: loader.narrow(&kernel)?,
            blocks,
            merger_norm: filled(&gpu, &merger.vector("ln_q.weight", hidden)?)?,
            merger: [first, second],
            program,
            config: config.clone(),
            heads,
            inner,
            gpu,
        })
    }

    /// Encodes pictures; see [`crate::model::Vision::forward`]. Patches `[patches, 1176]` become `[tokens, hidden]`.
    ///
    /// # Errors
    /// When the grids do not add up to the patches, or the GPU fails.
    pub fn see(&self, patches: &[f32], grids: &[Grid]) -> Result<Vec<f32>> {
        let rows: usize = grids.iter().map(|grid| grid.patches()).sum();
        if rows == 0 || patches.len() != rows * PATCH_VALUES {
            return Err(Error::Device(format!("{} values are no {rows} patches", patches.len())));
        }
        let windows = Windows::new(grids, self.config.window_cells());
        let kernels = Kernels { gpu: &self.gpu, program: &self.program, heads: self.heads };
        let pixels: Vec<bf16> = in_order(patches, &windows.order).map(bf16::from_f32).collect();
        let pixels = filled(&self.gpu, pixels.reinterpret_cast())?;
        let turns = filled(&self.gpu, &angles(&self.config, grids, &windows))?;
        let tiles = [tiles(&windows.windows), tiles(&windows.pictures)];
        let tiles = [
            (filled(&self.gpu, &tiles[0])?, tiles[0].len() / 4),
            (filled(&self.gpu, &tiles[1])?, tiles[1].len() / 4),
        ];
        let memory = self.gpu.zeroed(Space::new(Address::NULL, &self.config, rows).1)?;
        let space = Space::new(memory.address(), &self.config, rows).0;

        self.multiply(
            &kernels,
            self.patch.address(),
            pixels.address(),
            space.x,
            [rows, PATCH_VALUES, self.config.hidden_size],
            Into::Set,
        )?;
        let mut bias = Address::NULL;
        for (index, block) in self.blocks.iter().enumerate() {
            let (list, count) = &tiles[usize::from(self.config.full_attention_blocks.contains(&index))];
            self.block(&kernels, block, bias, turns.address(), (list.address(), *count), rows, &space)?;
            bias = block.down.bias.address();
        }
        self.merge(&kernels, bias, &windows, rows, &space)
    }

    /// Runs a block; `bias` of the one before has not been added to x yet, and that of this one is left over.
    #[allow(clippy::too_many_arguments)]
    fn block(
        &self,
        kernels: &Kernels<G>,
        block: &Block<G::Memory>,
        bias: Address,
        turns: Address,
        tiles: (Address, usize),
        rows: usize,
        space: &Space,
    ) -> Result<()> {
        let (hidden, inner) = (self.config.hidden_size, self.inner);
        self.norm(kernels, bias, &block.attention_norm, rows, space)?;
        let qkv = block.qkv.weights.address();
        self.multiply(kernels, qkv, space.normed, space.qkv, [rows, hidden, 3 * hidden], Into::Set)?;
        kernels.vision_rope(space.qkv, block.qkv.bias.address(), turns, space.parts, rows)?;
        let [queries, keys, values] = space.parts;
        kernels.attend_window(&Attend { queries, keys, values, out: space.mixed }, tiles)?;
        let output = block.output.weights.address();
        self.multiply(kernels, output, space.mixed, space.x, [rows, hidden, hidden], Into::Add)?;

        self.norm(kernels, block.output.bias.address(), &block.mlp_norm, rows, space)?;
        let gate_up = block.gate_up.weights.address();
        self.multiply(
            kernels,
            gate_up,
            space.normed,
            space.gate_up,
            [rows, hidden, 2 * inner],
            Into::SetBf16,
        )?;
        kernels.swiglu(space.gate_up, block.gate_up.bias.address(), space.inner, [rows, inner])?;
        let down = block.down.weights.address();
        self.multiply(kernels, down, space.inner, space.x, [rows, inner, hidden], Into::Add)
    }

    /// Merges cells and brings them into reading order, to the CPU.
    fn merge(
        &self,
        kernels: &Kernels<G>,
        bias: Address,
        windows: &Windows,
        rows: usize,
        space: &Space,
    ) -> Result<Vec<f32>> {
        let (cells, merged, out) =
            (rows / GROUP, self.config.hidden_size * GROUP, self.config.out_hidden_size);
        let [first, second] = &self.merger;
        let [wide, done] = space.merged;
        self.norm(kernels, bias, &self.merger_norm, rows, space)?;
        self.multiply(
            kernels,
            first.weights.address(),
            space.normed,
            wide,
            [cells, merged, merged],
            Into::Set,
        )?;
        kernels.gelu(wide, first.bias.address(), space.normed, [cells, merged])?;
        self.multiply(
            kernels,
            second.weights.address(),
            space.normed,
            wide,
            [cells, merged, out],
            Into::Set,
        )?;
        let places: Vec<i32> = windows.places.iter().map(|place| *place as i32).collect();
        let places = filled(&self.gpu, &places)?;
        kernels.place_rows(wide, second.bias.address(), places.address(), done, [cells, out])?;
        let mut embedding = vec![0f32; cells * out];
        self.gpu.download(done, bytemuck::cast_slice_mut(&mut embedding))?;
        Ok(embedding)
    }

    fn norm(
        &self,
        kernels: &Kernels<G>,
        bias: Address,
        weight: &G::Memory,
        rows: usize,
        space: &Space,
    ) -> Result<()> {
        kernels.rms_norm(&Norm {
            x: space.x,
            bias,
            weight: weight.address(),
            order: Address::NULL,
            out: space.normed,
            rows,
            width: self.config.hidden_size,
            eps: EPS,
        })
    }

    fn multiply(
        &self,
        kernels: &Kernels<G>,
        weights: Address,
        x: Address,
        out: Address,
        [count, columns, rows]: [usize; 3],
        into: Into,
    ) -> Result<()> {
        kernels.multiply(&Product { weights, rows, columns, x, count, out, into })
    }
}

/// Width inside the feed-forward layers, as it is padded.
fn inner(config: &VisionConfig) -> usize {
    config.intermediate_size.next_multiple_of(8)
}

/// Bytes that so many patches are seen in.
pub(super) fn bytes(config: &VisionConfig, rows: usize) -> usize {
    let pixels = rows * PATCH_VALUES * size_of::<bf16>();
    let angles = rows * config.head_dim() / 2 * size_of::<f32>();
    Space::new(Address::NULL, config, rows).1 + pixels + angles
}

impl Space {
    /// Places from `base` on, and the bytes of all.
    fn new(base: Address, config: &VisionConfig, rows: usize) -> (Self, usize) {
        let (hidden, narrow, wide) = (config.hidden_size, size_of::<bf16>(), size_of::<f32>());
        let inner = inner(config);
        let mut bytes = 0;
        let mut part = |numbers: usize, size: usize| {
            let at = base.after(bytes);
            bytes += (rows * numbers * size).next_multiple_of(256);
            at
        };
        // A cell's output may be wider than its patches were.
        let merged = hidden.max(config.out_hidden_size.div_ceil(GROUP));
        let space = Self {
            x: part(hidden, wide),
            normed: part(hidden, narrow),
            qkv: part(3 * hidden, wide),
            parts: [part(hidden, narrow), part(hidden, narrow), part(hidden, narrow)],
            mixed: part(hidden, narrow),
            gate_up: part(2 * inner, narrow),
            inner: part(inner, narrow),
            merged: [part(merged, wide), part(merged, wide)],
        };
        (space, bytes)
    }
}

/// Rows of patches in the order of their cells.
fn in_order<'a>(patches: &'a [f32], order: &'a [u32]) -> impl Iterator<Item = f32> + 'a {
    let cell = GROUP * PATCH_VALUES;
    order.iter().flat_map(move |at| patches[*at as usize * cell..][..cell].iter().copied())
}

/// Tiles `[first row, queries, first key, keys]` of segments that begin and end at `ends`.
fn tiles(ends: &[usize]) -> Vec<i32> {
    let mut tiles = Vec::new();
    for pair in ends.windows(2) {
        for first in (pair[0]..pair[1]).step_by(TILE) {
            let queries = TILE.min(pair[1] - first);
            tiles.extend([first, queries, pair[0], pair[1] - pair[0]].map(|number| number as i32));
        }
    }
    tiles
}

/// Brings the tower's weights to a GPU.
struct Loader<'a, G: Gpu> {
    gpu: &'a G,
}

impl<G: Gpu> Loader<'_, G> {
    fn narrow(&self, values: &[f32]) -> Result<G::Memory> {
        let narrow: Vec<bf16> = values.iter().copied().map(bf16::from_f32).collect();
        filled(self.gpu, narrow.reinterpret_cast())
    }

    fn affine(&self, scope: &Scope, shape: [usize; 2]) -> Result<Affine<G::Memory>> {
        let weights: Vec<f32> = scope.get("weight", &shape)?.flatten_all()?.to_vec1()?;
        let bias = filled(self.gpu, &scope.vector("bias", shape[0])?)?;
        Ok(Affine { weights: self.narrow(&weights)?, bias })
    }

    fn block(&self, config: &VisionConfig, inner: usize, scope: &Scope) -> Result<Block<G::Memory>> {
        let (width, stored) = (config.hidden_size, config.intermediate_size);
        let (mut weights, mut bias) = (Vec::new(), Vec::new());
        for name in ["mlp.gate_proj", "mlp.up_proj"] {
            let part = scope.below(name);
            weights.extend(part.get("weight", &[stored, width])?.flatten_all()?.to_vec1::<f32>()?);
            bias.extend(part.vector("bias", stored)?);
            // Rows of zeros give zeros, and columns of zeros below take them.
            weights.resize(weights.len() + (inner - stored) * width, 0.0);
            bias.resize(bias.len() + inner - stored, 0.0);
        }
        let down = scope.below("mlp.down_proj");
        let rows: Vec<f32> = down.get("weight", &[width, stored])?.flatten_all()?.to_vec1()?;
        let mut padded = Vec::with_capacity(width * inner);
        for row in rows.chunks_exact(stored) {
            padded.extend_from_slice(row);
            padded.resize(padded.len() + inner - stored, 0.0);
        }
        Ok(Block {
            attention_norm: filled(self.gpu, &scope.vector("norm1.weight", width)?)?,
            qkv: self.affine(&scope.below("attn.qkv"), [3 * width, width])?,
            output: self.affine(&scope.below("attn.proj"), [width, width])?,
            mlp_norm: filled(self.gpu, &scope.vector("norm2.weight", width)?)?,
            gate_up: Affine { weights: self.narrow(&weights)?, bias: filled(self.gpu, &bias)? },
            down: Affine {
                weights: self.narrow(&padded)?,
                bias: filled(self.gpu, &down.vector("bias", width)?)?,
            },
        })
    }
}
