//! A checkpoint's weights, from whichever files hold them.

use std::path::PathBuf;

use candle_core::{Device, Tensor};

use super::files::Files;
use super::gguf::Ggufs;
use super::shards::{SINGLE, Shards};
use crate::error::{Error, Result};
use crate::lm::Matrix;
use crate::weights::Weights;

/// Files of one kind, with the weights that they hold by the hub's names.
pub(super) trait Source: Send + Sync {
    /// What to name when a weight is in no file.
    fn listing(&self) -> PathBuf;

    /// Reads a weight, widened to f32; nothing when the files do not hold it.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Tensor>>;

    /// Reads a weight in the numbers that are kept; nothing when the files do not hold it.
    fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Option<Matrix>>;
}

/// Weights read when asked for; as tensors widened to f32, as matrices in the numbers that are kept.
pub struct Store {
    /// The first that holds a weight gives it.
    sources: Vec<Box<dyn Source>>,
    listing: PathBuf,
    device: Device,
}

impl Store {
    /// Opens every weight file and checks that each is complete. Where a folder has GGUF files, what they hold is taken
    /// from them, and the rest from safetensors.
    ///
    /// # Errors
    /// When a file is missing, truncated, of another model or not what it is called, or a shard lacks a tensor that the
    /// index places there.
    pub fn open(files: &Files, device: &Device) -> Result<Self> {
        let (ggufs, shards) = (Ggufs::open(files)?, Shards::open(files)?);
        if let (Some(ggufs), None) = (&ggufs, &shards) {
            ggufs.check_complete(files)?;
        }
        let mut sources: Vec<Box<dyn Source>> = Vec::new();
        sources.extend(ggufs.map(|ggufs| Box::new(ggufs) as Box<dyn Source>));
        sources.extend(shards.map(|shards| Box::new(shards) as Box<dyn Source>));
        let Some(first) = sources.first() else {
            let expected = "the weights, or model.safetensors.index.json with its shards, or .gguf files";
            return Err(Error::MissingFile { file: files.path(SINGLE), expected });
        };
        Ok(Self { listing: first.listing(), sources, device: device.clone() })
    }

    fn read<T>(
        &self,
        name: &str,
        shape: &[usize],
        read: impl Fn(&dyn Source) -> Result<Option<T>>,
    ) -> Result<T> {
        for source in &self.sources {
            if let Some(weight) = read(source.as_ref())? {
                return Ok(weight);
            }
        }
        let file = self.listing.clone();
        Err(Error::MissingTensor { file, tensor: name.to_owned(), expected: shape.to_vec() })
    }
}

impl Weights for Store {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.read(name, shape, |source| source.tensor(name, shape))?;
        Ok(tensor.to_device(&self.device)?)
    }

    fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Matrix> {
        self.read(name, &shape, |source| source.matrix(name, shape))
    }
}
