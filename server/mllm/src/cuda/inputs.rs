//! A batch as the kernels read it: one list of integers, copied to the GPU at once.

use std::ops::Range;

use super::choosing::{CHOICE, choice_words};
use super::kernels::{Heads, Split, TILE};
use crate::lm::{BLOCK, Batch, Input, What};

/// Rows up to which each token attends for itself, whoever's it is. Such a step is padded to one of these counts, and
/// recorded for each of them.
pub const BUCKETS: [usize; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64];
/// Fewest blocks of a table; more are rounded up to a power of two.
const FEWEST_BLOCKS: usize = 16;

/// How the tokens attend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attention {
    /// Each by itself, over parts of its keys.
    Few,
    /// In so many tiles.
    Many(usize),
}

/// What a recorded step depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// Rows, padding included.
    pub rows: usize,
    /// Blocks of a table.
    pub stride: usize,
    /// The greatest rank of the adapters, rounded up to a power of two; 0 where no row uses one.
    pub rank: usize,
}

/// A batch in integers, with where each part of them begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    /// All of them.
    pub data: Vec<i32>,
    /// Rows and blocks of a table.
    pub bucket: Bucket,
    /// How the tokens attend.
    pub attention: Attention,
    /// Rows after which something is wanted, padding included.
    pub wanted: usize,
    /// Whether nothing but the bucket and the data matters, so that the step can be recorded.
    pub repeats: bool,
    ids: usize,
    positions: usize,
    slots: usize,
    lengths: usize,
    order: usize,
    choices: usize,
    tables: usize,
    tiles: usize,
}

impl Inputs {
    /// Of a batch that has been checked.
    #[must_use]
    pub fn new(batch: &Batch) -> Self {
        let tokens = batch.len();
        let few = BUCKETS.into_iter().find(|rows| *rows >= tokens);
        let rows = few.unwrap_or(tokens);
        let longest = batch.segments.iter().map(|segment| segment.blocks.len()).max().unwrap_or(0);
        let stride = longest.next_power_of_two().max(FEWEST_BLOCKS);
        let every = batch.wanted.iter().map(|wanted| wanted.token).eq(0..tokens);
        let repeats = few.is_some() && every;
        let wanted = if repeats { rows } else { batch.wanted.len() };
        let mut data = Vec::new();
        let mut part = |size: usize, values: &mut dyn Iterator<Item = i32>, padding: i32| {
            let at = data.len();
            data.extend(values);
            data.resize(at + size, padding);
            at
        };
        let mut given = 0;
        let ids = &mut batch.inputs.iter().map(|input| match input {
            Input::Token(id) => *id as i32,
            Input::Embedding => {
                given += 1;
                -given
            }
        });
        let ids = part(rows, ids, 0);
        let positions = part(3 * rows, &mut batch.positions.iter().flatten().map(|at| *at as i32), 0);
        let slots = part(rows, &mut slots(batch), -1);
        let lengths = part(rows, &mut lengths(batch), 0);
        let order: &mut dyn Iterator<Item = i32> = if repeats {
            &mut (0..rows as i32)
        } else {
            &mut batch.wanted.iter().map(|wanted| wanted.token as i32)
        };
        let order = part(wanted, order, 0);
        let choices = part(CHOICE * wanted, &mut choices(batch), 0);
        let tables = match few {
            Some(_) => part(rows * stride, &mut tables(batch, stride, true), 0),
            None => part(batch.segments.len() * stride, &mut tables(batch, stride, false), 0),
        };
        let list: Vec<[i32; 4]> = if few.is_some() { Vec::new() } else { tiles(batch) };
        let tiles = part(4 * list.len(), &mut list.iter().flatten().copied(), 0);
        let attention = if few.is_some() { Attention::Few } else { Attention::Many(list.len()) };
        let bucket = Bucket { rows, stride, rank: rank(batch) };
        Self {
            data,
            bucket,
            attention,
            wanted,
            repeats,
            ids,
            positions,
            slots,
            lengths,
            order,
            choices,
            tables,
            tiles,
        }
    }

    /// How keys are shared out where tokens attend by themselves.
    #[must_use]
    pub fn split(&self, heads: &Heads) -> Option<Split> {
        let Bucket { rows, stride, .. } = self.bucket;
        (self.attention == Attention::Few).then(|| Split::new(heads, rows, stride))
    }

    /// Byte at which each part begins.
    pub(super) fn parts(&self) -> Parts {
        let byte = |at: usize| at * size_of::<i32>();
        Parts {
            ids: byte(self.ids),
            positions: byte(self.positions),
            slots: byte(self.slots),
            lengths: byte(self.lengths),
            order: byte(self.order),
            choices: byte(self.choices),
            tables: byte(self.tables),
            tiles: byte(self.tiles),
        }
    }
}

/// Where the parts of the inputs begin, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    /// `[rows]`: a token, or -1 - n for the n-th embedding that is given.
    pub(super) ids: usize,
    /// `[rows, 3]`
    pub(super) positions: usize,
    /// `[rows]`: place in the pool, in tokens; -1 for padding.
    pub(super) slots: usize,
    /// `[rows]`: tokens that are seen; 0 for padding.
    pub(super) lengths: usize,
    /// `[wanted]`: rows after which something is wanted.
    pub(super) order: usize,
    /// `[wanted, CHOICE]`: how the token is chosen, for whole scores as well.
    pub(super) choices: usize,
    /// `[rows or segments, stride]`: blocks.
    pub(super) tables: usize,
    /// `[tiles, 4]`: first row, queries, tokens before them, row of tables.
    pub(super) tiles: usize,
}

