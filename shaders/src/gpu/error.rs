//! Why the GPU did not do it.

use loupe_shared::pixels::PixelError;

/// Why there is no result from the GPU. All but [`GpuError::Pixels`] mean: do it on the CPU.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GpuError {
    /// No adapter: WebGPU is missing, off, or blocked.
    #[error("no GPU adapter was found ({0}); the CPU path gives the same bytes")]
    NoAdapter(String),
    /// The adapter is software, slower than the CPU path.
    #[error("the GPU adapter {0:?} is software; the CPU path is faster and gives the same bytes")]
    Software(String),
    /// The device could not be made, refused a command, or was lost. It stays unusable: make a new resizer or use the CPU.
    #[error("the GPU failed: {0}; use the CPU path, which gives the same bytes")]
    Device(String),
    /// A buffer is larger than the adapter allows.
    #[error(
        "a buffer of {needed} bytes is needed, the GPU allows {limit}; use the CPU path, which gives the same bytes"
    )]
    TooLarge {
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The request itself is wrong; the CPU would refuse it as well.
    #[error(transparent)]
    Pixels(#[from] PixelError),
}

impl GpuError {
    /// A stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoAdapter(_) => "gpu_no_adapter",
            Self::Software(_) => "gpu_software",
            Self::Device(_) => "gpu_failed",
            Self::TooLarge { .. } => "gpu_too_large",
            Self::Pixels(error) => error.code(),
        }
    }
}
