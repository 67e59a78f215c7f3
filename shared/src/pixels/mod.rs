//! Pixel arithmetic: one integer definition with the same bytes from WGSL, native Rust and wasm.
//!
//! - [`buffer`]: an 8-bit RGB picture in memory.
//! - [`region`]: a part of a picture as fractions of the upright original.
//! - [`rect`]: a part of a picture in whole pixels, and cutting it out.
//! - [`smart`]: the size at which the model sees a picture.
//! - [`axis`]: the integer weights of one axis of a resize.
//! - [`mod@resize`]: bicubic resize with Pillow's bytes.
//! - [`mod@patches`]: the order in which the vision tower reads a picture.
//! - [`mod@pattern`]: a picture made from a formula, for tests and benchmarks.
//! - [`error`]: what can be wrong with a size or a part.

pub mod axis;
pub mod buffer;
pub mod error;
pub mod patches;
pub mod pattern;
pub mod rect;
pub mod region;
pub mod resize;
pub mod smart;

pub use axis::Axis;
pub use buffer::Rgb8;
pub use error::PixelError;
pub use patches::patches;
pub use pattern::pattern;
pub use rect::{Rect, crop};
pub use region::Region;
pub use resize::{resize, rows_first};
pub use smart::{PixelLimits, smart_resize};
