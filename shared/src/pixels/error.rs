//! What can be wrong with a picture's size or a part of it.

/// Longest side that any function here takes, in pixels.
pub const MAX_SIDE: u32 = 65_535;

/// Most pixels of any picture made here (805 MB of RGB): more is a mistake, and would end the program for want of memory.
pub const MAX_PIXELS: u64 = 1 << 28;

/// A request that pixel arithmetic refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PixelError {
    /// A side of 0, above [`MAX_SIDE`], or more than [`MAX_PIXELS`] in all.
    #[error(
        "a picture of {width} x {height} is not allowed: sides go from 1 to {MAX_SIDE}, at most {MAX_PIXELS} pixels"
    )]
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// A rectangle that is empty or reaches over the edge.
    #[error(
        "{width} x {height} at ({x}, {y}) is not inside the picture of {picture_width} x {picture_height}; move or shrink it"
    )]
    Outside {
        /// Left edge.
        x: u32,
        /// Top edge.
        y: u32,
        /// Width.
        width: u32,
        /// Height.
        height: u32,
        /// The picture's width.
        picture_width: u32,
        /// The picture's height.
        picture_height: u32,
    },
    /// Longer than 200 times its other side; the model's processor refuses it too.
    #[error("a picture of {width} x {height} is more than 200 times longer than wide; crop it")]
    Aspect {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// Limits that no picture can meet.
    #[error(
        "pixel limits must have a factor of at least 1 and 1 <= min <= max, got factor {factor}, {min} to {max}"
    )]
    Limits {
        /// Sides are multiples of this.
        factor: u32,
        /// Least area in pixels.
        min: u64,
        /// Largest area in pixels.
        max: u64,
    },
    /// Sides that do not divide into merged patches.
    #[error(
        "a picture of {width} x {height} cannot be cut into patches: both sides must be multiples of 28; resize it first"
    )]
    NotWholePatches {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
}

impl PixelError {
    /// A stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Size { .. } => "picture_size",
            Self::Outside { .. } => "crop_outside",
            Self::Aspect { .. } => "picture_aspect",
            Self::Limits { .. } => "pixel_limits",
            Self::NotWholePatches { .. } => "not_whole_patches",
        }
    }
}

/// Refuses sizes that no picture here may have.
pub(super) fn check_size(width: u32, height: u32) -> Result<(), PixelError> {
    let sides = 1..=MAX_SIDE;
    let fits = u64::from(width) * u64::from(height) <= MAX_PIXELS;
    if !(sides.contains(&width) && sides.contains(&height) && fits) {
        return Err(PixelError::Size { width, height });
    }
    Ok(())
}
