//! A batch as two, front rows and back rows, that together say what it says.

use std::ops::Range;

use candle_core::{Result, Tensor};
use loupe_mllm::model::Positions;

use crate::learn::batch::{Batch, Pictures, Target};

impl Batch {
    /// The two halves, each no longer than its longest row; nothing where it has one row, or a half would say nothing.
    ///
    /// # Errors
    /// When a tensor cannot be cut.
    pub(crate) fn halves(&self) -> Result<Option<[Self; 2]>> {
        let Some(cut) = self.middle() else { return Ok(None) };
        let halves = [self.rows(0..cut)?, self.rows(cut..self.positions.len())?];
        Ok(halves.iter().all(|half| !half.targets.is_empty()).then_some(halves))
    }

    /// The row before which the larger half is smallest, padding included; rows are sorted by length where they come from.
    fn middle(&self) -> Option<usize> {
        let area = |rows: Range<usize>| rows.len() * self.longest(rows);
        let count = self.positions.len();
        (1..count).min_by_key(|&cut| area(0..cut).max(area(cut..count)))
    }

    fn longest(&self, rows: Range<usize>) -> usize {
        self.positions[rows].iter().map(Positions::len).max().unwrap_or(0)
    }

    fn rows(&self, rows: Range<usize>) -> Result<Self> {
        let (length, longer) = (self.longest(rows.clone()), self.ids.dim(1)?);
        let seen = self.picture_tokens(&rows, longer)?;
        let own = |target: &&Target| rows.contains(&(target.sequence as usize));
        // Rows lie closer together where they are shorter.
        let moved = |target: &Target| {
            let sequence = target.sequence - rows.start as u32;
            let within = target.row - target.sequence * longer as u32;
            Target { row: sequence * length as u32 + within, sequence, ..*target }
        };
        let cells = self.cell_places.iter().zip(&self.cells);
        let cells = cells.filter(|(place, _)| seen.contains(&(**place as usize)));
        let (cell_places, cells) = cells.map(|(place, cell)| (place - seen.start as u32, *cell)).unzip();
        Ok(Self {
            next: self.next,
            ids: self.ids.narrow(0, rows.start, rows.len())?.narrow(1, 0, length)?.contiguous()?,
            positions: self.positions[rows.clone()].to_vec(),
            order: self.order_of(&rows, length, &seen)?,
            pictures: self.pictures_of(&seen)?,
            grids: self.grids[self.grids_before(seen.start)..self.grids_before(seen.end)].to_vec(),
            targets: self.targets.iter().filter(own).map(moved).collect(),
            kinds: self.kinds[rows.clone()].to_vec(),
            cell_places,
            cells,
            tokens: self.positions[rows].iter().map(|positions| positions.len() as u64).sum(),
        })
    }

    /// Which of the pictures' tokens lie in these rows.
    fn picture_tokens(&self, rows: &Range<usize>, length: usize) -> Result<Range<usize>> {
        let Some(order) = &self.order else { return Ok(0..0) };
        let order = order.to_vec1::<u32>()?;
        let words = order.len() as u32;
        let before = |row: usize| order[..row * length].iter().filter(|place| **place >= words).count();
        Ok(before(rows.start)..before(rows.end))
    }

    /// Pictures that end at or before this one of their tokens.
    fn grids_before(&self, token: usize) -> usize {
        let ends = self.grids.iter().scan(0, |end, grid| {
            *end += grid.tokens();
            Some(*end)
        });
        ends.take_while(|end| *end <= token).count()
    }

    fn pictures_of(&self, tokens: &Range<usize>) -> Result<Option<Pictures>> {
        let patches =
            |token| self.grids[..self.grids_before(token)].iter().map(|grid| grid.patches()).sum::<usize>();
        let Some(pictures) = self.pictures.as_ref().filter(|_| !tokens.is_empty()) else { return Ok(None) };
        Ok(Some(match pictures {
            Pictures::Patches(all) => {
                let (start, end) = (patches(tokens.start), patches(tokens.end));
                Pictures::Patches(all.narrow(0, start, end - start)?)
            }
            Pictures::Seen(all) => Pictures::Seen(all.narrow(0, tokens.start, tokens.len())?),
        }))
    }

