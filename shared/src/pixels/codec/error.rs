//! Why an encoded picture is not taken.

/// A file that is not taken as a picture, or a picture that could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Not one of the formats, by its first bytes.
    #[error("this is not a PNG, JPEG or WebP picture; choose another file")]
    UnknownFormat,
    /// Too large, by its header: nothing was decoded.
    #[error(
        "the picture has {width} x {height} pixels; at most {max_side} a side and {max_pixels} in all are taken"
    )]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Longest side taken.
        max_side: u32,
        /// Most pixels taken.
        max_pixels: u64,
    },
    /// It ends early or its content is wrong.
    #[error("the picture is damaged: {0}")]
    Damaged(String),
    /// The PNG could not be written.
    #[error("the picture could not be written as PNG: {0}")]
    Encoding(String),
}

impl CodecError {
    /// A stable name for programs; the server's names for the same.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownFormat => "image_format",
            Self::TooLarge { .. } => "image_too_large",
            Self::Damaged(_) => "image_damaged",
            Self::Encoding(_) => "image_encoding",
        }
    }
}
