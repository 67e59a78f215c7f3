//! Why a file is not taken as a picture.

/// A file that is not taken, or a browser that cannot read it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// Not one of the formats, by its first bytes.
    #[error("this is not a PNG, JPEG or WebP picture; choose another file")]
    Format,
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
    #[error("the picture is damaged: {0}; get it again from where it came")]
    Damaged(String),
    /// The browser lacks what is needed to read decoded pixels.
    #[error("this browser cannot read the pixels of a picture ({0}); update it, or use another")]
    Browser(String),
}

impl PictureError {
    /// A stable name for programs; the server's names where it has the same.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Format => "image_format",
            Self::TooLarge { .. } => "image_too_large",
            Self::Damaged(_) => "image_damaged",
            Self::Browser(_) => "browser_pixels",
        }
    }
}
