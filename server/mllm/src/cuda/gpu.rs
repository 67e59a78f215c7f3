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

    /// Multiplies.
    ///
    /// # Errors
    /// When the GPU fails.
    fn multiply(&self, product: &Product) -> Result<()>;

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
