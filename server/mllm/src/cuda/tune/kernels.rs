//! How the kernels of `kernels/tune.cu` are launched.

use crate::cuda::gpu::{Address, Arg, Gpu};
use crate::cuda::kernels::{Kernels, ROW_THREADS, int};
use crate::error::Result;

/// How a batch's tokens turn: positions `[rows, 3]`, and what each frequency of a head turns by.
#[derive(Debug, Clone, Copy)]
pub struct Angles {
    /// `[rows, 3]`
    pub positions: Address,
    /// `[width / 2]`
    pub frequencies: Address,
    /// `[width / 2]`: the axis of the position that each frequency turns by.
    pub axes: Address,
}

impl Angles {
    fn args(self) -> [Arg; 3] {
        [self.positions, self.frequencies, self.axes].map(Arg::At)
    }
}

/// Queries by key head, keys and values by row.
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    /// `[kv heads, rows, group, width]`
    pub queries: Address,
    /// `[rows, kv heads, width]`
    pub keys: Address,
    /// `[rows, kv heads, width]`
    pub values: Address,
}

/// Scores `[planes, queries, stride]` in f32. The queries of a plane are those heads of a token that share a key head, then
/// those of the next token.
#[derive(Debug, Clone, Copy)]
pub struct Scores {
    /// Where they lie.
    pub at: Address,
    /// Key heads.
    pub planes: usize,
    /// Queries of each.
    pub queries: usize,
    /// Keys of each.
    pub keys: usize,
    /// Numbers from a query's keys to the next's.
    pub stride: usize,
    /// The place of the first token among the keys.
    pub first: usize,
}

/// A norm whose gradient is wanted; see `norm_back` in `kernels/tune.cu`.
#[derive(Debug, Clone, Copy)]
pub struct NormBack {
    /// `[.., width]`
    pub x: Address,
    /// `[width]`
    pub weight: Address,
    /// The gradient of what comes out, `[rows, width]`.
    pub slopes: Address,
    /// Which rows of x; or null for the first ones.
    pub order: Address,
    /// What the gradient of x is added to, `[.., width]`.
    pub into: Address,
    /// Rows.
    pub rows: usize,
    /// Width.
    pub width: usize,
    /// Added to the mean square.
    pub eps: f32,
}

/// Scores of targets: scores `[rows, classes]` and targets `[rows]`, with what is said of each row `[rows, 4]`.
#[derive(Debug, Clone, Copy)]
pub struct Targets {
    /// `[rows, classes]`
    pub scores: Address,
    /// `[rows]`
    pub targets: Address,
    /// `[rows, 4]`: the surprise in nats, the greatest score, one over the sum of exponentials, 1 where the target is the
    /// likeliest.
    pub said: Address,
    /// Rows.
    pub rows: usize,
    /// Classes.
    pub classes: usize,
}

/// What dropout draws, and what numbers that are kept are multiplied by.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    /// The seed, and the draw below which a number is dropped.
    pub at: Address,
    /// What numbers that are kept are multiplied by.
    pub keep: f32,
}

