//! A file's pixels, decoded by the browser.
//!
//! The browser's decoders cost no bundle: PNG, JPEG and WebP decoders in wasm were 80 KB of brotli, a third of all that
//! the client may have. PNG and lossless WebP have one answer; JPEG decoders of different browsers may differ by a few
//! levels. In one browser the pixels are the same with and without a GPU, and so is all that is made from them.
//!
//! - `decode`: from a file to upright RGB; in the browser only.
//! - `frame`: reading decoded pixels; in the browser only.
//! - [`header`]: what a file says of itself, before anything is decoded.
//! - [`error`]: why a file is not taken.

#[cfg(target_arch = "wasm32")]
mod decode;
mod error;
#[cfg(target_arch = "wasm32")]
mod frame;
mod header;

#[cfg(target_arch = "wasm32")]
pub use decode::decode_picture;
pub use error::PictureError;
pub use header::{PictureLimits, check_header};
