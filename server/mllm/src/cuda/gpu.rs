//! What is asked of a GPU: memory, programs, launches, matrix products, and work recorded to be repeated.

use std::fmt::Debug;

use crate::error::Result;

/// A place in the GPU's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub u64);

impl Address {
    /// What kernels take for nothing.
    pub const NULL: Self = Self(0);

    /// The place so many bytes further on.
    #[must_use]
    pub fn after(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }
}

/// Memory of the GPU; given back when dropped.
pub trait Memory: Debug {
    /// Where it begins.
    fn address(&self) -> Address;
}

/// An argument of a kernel.
#[derive(Debug, Clone, Copy)]
pub enum Arg {
    /// A pointer.
    At(Address),
    /// An `int`.
    Int(i32),
    /// A `float`.
    Float(f32),
}

/// A launch of a kernel.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// Its name.
    pub kernel: &'a str,
    /// Blocks in each direction.
    pub grid: [usize; 3],
    /// Threads of a block.
    pub threads: usize,
    /// In the order of its parameters.
    pub args: &'a [Arg],
}

/// What becomes of a matrix product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// Written as f32.
    Set,
    /// Added to f32.
    Add,
    /// Written as bf16.
    SetBf16,
}

/// `x wᵀ` of bf16 with sums in f32: x `[count, columns]` and w `[rows, columns]` give out `[count, rows]`.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    /// The matrix w.
    pub weights: Address,
    /// Its rows.
    pub rows: usize,
    /// Its columns.
    pub columns: usize,
    /// The rows x.
    pub x: Address,
    /// How many they are.
    pub count: usize,
    /// The result.
    pub out: Address,
    /// What becomes of it.
    pub into: Into,
}

/// Matrices of bf16, one or a batch of them, in rows.
#[derive(Debug, Clone, Copy)]
pub struct Operand {
    /// The first number.
    pub at: Address,
    /// Numbers from a row to the next.
    pub stride: usize,
    /// Numbers from a matrix of the batch to the next.
    pub apart: usize,
    /// Whether it is taken with rows for columns.
    pub turned: bool,
}

impl Operand {
    /// A matrix whose rows lie `stride` numbers apart.
    #[must_use]
    pub fn new(at: Address, stride: usize) -> Self {
        Self { at, stride, apart: 0, turned: false }
    }

    /// With rows for columns.
    #[must_use]
    pub fn turned(self) -> Self {
        Self { turned: !self.turned, ..self }
    }

    /// The first of a batch that lie `apart` numbers apart.
    #[must_use]
    pub fn apart(self, apart: usize) -> Self {
        Self { apart, ..self }
    }
}

/// `scale a b` of bf16 with sums in f32: a `[m, k]` and b `[k, n]` give out `[m, n]`; the same for each matrix of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Gemm {
    /// The matrix a.
    pub a: Operand,
    /// The matrix b.
    pub b: Operand,
    /// The result, whose `turned` says nothing.
    pub out: Operand,
    /// m, k and n.
    pub sizes: [usize; 3],
    /// Matrices of the batch.
    pub batch: usize,
    /// What the product is multiplied by.
    pub scale: f32,
    /// What becomes of it.
    pub into: Into,
}

impl From<&Product> for Gemm {
    fn from(product: &Product) -> Self {
        let Product { weights, rows, columns, x, count, out, into } = *product;
        Self {
            a: Operand::new(x, columns),
            b: Operand::new(weights, columns).turned(),
            out: Operand::new(out, rows),
            sizes: [count, columns, rows],
            batch: 1,
            scale: 1.0,
            into,
        }
    }
}

/// A GPU. What is asked of it happens in order; only downloads wait for it.
pub trait Gpu: Debug {
    /// Memory.
    type Memory: Memory;
    /// Kernels that can be launched.
    type Program: Debug;
    /// Recorded work.
    type Graph: Debug;

    /// Compiles kernels with macros defined.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device), as for everything here.
    fn program(&self, source: &str, defines: &[(&str, usize)]) -> Result<Self::Program>;

    /// Memory of zeros.
    ///
    /// # Errors
    /// When there is none left.
    fn zeroed(&self, bytes: usize) -> Result<Self::Memory>;

    /// The most bytes of its memory that were taken, by whomever, as far as it tells.
    ///
    /// # Errors
    /// When the GPU fails.
    fn taken(&self) -> Result<u64>;

    /// Copies to the GPU.
    ///
    /// # Errors
    /// When the GPU fails.
    fn upload(&self, to: Address, bytes: &[u8]) -> Result<()>;

    /// Waits for everything asked so far and copies from the GPU.
    ///
    /// # Errors
    /// When the GPU fails, now or in what was asked before.
    fn download(&self, from: Address, bytes: &mut [u8]) -> Result<()>;

    /// Launches a kernel.
    ///
    /// # Errors
    /// When there is none of that name, or the GPU fails.
    fn launch(&self, program: &Self::Program, launch: &Launch) -> Result<()>;

    /// Multiplies matrices of any layout.
    ///
    /// # Errors
    /// When the GPU fails.
    fn gemm(&self, gemm: &Gemm) -> Result<()>;

    /// Multiplies.
    ///
    /// # Errors
    /// When the GPU fails.
    fn multiply(&self, product: &Product) -> Result<()> {
        self.gemm(&product.into())
    }

    /// Records the launches and products of `work` without running them.
    ///
    /// # Errors
    /// When `work` fails or cannot be recorded.
    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Self::Graph>;

    /// Runs what was recorded.
    ///
    /// # Errors
    /// When the GPU fails.
    fn replay(&self, graph: &Self::Graph) -> Result<()>;
}

/// Memory with numbers in it.
///
/// # Errors
/// When there is none left.
pub fn filled<G: Gpu, T: bytemuck::NoUninit>(gpu: &G, values: &[T]) -> Result<G::Memory> {
    let bytes: &[u8] = bytemuck::cast_slice(values);
    let memory = gpu.zeroed(bytes.len())?;
    gpu.upload(memory.address(), bytes)?;
    Ok(memory)
}
