//! Encoded pictures: bytes of a file to upright RGB, and RGB to PNG. With the feature `codec`.
//!
//! The browser does this in wasm, by the decoders that the server uses. Its own would not do: browsers disagree on the
//! pixels of one file, convert colours, and return randomised ones from a 2D canvas.
//!
//! - [`mod@decode`]: PNG, JPEG and WebP to upright RGB.
//! - [`mod@encode`]: RGB to PNG.
//! - [`mod@orient`]: turning a picture as its EXIF orientation says.
//! - [`samples`]: samples of any layout as RGB.
//! - [`error`]: why an encoded picture is not taken.

mod decode;
mod encode;
mod error;
mod orient;
mod samples;

pub use decode::{Format, Limits, decode};
pub use encode::encode_png;
pub use error::CodecError;