    /// [`Batch::order`] of these rows, cut to `length`, whose pictures' tokens are `seen`.
    fn order_of(&self, rows: &Range<usize>, length: usize, seen: &Range<usize>) -> Result<Option<Tensor>> {
        let Some(order) = self.order.as_ref().filter(|_| !seen.is_empty()) else { return Ok(None) };
        let (words, longer) = (order.dim(0)?, self.ids.dim(1)?);
        let order = order.to_vec1::<u32>()?;
        let rows = order[rows.start * longer..rows.end * longer].chunks(longer);
        let kept: Vec<u32> = rows.flat_map(|row| &row[..length]).copied().collect();
        let own = kept.len();
        let place = |(at, place): (usize, &u32)| match (*place as usize).checked_sub(words + seen.start) {
            Some(picture) => (own + picture) as u32,
            None => at as u32,
        };
        let moved: Vec<u32> = kept.iter().enumerate().map(place).collect();
        Ok(Some(Tensor::from_vec(moved, own, self.ids.device())?))
    }
}

#[cfg(test)]
mod tests {
    use loupe_mllm::config::vision::PATCH_VALUES;
    use loupe_mllm::model::Grid;

    use super::*;
    use crate::learn::batch::Place;
    use crate::learn::dense::Cell;
    use crate::learn::sequence::Sequence;

    const IMAGE: u32 = 9;
    const GRID: Grid = Grid { rows: 2, columns: 4 };

    /// Words, and pictures of two tokens each, whose patches and cells have their own numbers.
    fn sequence(ids: &[u32], first_picture: u16) -> Sequence {
        let pictures = ids.iter().filter(|id| **id == IMAGE).count() as u16 / 2;
        let grids = vec![GRID; pictures.into()];
        let numbers = first_picture..first_picture + pictures;
        let cell = |class| Cell { class, traits: [None; 2], centre: [0.0; 2], edges: [0.0; 4] };
        Sequence {
            kind: "words",
            ids: ids.to_vec(),
            weights: ids.iter().map(|id| if *id == IMAGE { 0.0 } else { 1.0 }).collect(),
            turns: vec![1; ids.len()],
            positions: Positions::of(ids, IMAGE, &grids).unwrap(),
            patches: numbers
                .clone()
                .flat_map(|n| vec![f32::from(n); GRID.patches() * PATCH_VALUES])
                .collect(),
            cells: numbers.flat_map(|n| [cell(n), cell(n)]).collect(),
            grids,
        }
    }

    fn same(a: &Batch, b: &Batch) {
        let numbers =
            |tensor: &Tensor| tensor.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1::<f32>();
        let patches = |batch: &Batch| match &batch.pictures {
            Some(Pictures::Patches(patches)) => numbers(patches).unwrap(),
            _ => Vec::new(),
        };
        assert_eq!(a.ids.to_vec2::<u32>().unwrap(), b.ids.to_vec2::<u32>().unwrap());
        let order = |batch: &Batch| batch.order.as_ref().map(|order| order.to_vec1::<u32>().unwrap());
        assert_eq!(order(a), order(b));
        assert_eq!(patches(a), patches(b));
        assert_eq!((&a.positions, &a.grids, &a.targets), (&b.positions, &b.grids, &b.targets));
        assert_eq!(
            (&a.kinds, &a.cell_places, &a.cells, a.tokens),
            (&b.kinds, &b.cell_places, &b.cells, b.tokens)
        );
    }

    #[test]
    fn halves_are_what_their_rows_alone_would_be() {
        let rows = [
            sequence(&[1, 2, 3], 0),
            sequence(&[1, IMAGE, IMAGE, 4], 1),
            sequence(&[1, IMAGE, IMAGE, 5, IMAGE, IMAGE, 6], 2),
            sequence(&[7, 8, 1, 2, 3, 4, 5, 6], 4),
            sequence(&[7, IMAGE, IMAGE, 2, 3, 4, 5, 8], 4),
        ];
        let new = |rows: &[Sequence]| Batch::new(rows, IMAGE, Place { pool: 1, batch: 2, of: 3 }).unwrap();
        for count in 2..=rows.len() {
            let [front, back] = new(&rows[..count]).halves().unwrap().unwrap();
            let cut = front.positions.len();
            assert_eq!(cut + back.positions.len(), count);
            same(&front, &new(&rows[..cut]));
            same(&back, &new(&rows[cut..count]));
        }
        assert!(new(&rows[..1]).halves().unwrap().is_none());
        assert_eq!(new(&rows).halves().unwrap().unwrap()[0].positions.len(), 3);
    }

    #[test]
    fn a_batch_whose_half_says_nothing_stays_whole() {
        let silent = Sequence { weights: vec![0.0; 3], ..sequence(&[1, 2, 3], 0) };
        let batch = Batch::new(&[silent, sequence(&[1, 2, 3], 0)], IMAGE, Place::default()).unwrap();
        assert!(batch.halves().unwrap().is_none());
    }
}