/// The greatest rank of the adapters that rows use, rounded up.
fn rank(batch: &Batch) -> usize {
    let ranks = batch.segments.iter().filter_map(|segment| Some(segment.adapter.as_ref()?.rank()));
    ranks.max().map_or(0, usize::next_power_of_two)
}

/// Places of all tokens with their segments.
fn places(batch: &Batch) -> impl Iterator<Item = (usize, usize)> {
    batch.segments.iter().enumerate().flat_map(|(nth, segment)| {
        let places: Range<usize> = segment.before..segment.total();
        places.map(move |place| (nth, place))
    })
}

fn slots(batch: &Batch) -> impl Iterator<Item = i32> {
    places(batch).map(|(segment, place)| {
        (batch.segments[segment].blocks[place / BLOCK].index() * BLOCK + place % BLOCK) as i32
    })
}

fn lengths(batch: &Batch) -> impl Iterator<Item = i32> {
    places(batch).map(|(_, place)| place as i32 + 1)
}

/// Tables of all segments, or of all tokens, each padded to `stride` blocks.
fn tables(batch: &Batch, stride: usize, by_token: bool) -> impl Iterator<Item = i32> {
    batch.segments.iter().flat_map(move |segment| {
        let times = if by_token { segment.tokens } else { 1 };
        let table = (0..stride).map(|at| segment.blocks.get(at).map_or(0, |block| block.index() as i32));
        std::iter::repeat_n(table, times).flatten()
    })
}

fn choices(batch: &Batch) -> impl Iterator<Item = i32> {
    batch.wanted.iter().flat_map(|wanted| match &wanted.what {
        What::Scores => [0; CHOICE],
        What::Token(choice) => choice_words(choice),
    })
}

fn tiles(batch: &Batch) -> Vec<[i32; 4]> {
    let mut tiles = Vec::new();
    let mut first = 0;
    for (nth, segment) in batch.segments.iter().enumerate() {
        for from in (0..segment.tokens).step_by(TILE) {
            let queries = TILE.min(segment.tokens - from);
            tiles.push([first + from, queries, segment.before + from, nth].map(|number| number as i32));
        }
        first += segment.tokens;
    }
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lm::{BlockId, Choice, Segment, Wanted};

    fn batch(segments: &[(usize, usize)], every: bool) -> Batch {
        let mut batch = Batch::default();
        for (nth, &(before, tokens)) in segments.iter().enumerate() {
            let blocks = (0..(before + tokens).div_ceil(BLOCK)).map(|n| BlockId::new((100 * nth + n) as u32));
            batch.segments.push(Segment { tokens, before, blocks: blocks.collect(), adapter: None });
            batch.positions.extend((before..before + tokens).map(|at| [at as u32; 3]));
            batch.inputs.extend((0..tokens).map(|at| Input::Token(at as u32)));
        }
        let all = 0..batch.positions.len();
        let wanted = all.filter(|token| every || token + 1 == batch.positions.len());
        batch.wanted = wanted.map(|token| Wanted { token, what: What::Token(Choice::default()) }).collect();
        batch
    }

    #[test]
    fn single_tokens_are_padded_to_a_bucket_and_can_be_recorded() {
        let inputs = Inputs::new(&batch(&[(40, 1), (3, 8)], true));
        assert_eq!(inputs.bucket, Bucket { rows: 16, stride: 16, rank: 0 });
        assert_eq!((inputs.attention, inputs.wanted, inputs.repeats), (Attention::Few, 16, true));
        let at = |byte: usize, count: usize| &inputs.data[byte / 4..byte / 4 + count];
        let parts = inputs.parts();
        assert_eq!(at(parts.slots, 10), [2 * 16 + 8, 1603, 1604, 1605, 1606, 1607, 1608, 1609, 1610, -1]);
        assert_eq!(at(parts.lengths, 10), [41, 4, 5, 6, 7, 8, 9, 10, 11, 0]);
        assert_eq!(at(parts.tables, 4), [0, 1, 2, 0]);
        assert_eq!(at(parts.tables + 4 * 16, 2), [100, 0]);
        assert_eq!(inputs.data.len(), 16 * (1 + 3 + 1 + 1 + 1 + CHOICE + 16));
    }

    #[test]
    fn prompts_attend_in_tiles() {
        let inputs = Inputs::new(&batch(&[(5, 100), (0, 64)], false));
        assert_eq!(inputs.bucket, Bucket { rows: 164, stride: 16, rank: 0 });
        assert_eq!((inputs.attention, inputs.wanted, inputs.repeats), (Attention::Many(3), 1, false));
        let tiles = inputs.parts().tiles / 4;
        assert_eq!(inputs.data[tiles..], [0, 64, 5, 0, 64, 36, 69, 0, 100, 64, 0, 1]);
        assert_eq!(inputs.data[inputs.parts().order / 4], 163);
    }
}
