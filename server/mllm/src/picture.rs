//! Pictures as the vision tower reads them.

use candle_core::{Device, Tensor};
use loupe_shared::pixels::{PixelLimits, Rgb8, patches, resize, smart_resize};
use serde::Deserialize;

use crate::checkpoint::Files;
use crate::config::vision::{FRAMES, MERGE, PATCH, PATCH_VALUES};
use crate::error::{Error, Result};
use crate::model::Grid;

const FILE: &str = "preprocessor_config.json";
/// Transformers 5 saves all of a processor in one file.
const NESTED_FILE: &str = "processor_config.json";
/// Mean and deviation of CLIP's training pictures.
const CLIP_MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];
/// Values of one colour in a patch.
const PLANE: usize = PATCH * PATCH;

/// Resizes and normalises pictures as the checkpoint's image processor does.
#[derive(Debug, Clone)]
pub struct Preprocessor {
    limits: PixelLimits,
    /// The normalised value of each byte, per colour.
    table: Box<[[f32; 256]; 3]>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Settings {
    min_pixels: Option<u64>,
    max_pixels: Option<u64>,
    size: Size,
    image_mean: Option<[f64; 3]>,
    image_std: Option<[f64; 3]>,
    rescale_factor: Option<f64>,
    patch_size: Option<usize>,
    merge_size: Option<usize>,
    temporal_patch_size: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Size {
    shortest_edge: Option<u64>,
    longest_edge: Option<u64>,
    min_pixels: Option<u64>,
    max_pixels: Option<u64>,
}

#[derive(Deserialize)]
struct Nested {
    image_processor: Settings,
}

impl Preprocessor {
    /// Reads `preprocessor_config.json`; absent settings take transformers' defaults.
    ///
    /// # Errors
    /// When the file is invalid or asks for other patches than the model is made for.
    pub fn open(files: &Files) -> Result<Self> {
        let expected = "an image processor's settings";
        let settings = match files.json_if_present::<Settings>(FILE, expected)? {
            Some(settings) => settings,
            None => files
                .json_if_present::<Nested>(NESTED_FILE, expected)?
                .map(|n| n.image_processor)
                .unwrap_or_default(),
        };
        let bad =
            |problem: String, expected: String| Error::BadFile { file: files.path(FILE), problem, expected };
        for (name, got, expected) in [
            ("patch_size", settings.patch_size, PATCH),
            ("merge_size", settings.merge_size, MERGE),
            ("temporal_patch_size", settings.temporal_patch_size, FRAMES),
        ] {
            if got.is_some_and(|got| got != expected) {
                return Err(bad(format!("{name} is {got:?}"), expected.to_string()));
            }
        }
        let defaults = PixelLimits::default();
        let size = &settings.size;
        let limits = PixelLimits {
            factor: (PATCH * MERGE) as u32,
            min_pixels: settings
                .min_pixels
                .or(size.shortest_edge)
                .or(size.min_pixels)
                .unwrap_or(defaults.min_pixels),
            max_pixels: settings
                .max_pixels
                .or(size.longest_edge)
                .or(size.max_pixels)
                .unwrap_or(defaults.max_pixels),
        };
        if limits.min_pixels == 0 || limits.min_pixels > limits.max_pixels {
            let problem = format!("pictures of {} to {} pixels", limits.min_pixels, limits.max_pixels);
            return Err(bad(problem, "1 <= min_pixels <= max_pixels".into()));
        }
        let std = settings.image_std.unwrap_or(CLIP_STD);
        if std.iter().any(|deviation| !(deviation.is_finite() && *deviation > 0.0)) {
            return Err(bad(format!("image_std is {std:?}"), "numbers above 0".into()));
        }
        let mean = settings.image_mean.unwrap_or(CLIP_MEAN);
        Ok(Self { limits, table: table(mean, std, settings.rescale_factor.unwrap_or(1.0 / 255.0)) })
    }

    /// A preprocessor with CLIP's normalisation and these limits, for models that are not in files yet.
    #[must_use]
    pub fn with_limits(limits: PixelLimits) -> Self {
        Self { limits, table: table(CLIP_MEAN, CLIP_STD, 1.0 / 255.0) }
    }

    /// The same, with pictures made smaller than the checkpoint allows: at most `most` pixels, but never below its least.
    #[must_use]
    pub fn at_most(self, most: u64) -> Self {
        let PixelLimits { min_pixels, max_pixels, .. } = self.limits;
        let max_pixels = max_pixels.min(most).max(min_pixels);
        Self { limits: PixelLimits { max_pixels, ..self.limits }, ..self }
    }

    /// Which sizes the model sees.
    #[must_use]
    pub fn limits(&self) -> PixelLimits {
        self.limits
    }

    /// The patch grid that a picture of this size gets.
    ///
    /// # Errors
    /// [`Error::Picture`] when one side is more than 200 times the other.
    pub fn grid(&self, width: u32, height: u32) -> Result<Grid> {
        let (height, width) =
            smart_resize(height, width, self.limits).map_err(|error| Error::Picture(error.to_string()))?;
        Ok(Grid { rows: height as usize / PATCH, columns: width as usize / PATCH })
    }

    /// Resizes a picture and appends its normalised patches, 1176 values each, to `out`.
    ///
    /// # Errors
    /// [`Error::Picture`] as for [`Self::grid`].
    pub fn push_patches(&self, picture: &Rgb8, out: &mut Vec<f32>) -> Result<Grid> {
        let refused = |error: loupe_shared::pixels::PixelError| Error::Picture(error.to_string());
        let grid = self.grid(picture.width(), picture.height())?;
        let (width, height) = ((grid.columns * PATCH) as u32, (grid.rows * PATCH) as u32);
        let bytes = if (picture.width(), picture.height()) == (width, height) {
            patches(picture)
        } else {
            patches(&resize(picture, width, height).map_err(refused)?)
        }
        .map_err(refused)?;
        out.reserve(grid.patches() * PATCH_VALUES);
        for (index, plane) in bytes.chunks_exact(PLANE).enumerate() {
            let values = &self.table[index % 3];
            for _ in 0..FRAMES {
                out.extend(plane.iter().map(|byte| values[*byte as usize]));
            }
        }
        Ok(grid)
    }

    /// Patches of several pictures one after the other, `[patches, 1176]`, and their grids.
    ///
    /// # Errors
    /// [`Error::Picture`] as for [`Self::grid`].
    pub fn pixel_values<'a>(
        &self,
        pictures: impl IntoIterator<Item = &'a Rgb8>,
        device: &Device,
    ) -> Result<(Tensor, Vec<Grid>)> {
        let mut values = Vec::new();
        let grids = pictures
            .into_iter()
            .map(|picture| self.push_patches(picture, &mut values))
            .collect::<Result<Vec<_>>>()?;
        let rows = values.len() / PATCH_VALUES;
        Ok((Tensor::from_vec(values, (rows, PATCH_VALUES), device)?, grids))
    }
}

/// Rounds to f32 where transformers' Pillow path does: after rescaling and after each step of normalising.
fn table(mean: [f64; 3], std: [f64; 3], rescale: f64) -> Box<[[f32; 256]; 3]> {
    let mut table = Box::new([[0.0; 256]; 3]);
    for (colour, values) in table.iter_mut().enumerate() {
        for (byte, value) in values.iter_mut().enumerate() {
            let scaled = (byte as f64 * rescale) as f32;
            *value = (scaled - mean[colour] as f32) / std[colour] as f32;
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_s_limit_can_only_be_lowered_and_not_below_its_least() {
        let hub = PixelLimits { max_pixels: 16_384 * 784, ..PixelLimits::default() };
        let most = |most| Preprocessor::with_limits(hub).at_most(most);
        let tokens = |grid: Grid| grid.patches() / (MERGE * MERGE);
        assert_eq!(tokens(most(u64::MAX).grid(4000, 3000).unwrap()), 15_301);
        assert!(tokens(most(1280 * 784).grid(4000, 3000).unwrap()) <= 1280);
        assert_eq!(most(1).limits().max_pixels, hub.min_pixels);
        assert_eq!(most(u64::MAX).limits().max_pixels, hub.max_pixels);
    }
}
