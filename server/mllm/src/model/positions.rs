//! Multimodal rotary positions (transformers' `get_rope_index`): words advance all three rows by one; a picture at
//! position `p` takes `p` for its time, `p + row` and `p + column` of the merged grid, and advances by its longer side.

use std::ops::Range;

use super::grid::Grid;
use crate::error::{Error, Result};

/// Time, row and column position of each token of one sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions {
    rows: [Vec<u32>; 3],
    next: u32,
}

impl Positions {
    /// Positions of a whole sequence in which each picture is a run of `image` tokens, one per merged cell.
    ///
    /// # Errors
    /// [`Error::Conversation`] when the picture tokens are not those of `grids`.
    pub fn of(ids: &[u32], image: u32, grids: &[Grid]) -> Result<Self> {
        let mut positions = Self::default();
        let mut grids = grids.iter();
        let mut at = 0;
        while at < ids.len() {
            if ids[at] != image {
                positions.push_words(1);
                at += 1;
                continue;
            }
            let grid = *grids.next().ok_or_else(|| mismatch("more picture tokens than pictures"))?;
            let run = ids[at..].iter().take(grid.tokens()).take_while(|id| **id == image).count();
            if run < grid.tokens() {
                return Err(mismatch("a picture with too few tokens"));
            }
            positions.push_picture(grid);
            at += grid.tokens();
        }
        if grids.next().is_some() {
            return Err(mismatch("more pictures than picture tokens"));
        }
        Ok(positions)
    }

    /// Appends `count` words.
    pub fn push_words(&mut self, count: u32) {
        for row in &mut self.rows {
            row.extend(self.next..self.next + count);
        }
        self.next += count;
    }

    /// Appends a picture.
    pub fn push_picture(&mut self, grid: Grid) {
        let start = self.next;
        for row in 0..grid.merged_rows() as u32 {
            for column in 0..grid.merged_columns() as u32 {
                self.rows[0].push(start);
                self.rows[1].push(start + row);
                self.rows[2].push(start + column);
            }
        }
        self.next += grid.merged_rows().max(grid.merged_columns()) as u32;
    }

    /// Tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows[0].len()
    }

    /// Whether there are no tokens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows[0].is_empty()
    }

    /// The rows: time, row, column.
    #[must_use]
    pub fn rows(&self) -> &[Vec<u32>; 3] {
        &self.rows
    }

    /// The position of the word that would come next.
    #[must_use]
    pub fn next(&self) -> u32 {
        self.next
    }

    /// The positions of a range of tokens, for the part of a prompt that is not in the cache.
    #[must_use]
    pub fn slice(&self, tokens: Range<usize>) -> Self {
        let rows = self.rows.each_ref().map(|row| row.get(tokens.clone()).unwrap_or_default().to_vec());
        Self { rows, next: self.next }
    }

    /// A single word at `position`.
    #[must_use]
    pub fn word(position: u32) -> Self {
        Self { rows: [vec![position], vec![position], vec![position]], next: position + 1 }
    }
}

fn mismatch(problem: &str) -> Error {
    Error::Conversation(format!("it has {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: u32 = 9;

    #[test]
    fn words_go_on_after_the_longer_side_of_a_picture() {
        let grid = Grid { rows: 4, columns: 6 };
        let positions =
            Positions::of(&[1, 9, 9, 9, 9, 9, 9, 2], IMAGE, &[grid]).expect("a picture of six tokens");
        assert_eq!(positions.rows()[0], [0, 1, 1, 1, 1, 1, 1, 4]);
        assert_eq!(positions.rows()[1], [0, 1, 1, 1, 2, 2, 2, 4]);
        assert_eq!(positions.rows()[2], [0, 1, 2, 3, 1, 2, 3, 4]);
        assert_eq!(positions.next(), 5);
    }

    #[test]
    fn tokens_and_pictures_have_to_agree() {
        let grid = Grid { rows: 2, columns: 4 };
        assert!(Positions::of(&[9, 9, 9], IMAGE, &[grid]).is_err());
        assert!(Positions::of(&[9, 1], IMAGE, &[grid]).is_err());
        assert!(Positions::of(&[1, 2], IMAGE, &[grid]).is_err());
    }
}
