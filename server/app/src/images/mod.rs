//! Pictures that come from outside: checked before they are decoded, kept by their content.
//!
//! - [`decode`]: bytes to upright pixels, within limits.
//! - [`folder`]: the content-addressed folder.

pub mod decode;
pub mod folder;

pub use decode::{Decoded, Format, ImageError, decode};
pub use folder::{FolderError, ImageFolder, encode_png};

/// Largest file that is taken, in bytes.
pub const MAX_BYTES: usize = 25 * 1024 * 1024;
/// Most pixels of a picture.
pub const MAX_PIXELS: u32 = 50_000_000;
/// Longest side of a picture in pixels.
pub const MAX_SIDE: u32 = 20_000;