impl<G: Gpu> Kernels<'_, G> {
    /// Adds a bias to `[rows, all heads, width]`, turns queries and keys, and parts them from the values.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn turn_heads(
        &self,
        (qkv, bias): (Address, Address),
        angles: Angles,
        to: Parts,
        rows: usize,
    ) -> Result<()> {
        let [positions, frequencies, axes] = angles.args();
        let [qkv, bias, queries, keys, values] = [qkv, bias, to.queries, to.keys, to.values].map(Arg::At);
        let args = [qkv, bias, positions, frequencies, axes, queries, keys, values];
        self.launch("turn_heads", [rows, 1, 1], ROW_THREADS, &args)
    }

    /// The gradient of what was parted, from those of its parts in f32.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn turn_back(&self, slopes: Parts, angles: Angles, qkv: Address, rows: usize) -> Result<()> {
        let [positions, frequencies, axes] = angles.args();
        let [queries, keys, values, qkv] = [slopes.queries, slopes.keys, slopes.values, qkv].map(Arg::At);
        let args = [queries, keys, values, positions, frequencies, axes, qkv];
        self.launch("turn_back", [rows, 1, 1], ROW_THREADS, &args)
    }

    /// The softmax of scores in bf16.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn weigh(&self, scores: Scores, weights: Address) -> Result<()> {
        let Scores { at, planes, queries, keys, stride, first } = scores;
        let args = [Arg::At(at), Arg::At(weights), int(first), int(keys), int(stride)];
        self.launch("weigh", [queries, planes, 1], ROW_THREADS, &args)
    }

    /// The weights again, and the gradient of the scores from that of the weights, f32.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn weigh_back(&self, scores: Scores, slopes: Address, [weights, back]: [Address; 2]) -> Result<()> {
        let Scores { at, planes, queries, keys, stride, first } = scores;
        let args = [at, slopes, weights, back].map(Arg::At);
        let args: Vec<Arg> = args.into_iter().chain([first, keys, stride].map(int)).collect();
        self.launch("weigh_back", [queries, planes, 1], ROW_THREADS, &args)
    }

    /// `silu(gate) * up` of rows `[rows, 2 * inner]` in f32.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn gate(&self, gate_up: Address, out: Address, [rows, inner]: [usize; 2]) -> Result<()> {
        let args = [Arg::At(gate_up), Arg::At(out), int(inner)];
        self.launch("gate", [rows, inner.div_ceil(ROW_THREADS), 1], ROW_THREADS, &args)
    }

    /// The gradient of gate and up from that of what comes out, `[rows, inner]`.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn gate_back(
        &self,
        gate_up: Address,
        slopes: Address,
        back: Address,
        [rows, inner]: [usize; 2],
    ) -> Result<()> {
        let args = [Arg::At(gate_up), Arg::At(slopes), Arg::At(back), int(inner)];
        self.launch("gate_back", [rows, inner.div_ceil(ROW_THREADS), 1], ROW_THREADS, &args)
    }

    /// Adds the gradient of x from that of its norm.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn norm_back(&self, norm: &NormBack) -> Result<()> {
        let NormBack { x, weight, slopes, order, into, rows, width, eps } = *norm;
        let at = [x, weight, slopes, order, into].map(Arg::At);
        let args: Vec<Arg> = at.into_iter().chain([int(width), Arg::Float(eps)]).collect();
        self.launch("norm_back", [rows, 1, 1], ROW_THREADS, &args)
    }

    /// Copies numbers in f32.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn copy(&self, from: Address, to: Address, count: usize) -> Result<()> {
        self.each("copy", &[Arg::At(from), Arg::At(to)], count, &[])
    }

    /// What lies by key head, as queries do, by row.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn by_rows(&self, from: Address, to: Address, rows: usize) -> Result<()> {
        self.launch("by_rows", [rows, 1, 1], ROW_THREADS, &[Arg::At(from), Arg::At(to)])
    }

    /// What lies by row, f32, by key head.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn by_heads(&self, from: Address, to: Address, rows: usize) -> Result<()> {
        self.launch("by_heads", [rows, 1, 1], ROW_THREADS, &[Arg::At(from), Arg::At(to)])
    }

    /// Sets numbers to 0.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn clear(&self, to: Address, count: usize) -> Result<()> {
        self.each("clear", &[Arg::At(to)], count, &[])
    }

    /// The same numbers in bf16.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn narrowed(&self, from: Address, to: Address, count: usize) -> Result<()> {
        self.each("narrowed", &[Arg::At(from), Arg::At(to)], count, &[])
    }

    /// Drops numbers of x, bf16.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn dropped(&self, x: Address, out: Address, draws: Draws, count: usize) -> Result<()> {
        let args = [x, out, draws.at].map(Arg::At);
        self.each("dropped", &args, count, &[Arg::Float(draws.keep)])
    }

    /// Adds to f32 the gradient of x from that of what was left of it.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn add_dropped(&self, slopes: Address, into: Address, draws: Draws, count: usize) -> Result<()> {
        let args = [slopes, into, draws.at].map(Arg::At);
        self.each("add_dropped", &args, count, &[Arg::Float(draws.keep)])
    }

    /// Says of each row how surprising its target is.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn surprise(&self, said: &Targets) -> Result<()> {
        let Targets { scores, targets, said, rows, classes } = *said;
        let args = [Arg::At(scores), Arg::At(targets), Arg::At(said), int(classes)];
        self.launch("surprise", [rows, 1, 1], ROW_THREADS, &args)
    }

    /// The gradient of the scores from that of the surprises, given what [`Kernels::surprise`] said.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn surprise_back(&self, said: &Targets, slopes: Address, back: Address) -> Result<()> {
        let Targets { scores, targets, said, rows, classes } = *said;
        let at = [scores, targets, said, slopes, back].map(Arg::At);
        let args: Vec<Arg> = at.into_iter().chain([int(classes)]).collect();
        self.launch("surprise_back", [rows, classes.div_ceil(ROW_THREADS), 1], ROW_THREADS, &args)
    }

    /// Goes over `count` numbers, each by itself.
    fn each(&self, kernel: &str, at: &[Arg], count: usize, rest: &[Arg]) -> Result<()> {
        let args: Vec<Arg> = at.iter().copied().chain([int(count)]).chain(rest.iter().copied()).collect();
        self.launch(kernel, [count.div_ceil(ROW_THREADS), 1, 1], ROW_THREADS, &args)
    }
}
