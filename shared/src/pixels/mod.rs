//! Pixel arithmetic: one integer definition with the same bytes from WGSL, native Rust and wasm.
//!
//! - [`buffer`]: an 8-bit RGB picture in memory.
//! - [`region`]: a part of a picture as fractions of the upright original.

pub mod buffer;
pub mod region;

pub use buffer::Rgb8;
pub use region::Region;
