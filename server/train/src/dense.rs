//! The dense teacher of the vision tower: a throw-away linear head on the merger's output that says what is in every
//! merged cell, where its box is, and where the cell itself is. Answers alone give the tower almost no gradient worth
//! having. Places are those in the picture, not relative to the cell: the tower's rotary attention knows only distances,
//! and a language model that cannot read absolute places off the embeddings does not learn to write boxes (it stayed at
//! one favourite corner for 10,000 pictures).

use candle_core::{Tensor, Var};
use loupe_mllm::model::Grid;
use loupe_mllm::ops;

use crate::error::Result;
use crate::example::Seen;
use crate::params::Params;

/// Weight of each L1 distance beside the cross-entropy of the classes.
const PLACE_WEIGHT: f64 = 4.0;
/// Weights of the background, of flags and of objects among the classes. Objects are small: counted alike, their shapes
/// are lost among the cells that show nothing.
const CLASS_WEIGHTS: [f32; 3] = [0.3, 1.0, 4.0];

/// What is in a merged cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// Class; 0 is the background.
    pub class: u16,
    /// The cell's centre, right and down of the picture's middle, as fractions of the picture.
    pub centre: [f32; 2],
    /// Left, top, right and bottom of its box in the same way; 0 for the background.
    pub edges: [f32; 4],
}

/// Labels of a picture's cells in reading order: a cell shows the smallest thing whose bounds contain its centre.
#[must_use]
pub fn cells(seen: &[Seen], grid: Grid) -> Vec<Cell> {
    let (rows, columns) = (grid.merged_rows(), grid.merged_columns());
    let mut cells = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        for column in 0..columns {
            let x = (column as f32 + 0.5) / columns as f32;
            let y = (row as f32 + 0.5) / rows as f32;
            cells.push(cell(seen, x, y));
        }
    }
    cells
}

fn cell(seen: &[Seen], x: f32, y: f32) -> Cell {
    let area = |seen: &Seen| {
        let [left, top, right, bottom] = seen.bounds;
        (right - left) * (bottom - top)
    };
    let inside = |seen: &&Seen| {
        let [left, top, right, bottom] = seen.bounds;
        (left..right).contains(&x) && (top..bottom).contains(&y)
    };
    let centre = [x - 0.5, y - 0.5];
    match seen.iter().filter(inside).min_by(|a, b| area(a).total_cmp(&area(b))) {
        Some(Seen { class, bounds }) => Cell { class: *class, centre, edges: bounds.map(|edge| edge - 0.5) },
        None => Cell { class: 0, centre, edges: [0.0; 4] },
    }
}

/// The head: `[classes, hidden]`, `[2, hidden]` and `[4, hidden]`.
#[derive(Debug, Clone)]
pub struct DenseHead {
    classes: Var,
    centres: Var,
    edges: Var,
}

/// The name under which the head's weights lie beside the model's; they are not exported.
pub const PREFIX: &str = "dense.";

/// What the head says of some cells.
#[derive(Debug)]
pub struct DenseLoss {
    /// Cross-entropy and four times the L1 distances of centres and of edges, a scalar.
    pub loss: Tensor,
    /// Part of the cells whose class is right.
    pub right: f64,
}

impl DenseHead {
    /// A head on vision embeddings of width `hidden`.
    ///
    /// # Errors
    /// When the store holds one of another shape.
    pub fn new(params: &Params, hidden: usize, classes: usize) -> Result<Self> {
        Ok(Self {
            classes: params.var(&format!("{PREFIX}classes.weight"), &[classes, hidden])?,
            centres: params.var(&format!("{PREFIX}centres.weight"), &[2, hidden])?,
            edges: params.var(&format!("{PREFIX}edges.weight"), &[4, hidden])?,
        })
    }

