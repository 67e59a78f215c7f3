//! A checkpoint's weights, from whichever files hold them.

use std::path::PathBuf;

use candle_core::{Device, Tensor};

use super::files::Files;
use super::gguf::Ggufs;
use super::shards::{SINGLE, Shards};
use crate::error::{Error, Result};
use crate::lm::Matrix;
use crate::weights::Weights;

/// In which numbers a matrix is kept once it is read; fewer bits come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kept {
    /// Q4_K.
    FourBits,
    /// Q8_0.
    EightBits,
    Bf16,
    F32,
}

/// Files of one kind, with the weights that they hold by the hub's names.
pub(super) trait Source: Send + Sync {
    /// What to name when a weight is in no file.
    fn listing(&self) -> PathBuf;

    /// Reads a weight, widened to f32; nothing when the files do not hold it.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Tensor>>;

    /// Reads a weight in the numbers that are kept; nothing when the files do not hold it.
    fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Option<Matrix>>;

    /// In which numbers [`Self::matrix`] gives a weight, without reading it; in the fewest bits, where its parts differ.
    fn kept(&self, name: &str, shape: [usize; 2]) -> Result<Option<Kept>>;
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

    /// In which numbers [`Weights::matrix`] gives a weight, without reading it.
    ///
    /// # Errors
    /// As for reading it, as far as headers tell.
    pub(crate) fn kept(&self, name: &str, shape: [usize; 2]) -> Result<Kept> {
        self.read(name, &shape, |source| source.kept(name, shape))
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_kept_is_known_before_it_is_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/gguf/formats");
        let store = Store::open(&Files::folder(&folder), &Device::Cpu).unwrap();
        for (map, shape, expected, bits) in [
            ("self_attn.q_proj", [8, 32], Kept::F32, 32.0),
            ("self_attn.k_proj", [8, 32], Kept::F32, 32.0), // F16
            ("self_attn.v_proj", [8, 32], Kept::Bf16, 16.0),
            ("mlp.gate_proj", [8, 512], Kept::EightBits, 8.5),
            ("mlp.up_proj", [8, 512], Kept::EightBits, 8.5), // Q6_K
            ("mlp.down_proj", [8, 512], Kept::FourBits, 4.5),
        ] {
            let name = format!("model.layers.0.{map}.weight");
            assert_eq!(store.kept(&name, shape).unwrap(), expected, "{map}");
            let bytes = store.matrix(&name, shape).unwrap().bytes();
            assert_eq!(bytes as f64 * 8.0 / (shape[0] * shape[1]) as f64, bits, "{map}");
        }
        let refused =
            |map: &str, shape| store.kept(&format!("model.layers.0.{map}.weight"), shape).unwrap_err();
        assert!(
            matches!(refused("self_attn.o_proj", [8, 512]), Error::WrongDtype { .. }),
            "Q5_K is not read"
        );
        assert!(matches!(refused("mlp.down_proj", [512, 8]), Error::WrongShape { .. }));
        assert!(matches!(refused("mlp.side_proj", [8, 512]), Error::MissingTensor { .. }));
    }
}
