//! Rectangles in pixels.

use serde::{Deserialize, Serialize};

/// A rectangle: `left` and `top` inside, `right` and `bottom` outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// First column.
    pub left: i32,
    /// First row.
    pub top: i32,
    /// Column after the last.
    pub right: i32,
    /// Row after the last.
    pub bottom: i32,
}

impl Bounds {
    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> i32 {
        self.right - self.left
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> i32 {
        self.bottom - self.top
    }

    /// Twice the centre, which is whole.
    #[must_use]
    pub fn centre2(&self) -> (i32, i32) {
        (self.left + self.right, self.top + self.bottom)
    }

    /// The gap between two rectangles in pixels along the axis where it is larger; 0 or less where they meet.
    #[must_use]
    pub fn gap(&self, other: &Self) -> i32 {
        let across = (other.left - self.right).max(self.left - other.right);
        let down = (other.top - self.bottom).max(self.top - other.bottom);
        across.max(down)
    }

    /// Whether this rectangle lies in a picture of that size.
    #[must_use]
    pub fn inside(&self, width: i32, height: i32) -> bool {
        self.left >= 0 && self.top >= 0 && self.right <= width && self.bottom <= height
    }

    /// The rectangle grown by `margin` pixels on each side and cut at the picture's border.
    #[must_use]
    pub fn grown(&self, margin: i32, width: i32, height: i32) -> Self {
        Self {
            left: (self.left - margin).max(0),
            top: (self.top - margin).max(0),
            right: (self.right + margin).min(width),
            bottom: (self.bottom + margin).min(height),
        }
    }

    /// Overlap of two rectangles over their union, 0 to 1.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        let area = |b: &Self| f64::from(b.width()) * f64::from(b.height());
        let shared = f64::from(width.max(0)) * f64::from(height.max(0));
        shared / (area(self) + area(other) - shared)
    }
}
