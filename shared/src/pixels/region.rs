//! A part of a picture as fractions of the upright original.

use serde::{Deserialize, Serialize};

/// A rectangle inside the unit square: `0 <= x`, `0 <= y`, `w > 0`, `h > 0`, `x + w <= 1`, `y + h <= 1`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawRegion", into = "RawRegion")]
pub struct Region {
    x: f64,
    y: f64,
    w: f64,
    h: f64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct RawRegion {
    x: f64,
    y: f64,
    w: f64,
    h: f64,
}

/// A rectangle that is not inside the unit square.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("a region must lie in 0..1 with a size above 0, got x {x}, y {y}, w {w}, h {h}")]
pub struct RegionError {
    x: f64,
    y: f64,
    w: f64,
    h: f64,
}

/// Room for sums like 0.1 + 0.9 that miss 1 by the last bit.
const SLACK: f64 = 1e-9;

impl Region {
    /// The whole picture.
    pub const WHOLE: Self = Self { x: 0.0, y: 0.0, w: 1.0, h: 1.0 };

    /// Checks and makes a region.
    ///
    /// # Errors
    /// [`RegionError`] for NaN, empty, or anything outside the unit square.
    pub fn new(x: f64, y: f64, w: f64, h: f64) -> Result<Self, RegionError> {
        let inside =
            x >= 0.0 && y >= 0.0 && w > 0.0 && h > 0.0 && x + w <= 1.0 + SLACK && y + h <= 1.0 + SLACK;
        if !inside {
            return Err(RegionError { x, y, w, h });
        }
        Ok(Self { x, y, w: w.min(1.0 - x), h: h.min(1.0 - y) })
    }

    /// Left edge.
    #[must_use]
    pub fn x(&self) -> f64 {
        self.x
    }

    /// Top edge.
    #[must_use]
    pub fn y(&self) -> f64 {
        self.y
    }

    /// Width.
    #[must_use]
    pub fn w(&self) -> f64 {
        self.w
    }

    /// Height.
    #[must_use]
    pub fn h(&self) -> f64 {
        self.h
    }

    /// Whether this is the whole picture.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        *self == Self::WHOLE
    }
}

impl TryFrom<RawRegion> for Region {
    type Error = RegionError;
    fn try_from(raw: RawRegion) -> Result<Self, RegionError> {
        Self::new(raw.x, raw.y, raw.w, raw.h)
    }
}

impl From<Region> for RawRegion {
    fn from(region: Region) -> Self {
        Self { x: region.x, y: region.y, w: region.w, h: region.h }
    }
}
