//! Which patches share an attention window.
//!
//! Patches arrive in groups of four, one group per merged cell, in reading order of the merged grid. Window attention
//! wants the cells of a window together, so groups are reordered before the blocks and put back after the merger.

use super::grid::Grid;
use crate::config::vision::MERGE;

/// Patches of one merged cell.
const GROUP: usize = MERGE * MERGE;

/// The order of the cells and where windows and pictures end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Windows {
    /// The cell that comes at each place.
    pub(crate) order: Vec<u32>,
    /// The place of each cell: undoes `order`.
    pub(crate) places: Vec<u32>,
    /// Cumulative patches of the windows, from 0.
    pub(crate) windows: Vec<usize>,
    /// Cumulative patches of the pictures, from 0.
    pub(crate) pictures: Vec<usize>,
}

impl Windows {
    /// Windows of `side` x `side` merged cells; those at the right and lower border are smaller.
    pub(crate) fn new(grids: &[Grid], side: usize) -> Self {
        let (mut order, mut windows, mut pictures) = (Vec::new(), vec![0], vec![0]);
        let mut first = 0;
        for grid in grids {
            let (rows, columns) = (grid.merged_rows(), grid.merged_columns());
            for top in (0..rows).step_by(side) {
                for left in (0..columns).step_by(side) {
                    for row in top..(top + side).min(rows) {
                        let right = (left + side).min(columns);
                        order.extend((left..right).map(|column| (first + row * columns + column) as u32));
                    }
                    windows.push(order.len() * GROUP);
                }
            }
            first += grid.tokens();
            pictures.push(first * GROUP);
        }
        let mut places = vec![0; order.len()];
        for (place, cell) in order.iter().enumerate() {
            places[*cell as usize] = place as u32;
        }
        Self { order, places, windows, pictures }
    }
}

/// Row and column of every patch in the order in which patches arrive.
pub(super) fn patch_positions(grids: &[Grid]) -> Vec<[u32; 2]> {
    let mut positions = Vec::with_capacity(grids.iter().map(|grid| grid.patches()).sum());
    for grid in grids {
        for cell in 0..grid.tokens() {
            let (row, column) = (cell / grid.merged_columns() * MERGE, cell % grid.merged_columns() * MERGE);
            for patch in 0..GROUP {
                positions.push([(row + patch / MERGE) as u32, (column + patch % MERGE) as u32]);
            }
        }
    }
    positions
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_cell_comes_once_and_windows_are_never_empty(
            sides in prop::collection::vec((1usize..12, 1usize..12), 1..4),
            side in 1usize..6,
        ) {
            let grids: Vec<Grid> =
                sides.into_iter().map(|(rows, columns)| Grid { rows: rows * 2, columns: columns * 2 }).collect();
            let windows = Windows::new(&grids, side);
            let mut cells = windows.order.clone();
            cells.sort_unstable();
            let tokens: usize = grids.iter().map(|grid| grid.tokens()).sum();
            prop_assert_eq!(cells, (0..tokens as u32).collect::<Vec<_>>());
            prop_assert!(windows.windows.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(windows.windows.windows(2).all(|pair| pair[1] - pair[0] <= side * side * GROUP));
            prop_assert_eq!(windows.windows.last(), windows.pictures.last());
            prop_assert_eq!(*windows.pictures.last().unwrap(), tokens * GROUP);
        }
    }

    #[test]
    fn border_windows_are_smaller_and_the_order_can_be_undone() {
        let grids = [Grid { rows: 6, columns: 10 }, Grid { rows: 4, columns: 4 }];
        let windows = Windows::new(&grids, 2);
        assert_eq!(windows.order[..4], [0, 1, 5, 6]);
        assert_eq!(windows.windows, [0, 16, 32, 40, 48, 56, 60, 76]);
        assert_eq!(windows.pictures, [0, 60, 76]);
        let undone: Vec<u32> = windows.places.iter().map(|place| windows.order[*place as usize]).collect();
        assert_eq!(undone, (0..19).collect::<Vec<u32>>());
    }

    #[test]
    fn patches_of_a_cell_come_together() {
        let positions = patch_positions(&[Grid { rows: 2, columns: 4 }]);
        assert_eq!(positions, [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]]);
    }
}
