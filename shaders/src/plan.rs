//! What a crop and resize needs of a GPU: its two passes, buffer sizes, and the bands in which a large source is sent.

use std::ops::Range;

use loupe_shared::pixels::{Axis, PixelError, Rect, Rgb8, rows_first};

/// Bytes of a pixel between the passes and in the result: one word.
pub(crate) const WORD: u64 = 4;

/// Bytes of a pixel of the source.
const RGB: u32 = 3;

/// A pass: weights of one axis, and how the samples lie that they meet.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) axis: Axis,
    /// Whether the weights run down the columns, not along the rows.
    pub(crate) down: bool,
    /// Size of what the pass writes.
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// From one sample under the weights to the next: bytes in the first pass, pixels in the second.
    pub(crate) step: u32,
    /// From one line of such samples to the next.
    pub(crate) line: u32,
}

impl Stage {
    fn bytes(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * WORD
    }
}

/// Rows that the first pass writes at once, and the run of the picture's bytes that it reads for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Band {
    pub(crate) rows: Range<u32>,
    pub(crate) bytes: Range<usize>,
    /// Bytes from the crop's first pixel to the band's.
    pub(crate) skip: u32,
}

/// A crop and resize, worked out.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) first: Stage,
    pub(crate) second: Stage,
    pub(crate) bands: Vec<Band>,
}

impl Plan {
    /// Works out a crop and resize that sends at most `band_bytes` of the source at once, but at least what one row
    /// of the first pass reads.
    ///
    /// # Errors
    /// [`PixelError`] for a rectangle outside the picture or an impossible target.
    pub(crate) fn new(
        source: &Rgb8,
        rect: Rect,
        (width, height): (u32, u32),
        band_bytes: u64,
    ) -> Result<Self, PixelError> {
        // A rectangle of another picture may not fit this one.
        let rect =
            Rect::new(rect.x(), rect.y(), rect.width(), rect.height(), (source.width(), source.height()))?;
        let columns = Axis::new(rect.width(), width)?;
        let rows = Axis::new(rect.height(), height)?;
        let source_row = source.width() * RGB;
        let (first, second) = if rows_first((rect.width(), rect.height()), (width, height)) {
            (
                Stage {
                    axis: columns,
                    down: false,
                    width,
                    height: rect.height(),
                    step: RGB,
                    line: source_row,
                },
                Stage { axis: rows, down: true, width, height, step: width, line: 1 },
            )
        } else {
            let between = rect.width();
            (
                Stage { axis: rows, down: true, width: between, height, step: source_row, line: RGB },
                Stage { axis: columns, down: false, width, height, step: 1, line: between },
            )
        };
        let bands = bands(&first, rect, source_row, band_bytes);
        Ok(Self { first, second, bands })
    }

    /// Bytes of the picture between the passes.
    pub(crate) fn between_bytes(&self) -> u64 {
        self.first.bytes()
    }

    /// Bytes of the result.
    pub(crate) fn result_bytes(&self) -> u64 {
        self.second.bytes()
    }

    /// Bytes of the largest band.
    pub(crate) fn band_bytes(&self) -> u64 {
        self.bands.iter().map(|band| band.bytes.len() as u64).max().unwrap_or(0).next_multiple_of(WORD)
    }

    /// Bytes of the largest buffer that a pass binds.
    pub(crate) fn largest_buffer(&self) -> u64 {
        self.band_bytes().max(self.between_bytes()).max(self.result_bytes())
    }
}

/// Cuts the first pass into bands of rows. What a band reads is whole rows of the picture, from the crop's left edge
/// in the first to its right edge in the last: one run of bytes, so that nothing is copied to make it.
fn bands(first: &Stage, rect: Rect, source_row: u32, band_bytes: u64) -> Vec<Band> {
    let run_of = |rows: &Range<u32>| (rows.len() - 1) * source_row as usize + (rect.width() * RGB) as usize;
    let corner = rect.y() as usize * source_row as usize + (rect.x() * RGB) as usize;
    let band = |rows: Range<u32>, reads: Range<u32>| {
        let skip = reads.start * source_row;
        let start = corner + skip as usize;
        Band { rows, bytes: start..start + run_of(&reads), skip }
    };
    let mut bands = Vec::new();
    let (mut rows, mut reads) = (0..1, read_rows(first, 0));
    for row in 1..first.height {
        let with_row = reads.start..read_rows(first, row).end.max(reads.end);
        if run_of(&with_row) as u64 <= band_bytes {
            (rows.end, reads) = (row + 1, with_row);
            continue;
        }
        bands.push(band(rows, reads));
        (rows, reads) = (row..row + 1, read_rows(first, row));
    }
    bands.push(band(rows, reads));
    bands
}

