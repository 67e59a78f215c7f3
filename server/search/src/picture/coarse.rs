//! Colour layouts of 8 x 6 cells, compared at every placement of a grid.

use super::planes::{CHANNELS, Moments, Plane, Pyramid, dot};
use super::pose::Pose;
use super::thumbnail::Thumbnail;

const COLUMNS: usize = 8;
const ROWS: usize = 6;
const CELLS: usize = COLUMNS * ROWS;
/// Numbers in a layout.
pub(super) const LEN: usize = CELLS * CHANNELS;

/// A layout with the mean lightness taken out, so that only gain is left of a change of light.
pub(super) type Layout = [f32; LEN];

/// A picture's layout, scaled to length 1.
pub(super) fn of_picture(thumbnail: &Thumbnail) -> Layout {
    let mut layout = centred(&thumbnail.plane(COLUMNS, ROWS).data);
    let length = dot(&layout, &layout).sqrt().max(1e-6);
    layout.iter_mut().for_each(|value| *value /= length);
    layout
}

/// The layout of what lies in a placement, and its colours.
pub(super) fn of_window(crop: &Pyramid, pose: &Pose) -> (Layout, Moments) {
    let (width, height) = pose.sides();
    let step = (width / (2 * COLUMNS) as f32).min(height / (2 * ROWS) as f32);
    let (plane, scale) = crop.level(step);
    let mut cells = [[0.0f32; CHANNELS]; CELLS];
    for row in 0..2 * ROWS {
        let v = (row as f32 + 0.5) / ROWS as f32 - 1.0;
        for column in 0..2 * COLUMNS {
            let u = (column as f32 + 0.5) / COLUMNS as f32 - 1.0;
            let (x, y) = pose.at(u, v);
            let sample = sample_level(plane, scale, x, y);
            let cell = &mut cells[row / 2 * COLUMNS + column / 2];
            for c in 0..CHANNELS {
                cell[c] += sample[c] / 4.0;
            }
        }
    }
    (centred(&cells), Moments::of(cells.iter()))
}

/// Samples a level at coordinates of the finest one.
#[inline]
pub(super) fn sample_level(plane: &Plane, scale: f32, x: f32, y: f32) -> [f32; CHANNELS] {
    let shift = 0.5 / scale - 0.5;
    plane.sample(x / scale + shift, y / scale + shift)
}

/// What each picture leaves of a window at the best gain: its number and the variance, summed over channels.
pub(super) fn compare(window: &Layout, pictures: &[Layout], mut take: impl FnMut(usize, f32)) {
    let energy = dot(window, window);
    for (number, picture) in pictures.iter().enumerate() {
        let along = dot(window, picture).max(0.0);
        take(number, (energy - along * along).max(0.0) / CELLS as f32);
    }
}

fn centred(cells: &[[f32; CHANNELS]]) -> Layout {
    let mean = cells.iter().map(|cell| cell[0]).sum::<f32>() / cells.len() as f32;
    let mut layout = [0.0; LEN];
    for (values, cell) in layout.chunks_exact_mut(CHANNELS).zip(cells) {
        values.copy_from_slice(cell);
        values[0] -= mean;
    }
    layout
}
