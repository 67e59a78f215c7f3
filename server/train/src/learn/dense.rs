//! The dense teacher of the vision tower: a throw-away linear head on the merger's output that says what is in every
//! merged cell and what it is like, where its box is, and where the cell itself is. Answers alone give the tower almost no gradient worth
//! having. Places are those in the picture, not relative to the cell: the tower's rotary attention knows only distances,
//! and a language model that cannot read absolute places off the embeddings does not learn to write boxes (it stayed at
//! one favourite corner for 10,000 pictures).

use candle_core::{Tensor, Var};
use loupe_mllm::model::Grid;
use loupe_mllm::ops;

use crate::error::Result;
use crate::learn::example::{Seen, SeenClasses, TRAITS};
use crate::learn::log::Tally;
use crate::learn::params::Params;

/// Weight of each L1 distance beside the cross-entropy of the classes.
const PLACE_WEIGHT: f64 = 4.0;
/// Weights of the background, of flags and of objects among the classes. Objects are small: counted alike, they are lost
/// among the cells that show nothing.
const CLASS_WEIGHTS: [f32; 3] = [0.3, 1.0, 4.0];

/// What is in a merged cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// Class; 0 is the background.
    pub class: u16,
    /// Traits of what is in it.
    pub traits: [Option<u16>; TRAITS],
    /// The cell's centre, right and down of the picture's middle, as fractions of the picture.
    pub centre: [f32; 2],
    /// Left, top, right and bottom of its box in the same way; 0 for the background.
    pub edges: [f32; 4],
}

/// Labels of a picture's cells in reading order: a cell shows the smallest thing that its centre lies in, or whose centre
/// lies in it: things smaller than a cell would have no label otherwise.
#[must_use]
pub fn cells(seen: &[Seen], grid: Grid) -> Vec<Cell> {
    let (rows, columns) = (grid.merged_rows(), grid.merged_columns());
    let mut cells = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        for column in 0..columns {
            let (x, y) = (column as f32 / columns as f32, row as f32 / rows as f32);
            let (right, bottom) = ((column + 1) as f32 / columns as f32, (row + 1) as f32 / rows as f32);
            cells.push(cell(seen, [x, y, right, bottom]));
        }
    }
    cells
}

fn cell(seen: &[Seen], own: [f32; 4]) -> Cell {
    let area = |seen: &Seen| {
        let [left, top, right, bottom] = seen.bounds;
        (right - left) * (bottom - top)
    };
    let shown = |seen: &&Seen| contains(seen.bounds, middle(own)) || contains(own, middle(seen.bounds));
    let centre = middle(own).map(|place| place - 0.5);
    match seen.iter().filter(shown).min_by(|a, b| area(a).total_cmp(&area(b))) {
        Some(Seen { class, traits, bounds }) => {
            Cell { class: *class, traits: *traits, centre, edges: bounds.map(|edge| edge - 0.5) }
        }
        None => Cell { class: 0, traits: [None; TRAITS], centre, edges: [0.0; 4] },
    }
}

fn middle([left, top, right, bottom]: [f32; 4]) -> [f32; 2] {
    [left.midpoint(right), top.midpoint(bottom)]
}

fn contains([left, top, right, bottom]: [f32; 4], [x, y]: [f32; 2]) -> bool {
    (left..right).contains(&x) && (top..bottom).contains(&y)
}

/// The head: `[classes, hidden]`, `[values, hidden]` for every sort of trait, `[2, hidden]` and `[4, hidden]`.
#[derive(Debug, Clone)]
pub struct DenseHead {
    kinds: Var,
    traits: [Option<Var>; TRAITS],
    centres: Var,
    edges: Var,
}

/// The name under which the head's weights lie beside the model's; they are not exported.
pub const PREFIX: &str = "dense.";

/// What the head says of some cells.
#[derive(Debug)]
pub struct DenseLoss {
    /// Cross-entropies of the class and of each trait, and four times the L1 distances of centres and of edges, a scalar.
    pub loss: Tensor,
    /// Of how many cells the class, and after it each trait, was told, and of how many rightly.
    pub told: [Tally; 1 + TRAITS],
}