/// The rows of the crop that one row of the first pass is made from.
fn read_rows(first: &Stage, row: u32) -> Range<u32> {
    if !first.down {
        return row..row + 1;
    }
    let [start, count] = first.axis.bounds()[row as usize];
    start..start + count
}

#[cfg(test)]
mod tests {
    use super::*;
    use loupe_shared::pixels::pattern;

    fn plan(rect: (u32, u32, u32, u32), target: (u32, u32), band_bytes: u64) -> Plan {
        let source = pattern(100, 50).unwrap();
        let rect = Rect::new(rect.0, rect.1, rect.2, rect.3, (100, 50)).unwrap();
        Plan::new(&source, rect, target, band_bytes).unwrap()
    }

    #[test]
    fn one_band_holds_a_small_crop() {
        let plan = plan((10, 20, 30, 5), (28, 56), 1 << 20);
        let start = (20 * 100 + 10) * 3;
        assert_eq!(plan.bands, [Band { rows: 0..5, bytes: start..start + 4 * 300 + 90, skip: 0 }]);
        assert_eq!((plan.between_bytes(), plan.result_bytes()), (28 * 5 * 4, 28 * 56 * 4));
        assert_eq!(plan.largest_buffer(), 28 * 56 * 4);
    }

    #[test]
    fn every_row_is_in_one_band_that_holds_what_it_reads() {
        // Rows first, and columns first, where neighbouring rows read the same rows of the source.
        for target in [(1, 47), (3, 9)] {
            for band_bytes in [1, 300, 700, 4_000, 1 << 20] {
                let plan = plan((97, 3, 3, 47), target, band_bytes);
                let mut next = 0;
                for band in &plan.bands {
                    assert_eq!(band.rows.start, next);
                    next = band.rows.end;
                    assert!(band.rows.len() == 1 || band.bytes.len() as u64 <= band_bytes);
                    assert_eq!(band.bytes.start, (3 * 100 + 97) * 3 + band.skip as usize);
                    assert!(band.bytes.end <= 100 * 50 * 3);
                    for row in band.rows.clone() {
                        let reads = read_rows(&plan.first, row);
                        assert!(band.skip <= reads.start * 300);
                        assert!(band.bytes.len() >= (reads.end * 300 - 300 + 9 - band.skip) as usize);
                    }
                }
                assert_eq!(next, plan.first.height);
            }
        }
    }

    /// What the shader does with a pass: `pixel_at` gives the colours at an offset of the bound source.
    fn run(stage: &Stage, rows: Range<u32>, skip: u32, pixel_at: impl Fn(u32) -> [u8; 3]) -> Vec<[u8; 3]> {
        let mut out = Vec::new();
        for (y, x) in rows.flat_map(|y| (0..stage.width).map(move |x| (y, x))) {
            let (along, across) = if stage.down { (y, x) } else { (x, y) };
            let [first, count] = stage.axis.bounds()[along as usize];
            let weights = &stage.axis.weights()[along as usize * stage.axis.stride()..];
            let mut sums = [1 << 21; 3];
            for (at, weight) in (first..first + count).zip(weights) {
                let pixel = pixel_at(across * stage.line + at * stage.step - skip);
                sums.iter_mut().zip(pixel).for_each(|(sum, colour)| *sum += i32::from(colour) * weight);
            }
            out.push(sums.map(|sum| (sum >> 22).clamp(0, 255) as u8));
        }
        out
    }

    #[test]
    fn a_plan_followed_as_the_shader_does_gives_the_bytes_of_the_cpu() {
        let source = pattern(100, 50).unwrap();
        for (rect, target) in
            [((97, 3, 3, 47), (5, 47)), ((7, 2, 61, 44), (40, 9)), ((0, 0, 100, 50), (28, 56))]
        {
            for band_bytes in [1, 700, 1 << 20] {
                let plan = plan(rect, target, band_bytes);
                let mut between = Vec::new();
                for band in &plan.bands {
                    let bound = &source.data()[band.bytes.clone()];
                    let pixel = |at: u32| [0, 1, 2].map(|colour| bound[at as usize + colour]);
                    between.extend(run(&plan.first, band.rows.clone(), band.skip, pixel));
                }
                let result = run(&plan.second, 0..plan.second.height, 0, |at| between[at as usize]);
                let rect = Rect::new(rect.0, rect.1, rect.2, rect.3, (100, 50)).unwrap();
                let expected = crate::crop_resize_cpu(&source, rect, target.0, target.1).unwrap();
                assert_eq!(result.concat(), expected.data());
            }
        }
    }

    #[test]
    fn a_rectangle_of_a_larger_picture_is_refused() {
        let small = pattern(20, 20).unwrap();
        let rect = Rect::new(10, 0, 30, 5, (100, 50)).unwrap();
        assert_eq!(Plan::new(&small, rect, (28, 28), 1).unwrap_err().code(), "crop_outside");
    }
}