    /// The loss over the rows of `embeds` `[tokens, hidden]` at `places`, whose labels are `cells`.
    ///
    /// # Errors
    /// When a class or a place is out of range.
    pub fn loss(&self, embeds: &Tensor, places: &[u32], cells: &[Cell]) -> Result<DenseLoss> {
        let device = embeds.device();
        let chosen = embeds.index_select(&Tensor::new(places, device)?, 0)?;
        let targets: Vec<u32> = cells.iter().map(|cell| u32::from(cell.class)).collect();
        let weights: Vec<f32> =
            cells.iter().map(|cell| CLASS_WEIGHTS[usize::from(cell.class.min(2))]).collect();
        let classes = ops::linear_cross_entropy(&chosen, &self.classes, &targets, &weights)?;
        let right = classes.right.iter().filter(|right| **right).count() as f64 / targets.len().max(1) as f64;
        let centres: Vec<f32> = cells.iter().flat_map(|cell| cell.centre).collect();
        let mut loss = (classes.loss + (distance(&chosen, &self.centres, centres)? * PLACE_WEIGHT)?)?;
        let full = || (0u32..).zip(cells).filter(|(_, cell)| cell.class != 0);
        if full().next().is_some() {
            let rows: Vec<u32> = full().map(|(at, _)| at).collect();
            let edges: Vec<f32> = full().flat_map(|(_, cell)| cell.edges).collect();
            let chosen = chosen.index_select(&Tensor::new(rows, device)?, 0)?;
            loss = (loss + (distance(&chosen, &self.edges, edges)? * PLACE_WEIGHT)?)?;
        }
        Ok(DenseLoss { loss, right })
    }
}

/// Mean L1 distance of what a head `[n, hidden]` says of embeddings `[rows, hidden]` from what is wanted, n numbers a row.
fn distance(embeds: &Tensor, head: &Var, wanted: Vec<f32>) -> Result<Tensor> {
    let said = ops::linear(embeds, head, None)?;
    let wanted = Tensor::from_vec(wanted, said.shape(), said.device())?;
    Ok((said - wanted)?.abs()?.mean_all()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::grads::Grads;
    use crate::init::Init;

    #[test]
    fn a_cell_shows_the_smallest_thing_over_its_centre() {
        let seen = [
            Seen { class: 1, bounds: [0.0, 0.0, 0.5, 1.0] },
            Seen { class: 2, bounds: [0.0, 0.0, 0.3, 0.3] },
        ];
        let cells = cells(&seen, Grid { rows: 4, columns: 8 });
        let classes: Vec<u16> = cells.iter().map(|cell| cell.class).collect();
        assert_eq!(classes, [2, 1, 0, 0, 1, 1, 0, 0]);
        assert_eq!((cells[1].centre, cells[1].edges), ([-0.125, -0.25], [-0.5, -0.5, 0.0, 0.5]));
        assert_eq!((cells[3].centre, cells[3].edges), ([0.375, -0.25], [0.0; 4]));
    }

    #[test]
    fn the_head_learns_where_things_are() -> Result<()> {
        let init = Init { seed: 1, deviation: 0.02, layers: 1, vision_layers: 1 };
        let params = Params::new(init);
        let head = DenseHead::new(&params, 8, 3)?;
        let embeds = Tensor::from_vec(
            Init { seed: 5, deviation: 1.0, ..init }.values("x.weight", &[8, 8]),
            (8, 8),
            &Device::Cpu,
        )?;
        let seen = [Seen { class: 2, bounds: [0.0, 0.0, 0.5, 1.0] }];
        let cells = cells(&seen, Grid { rows: 4, columns: 8 });
        let places: Vec<u32> = (0..8).collect();
        let mut optimiser = crate::optim::AdamW::new(crate::optim::AdamWConfig::default());
        let before = head.loss(&embeds, &places, &cells)?.loss.to_scalar::<f32>()?;
        for _ in 0..200 {
            let loss = head.loss(&embeds, &places, &cells)?.loss;
            let vars = params.all();
            optimiser.step(&vars, &Grads::of(&vars, &loss.backward()?)?, 0.02)?;
        }
        let after = head.loss(&embeds, &places, &cells)?;
        assert!(after.loss.to_scalar::<f32>()? < before * 0.2, "{before} {}", after.loss);
        assert_eq!(after.right, 1.0);
        Ok(())
    }
}
