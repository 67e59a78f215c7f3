//! The patch grid of a picture.

use crate::config::vision::MERGE;

/// Rows and columns of 14-pixel patches of a still picture; both are even.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grid {
    /// Patch rows.
    pub rows: usize,
    /// Patch columns.
    pub columns: usize,
}

impl Grid {
    /// Patches of the picture.
    #[must_use]
    pub fn patches(self) -> usize {
        self.rows * self.columns
    }

    /// Rows of merged cells.
    #[must_use]
    pub fn merged_rows(self) -> usize {
        self.rows / MERGE
    }

    /// Columns of merged cells.
    #[must_use]
    pub fn merged_columns(self) -> usize {
        self.columns / MERGE
    }

    /// Tokens that the language model sees of the picture.
    #[must_use]
    pub fn tokens(self) -> usize {
        self.merged_rows() * self.merged_columns()
    }

    /// The grid as the image processor of transformers gives it: frames, rows, columns.
    #[must_use]
    pub fn thw(self) -> [usize; 3] {
        [1, self.rows, self.columns]
    }
}
