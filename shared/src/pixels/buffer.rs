//! An 8-bit RGB picture in memory.

/// Interleaved 8-bit RGB, rows from the top, no padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb8 {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

/// Bytes that do not fit the size they are said to have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a picture of {width} x {height} needs {expected} bytes of RGB, got {got}")]
pub struct SizeMismatch {
    width: u32,
    height: u32,
    expected: usize,
    got: usize,
}

impl Rgb8 {
    /// Wraps pixels.
    ///
    /// # Errors
    /// [`SizeMismatch`] unless `data` holds `width * height * 3` bytes and neither side is 0.
    pub fn new(width: u32, height: u32, data: Vec<u8>) -> Result<Self, SizeMismatch> {
        let expected = width as usize * height as usize * 3;
        if expected == 0 || data.len() != expected {
            return Err(SizeMismatch { width, height, expected, got: data.len() });
        }
        Ok(Self { width, height, data })
    }

    /// Width in pixels, at least 1.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, at least 1.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The bytes, `height * width * 3`.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The bytes, given up by the picture.
    #[must_use]
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }
}
