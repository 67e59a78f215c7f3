//! The kernels' source and how each is launched, those of `choosing`, `beside` and `tune` excepted.

use super::gpu::{Address, Arg, Gpu, Into, Launch, Product};
use crate::error::Result;
use crate::lm::BLOCK;

/// Source of all kernels.
pub const SOURCE: &str = concat!(
    include_str!("kernels/common.cu"),
    include_str!("kernels/rows.cu"),
    include_str!("kernels/gemv.cu"),
    include_str!("kernels/attend_few.cu"),
    include_str!("kernels/attend_many.cu"),
    include_str!("kernels/choose.cu"),
    include_str!("kernels/lora.cu"),
    include_str!("kernels/vision.cu"),
    include_str!("kernels/tune.cu"),
);

/// Rows of x up to which `gemv` is faster than a matrix product.
pub const FEW: usize = 8;
/// Queries of a tile of `attend_causal` and `attend_window`.
pub const TILE: usize = 64;
/// Threads of a kernel that goes over a row.
pub(super) const ROW_THREADS: usize = 256;
/// Most and fewest keys of a block of `attend_few`.
const CHUNK: [usize; 2] = [32, 512];
/// Blocks of `attend_few` that keep a large GPU busy: two on each of an H100's 132 multiprocessors.
const BUSY: usize = 264;

/// Heads of a language model or a vision tower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Key heads.
    pub kv_heads: usize,
    /// Query heads of each.
    pub group: usize,
    /// Width.
    pub width: usize,
}

impl Heads {
    /// What the source has to be compiled with.
    #[must_use]
    pub fn defines(&self) -> [(&'static str, usize); 3] {
        [("HEAD_DIM", self.width), ("GROUP", self.group), ("KV_HEADS", self.kv_heads)]
    }

    fn all(&self) -> usize {
        self.kv_heads * self.group
    }

    pub(super) fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }
}

/// How the keys of sequences are shared out over blocks of `attend_few`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Keys of a part.
    pub chunk: usize,
    /// Parts of each sequence.
    pub parts: usize,
}

impl Split {
    /// For `rows` tokens whose sequences have up to `blocks` blocks.
    #[must_use]
    pub fn new(heads: &Heads, rows: usize, blocks: usize) -> Self {
        let keys = blocks * BLOCK;
        let wanted = BUSY.div_ceil(rows * heads.kv_heads);
        let chunk = keys.div_ceil(wanted).next_multiple_of(BLOCK).clamp(CHUNK[0], CHUNK[1]);
        Self { chunk, parts: keys.div_ceil(chunk) }
    }
}

/// A norm of rows; see `rms_norm` in `kernels/rows.cu`.
#[derive(Debug, Clone, Copy)]
pub struct Norm {
    /// `[.., width]`; gets the bias added.
    pub x: Address,
    /// Or null.
    pub bias: Address,
    /// `[width]`
    pub weight: Address,
    /// Which rows of x; or null for the first ones.
    pub order: Address,
    /// `[rows, width]`
    pub out: Address,
    /// Rows of out.
    pub rows: usize,
    /// Width.
    pub width: usize,
    /// Added to the mean square.
    pub eps: f32,
}

/// Queries, keys and values of tokens, on their way into the pool; see `rope_kv` in `kernels/rows.cu`.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// `[rows, all heads, width]`
    pub qkv: Address,
    /// Of one row.
    pub bias: Address,
    /// `[rows, 3]`
    pub positions: Address,
    /// `[width / 2]`
    pub frequencies: Address,
    /// `[width / 2]`
    pub axes: Address,
    /// `[rows]`
    pub slots: Address,
    /// `[rows, heads, width]`
    pub queries: Address,
    /// The pool's keys of the layer.
    pub keys: Address,
    /// The pool's values of the layer.
    pub values: Address,
}