impl DenseHead {
    /// A head on vision embeddings of width `hidden`.
    ///
    /// # Errors
    /// When the store holds one of another shape.
    pub fn new(params: &Params, hidden: usize, seen: SeenClasses) -> Result<Self> {
        let head = |name: String, values| params.var(&format!("{PREFIX}{name}.weight"), &[values, hidden]);
        let mut traits = [const { None }; TRAITS];
        for (sort, &values) in seen.traits.iter().enumerate().filter(|(_, values)| **values > 0) {
            traits[sort] = Some(head(format!("traits.{sort}"), values)?);
        }
        Ok(Self {
            kinds: head("kinds".to_owned(), seen.classes)?,
            traits,
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
        let kinds = ops::linear_cross_entropy(&chosen, &self.kinds, &targets, &weights)?;
        let mut told = [Tally::default(); 1 + TRAITS];
        told[0] = tally(&kinds.right);
        let centres: Vec<f32> = cells.iter().flat_map(|cell| cell.centre).collect();
        let mut loss = (kinds.loss + (distance(&chosen, &self.centres, centres)? * PLACE_WEIGHT)?)?;
        for (sort, head) in self.traits.iter().enumerate() {
            let known =
                (0u32..).zip(cells).filter_map(|(at, cell)| Some((at, u32::from(cell.traits[sort]?))));
            let (rows, targets): (Vec<u32>, Vec<u32>) = known.unzip();
            let Some(head) = head.as_ref().filter(|_| !rows.is_empty()) else { continue };
            let weights = vec![1.0; rows.len()];
            let chosen = chosen.index_select(&Tensor::new(rows, device)?, 0)?;
            let values = ops::linear_cross_entropy(&chosen, head, &targets, &weights)?;
            told[1 + sort] = tally(&values.right);
            loss = (loss + values.loss)?;
        }
        let full = || (0u32..).zip(cells).filter(|(_, cell)| cell.class != 0);
        if full().next().is_some() {
            let rows: Vec<u32> = full().map(|(at, _)| at).collect();
            let edges: Vec<f32> = full().flat_map(|(_, cell)| cell.edges).collect();
            let chosen = chosen.index_select(&Tensor::new(rows, device)?, 0)?;
            loss = (loss + (distance(&chosen, &self.edges, edges)? * PLACE_WEIGHT)?)?;
        }
        Ok(DenseLoss { loss, told })
    }
}

fn tally(right: &[bool]) -> Tally {
    let exact = right.iter().filter(|right| **right).count() as u64;
    Tally { turns: right.len() as u64, exact, ..Tally::default() }
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
    use crate::learn::grads::Grads;
    use crate::learn::init::Init;

    #[test]
    fn a_cell_shows_the_smallest_thing_over_its_centre() {
        let seen = [
            Seen { class: 1, traits: [None, None], bounds: [0.0, 0.0, 0.5, 1.0] },
            Seen { class: 2, traits: [Some(3), None], bounds: [0.0, 0.0, 0.3, 0.3] },
        ];
        let cells = cells(&seen, Grid { rows: 4, columns: 8 });
        let classes: Vec<u16> = cells.iter().map(|cell| cell.class).collect();
        assert_eq!(classes, [2, 1, 0, 0, 1, 1, 0, 0]);
        assert_eq!((cells[1].centre, cells[1].edges), ([-0.125, -0.25], [-0.5, -0.5, 0.0, 0.5]));
        assert_eq!(
            (cells[0].traits, cells[1].traits, cells[2].traits),
            ([Some(3), None], [None; 2], [None; 2])
        );
        assert_eq!((cells[3].centre, cells[3].edges), ([0.375, -0.25], [0.0; 4]));
    }

    #[test]
    fn a_thing_smaller_than_a_cell_is_in_the_cell_that_holds_its_centre() {
        let seen = [Seen { class: 2, traits: [None, None], bounds: [0.55, 0.1, 0.65, 0.2] }];
        let cells = cells(&seen, Grid { rows: 4, columns: 8 });
        let classes: Vec<u16> = cells.iter().map(|cell| cell.class).collect();
        assert_eq!(classes, [0, 0, 2, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn the_head_learns_where_things_are() -> Result<()> {
        let init = Init { seed: 1, deviation: 0.02, layers: 1, vision_layers: 1 };
        let params = Params::new(init);
        let head = DenseHead::new(&params, 8, SeenClasses { classes: 3, traits: [0, 4] })?;
        let embeds = Tensor::from_vec(
            Init { seed: 5, deviation: 1.0, ..init }.values("x.weight", &[8, 8]),
            (8, 8),
            &Device::Cpu,
        )?;
        let seen = [Seen { class: 2, traits: [Some(1), Some(3)], bounds: [0.0, 0.0, 0.5, 1.0] }];
        let cells = cells(&seen, Grid { rows: 4, columns: 8 });
        let places: Vec<u32> = (0..8).collect();
        let mut optimiser = crate::learn::optim::AdamW::new(crate::learn::optim::AdamWConfig::default());
        let before = head.loss(&embeds, &places, &cells)?.loss.to_scalar::<f32>()?;
        for _ in 0..200 {
            let loss = head.loss(&embeds, &places, &cells)?.loss;
            let vars = params.all();
            optimiser.step(&vars, &Grads::of(&vars, &loss.backward()?)?, 0.02)?;
        }
        let after = head.loss(&embeds, &places, &cells)?;
        assert!(after.loss.to_scalar::<f32>()? < before * 0.2, "{before} {}", after.loss);
        let told = after.told.map(|told| (told.exact, told.turns));
        assert_eq!(told, [(8, 8), (0, 0), (4, 4)]);
        Ok(())
    }
}
