//! WGSL shaders and the pipeline that runs them: crop and resize with the same bytes on any GPU and on the CPU.
//!
//! Layout
//! - `wgsl/`: the shaders, integer arithmetic only.
//! - [`cpu`]: the same crop and resize without a GPU.
//! - [`plan`]: buffer sizes and bands.
//! - [`picture`]: a file's pixels, decoded by the browser.
//! - [`gpu`]: adapter, passes and read-back on wgpu; on wasm32, and natively with the feature `native`.

mod cpu;
#[cfg(any(target_arch = "wasm32", feature = "native"))]
mod gpu;
mod picture;
#[cfg(any(target_arch = "wasm32", feature = "native", test))]
mod plan;

pub use cpu::crop_resize_cpu;
#[cfg(any(target_arch = "wasm32", feature = "native"))]
pub use gpu::{GpuError, GpuOptions, GpuResizer};
#[cfg(target_arch = "wasm32")]
pub use picture::decode_picture;
pub use picture::{PictureError, PictureLimits, check_header};