/// What attention reads and writes.
#[derive(Debug, Clone, Copy)]
pub struct Attend {
    /// `[rows, heads, width]`
    pub queries: Address,
    /// The pool's, or `[rows, heads, width]`.
    pub keys: Address,
    /// As the keys.
    pub values: Address,
    /// `[rows, heads, width]`
    pub out: Address,
}

/// Kernels of a program on a GPU.
pub struct Kernels<'a, G: Gpu> {
    /// The GPU.
    pub gpu: &'a G,
    /// [`SOURCE`], compiled for `heads`.
    pub program: &'a G::Program,
    /// What the program is compiled for.
    pub heads: Heads,
}

impl<G: Gpu> Kernels<'_, G> {
    pub(super) fn launch(&self, kernel: &str, grid: [usize; 3], threads: usize, args: &[Arg]) -> Result<()> {
        self.gpu.launch(self.program, &Launch { kernel, grid, threads, args })
    }

    /// x `[rows, width]` from ids, the table, and rows that are given.
    ///
    /// # Errors
    /// When the GPU fails; so for all kernels.
    pub fn embed(
        &self,
        ids: Address,
        table: Address,
        given: Address,
        x: Address,
        [rows, width]: [usize; 2],
    ) -> Result<()> {
        let args = [Arg::At(ids), Arg::At(table), Arg::At(given), Arg::At(x), int(width)];
        self.launch("embed", [rows, 1, 1], ROW_THREADS, &args)
    }

    /// Normalises rows.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn rms_norm(&self, norm: &Norm) -> Result<()> {
        let Norm { x, bias, weight, order, out, rows, width, eps } = *norm;
        let at = [x, bias, weight, order, out].map(Arg::At);
        let args: Vec<Arg> = at.into_iter().chain([int(width), Arg::Float(eps)]).collect();
        self.launch("rms_norm", [rows, 1, 1], ROW_THREADS, &args)
    }

    /// Multiplies: few rows of x by `gemv`, many by a matrix product.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn multiply(&self, product: &Product) -> Result<()> {
        let kernel = match product.into {
            Into::Set => "gemv_set",
            Into::Add => "gemv_add",
            Into::SetBf16 => return self.gpu.multiply(product),
        };
        if product.count > FEW {
            return self.gpu.multiply(product);
        }
        self.gemv(kernel, product, product.rows.div_ceil(2))
    }

    /// `silu(gate) * up` of few rows, where the weights hold gate, then up.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn gemv_swiglu(&self, product: &Product) -> Result<()> {
        self.gemv("gemv_swiglu", product, product.rows / 2)
    }

    fn gemv(&self, kernel: &str, product: &Product, blocks: usize) -> Result<()> {
        let Product { weights, rows, columns, x, count, out, .. } = *product;
        // Each thread takes a few times eight columns.
        let threads = if columns < 8192 { 64 } else { 128 };
        let args = [Arg::At(weights), Arg::At(x), Arg::At(out), int(rows), int(columns)];
        self.launch(&format!("{kernel}_{count}"), [blocks, 1, 1], threads, &args)
    }

    /// Turns queries and keys, and puts keys and values into the pool.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn rope_kv(&self, turn: &Turn, rows: usize) -> Result<()> {
        let Turn { qkv, bias, positions, frequencies, axes, slots, queries, keys, values } = *turn;
        let args = [qkv, bias, positions, frequencies, axes, slots, queries, keys, values].map(Arg::At);
        self.launch("rope_kv", [rows, 1, 1], ROW_THREADS, &args)
    }

    /// `silu(gate) * up` of rows `[rows, 2 * inner]` in bf16; the bias may be null.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn swiglu(
        &self,
        gate_up: Address,
        bias: Address,
        out: Address,
        [rows, inner]: [usize; 2],
    ) -> Result<()> {
        let args = [Arg::At(gate_up), Arg::At(bias), Arg::At(out), int(inner)];
        self.launch("swiglu", [rows, inner.div_ceil(8 * ROW_THREADS), 1], ROW_THREADS, &args)
    }

    /// Attention of single tokens: row r sees lengths`[r]` tokens in the blocks tables`[r, stride]`. `space` holds
    /// [`Kernels::few_space`] bytes.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn attend_few(
        &self,
        attend: &Attend,
        lengths: Address,
        tables: (Address, usize),
        split: Split,
        rows: usize,
        space: Address,
    ) -> Result<()> {
        let Heads { kv_heads, width, .. } = self.heads;
        let stats = space.after(rows * self.heads.all() * split.parts * width * size_of::<f32>());
        let at = [attend.queries, attend.keys, attend.values, lengths, tables.0].map(Arg::At);
        let rest = [int(tables.1), int(split.chunk), Arg::Float(self.heads.scale())];
        let args: Vec<Arg> = at.into_iter().chain(rest).chain([space, stats].map(Arg::At)).collect();
        self.launch("attend_few", [kv_heads, split.parts, rows], 128, &args)?;
        let args = [Arg::At(space), Arg::At(stats), Arg::At(attend.out), int(split.parts)];
        self.launch("combine", [self.heads.all(), rows, 1], width.max(32), &args)
    }

    /// Bytes that `attend_few` needs.
    #[must_use]
    pub fn few_space(heads: &Heads, split: Split, rows: usize) -> usize {
        rows * heads.all() * split.parts * (heads.width + 2) * size_of::<f32>()
    }

    /// Attention of tiles of tokens to what is before them in the blocks tables`[.., stride]`.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn attend_causal(
        &self,
        attend: &Attend,
        tiles: (Address, usize),
        tables: (Address, usize),
    ) -> Result<()> {
        let Attend { queries, keys, values, out } = *attend;
        let at = [queries, keys, values, tiles.0, tables.0].map(Arg::At);
        let rest = [int(tables.1), Arg::Float(self.heads.scale()), Arg::At(out)];
        let args: Vec<Arg> = at.into_iter().chain(rest).collect();
        self.launch("attend_causal", [tiles.1, self.heads.all(), 1], 128, &args)
    }

    /// Attention of tiles of rows to the rows of their window.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn attend_window(&self, attend: &Attend, tiles: (Address, usize)) -> Result<()> {
        let Attend { queries, keys, values, out } = *attend;
        let at = [queries, keys, values, tiles.0].map(Arg::At);
        let args: Vec<Arg> = at.into_iter().chain([Arg::Float(self.heads.scale()), Arg::At(out)]).collect();
        self.launch("attend_window", [tiles.1, self.heads.all(), 1], 128, &args)
    }

    /// Parts the tower's qkv `[rows, 3, heads, width]` into turned queries and keys, and values.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn vision_rope(
        &self,
        qkv: Address,
        bias: Address,
        angles: Address,
        parts: [Address; 3],
        rows: usize,
    ) -> Result<()> {
        let [queries, keys, values] = parts;
        let at = [qkv, bias, angles, queries, keys, values].map(Arg::At);
        let args: Vec<Arg> = at.into_iter().chain([int(self.heads.all())]).collect();
        self.launch("vision_rope", [rows, 1, 1], ROW_THREADS, &args)
    }

    /// `gelu(x + bias)` in bf16.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn gelu(&self, x: Address, bias: Address, out: Address, [rows, width]: [usize; 2]) -> Result<()> {
        let args = [Arg::At(x), Arg::At(bias), Arg::At(out), int(width)];
        self.launch("gelu", [rows, width.div_ceil(ROW_THREADS), 1], ROW_THREADS, &args)
    }

    /// Rows of x in another order, plus a bias.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn place_rows(
        &self,
        x: Address,
        bias: Address,
        order: Address,
        out: Address,
        [rows, width]: [usize; 2],
    ) -> Result<()> {
        let args = [Arg::At(x), Arg::At(bias), Arg::At(order), Arg::At(out), int(width)];
        self.launch("place_rows", [rows, width.div_ceil(ROW_THREADS), 1], ROW_THREADS, &args)
    }
}

/// An `int`.
pub(super) fn int(value: usize) -> Arg {
    Arg::Int(value as i32)
}
