//! An adapter as PEFT reads it.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use safetensors::View;
use safetensors::tensor::Dtype;

use super::config::CONFIG;
use super::modules::{Side, key};
use super::weights::WEIGHTS;
use super::{Adapter, Pair, base};
use crate::checkpoint::write::{failed, write_tensors};
use crate::error::Result;

/// A matrix of f32.
struct F32<'a> {
    shape: [usize; 2],
    values: &'a [f32],
}

impl View for F32<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        size_of_val(self.values)
    }
}

impl Adapter {
    /// Writes the adapter into a folder, which is made where it is not there: f32 numbers, under the module paths of
    /// transformers 4.52 and later, and beside them which weights it was made for, where that is known.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn save(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        let file = folder.join(WEIGHTS);
        let tensors = self.pairs.iter().flat_map(|(module, pair)| matrices(module, pair));
        write_tensors(tensors, &file)?;
        let file = folder.join(CONFIG);
        let json = format!("{:#}\n", self.config.to_json(self.modules()));
        fs::write(&file, json).map_err(|error| failed(&file, &error))?;
        self.base.as_ref().map_or(Ok(()), |weights| base::write(weights, folder))
    }
}

fn matrices<'a>(module: &str, pair: &'a Pair) -> [(String, F32<'a>); 2] {
    let Pair { a, b, rank, .. } = pair;
    [
        (key(module, Side::A), F32 { shape: [*rank, a.len() / rank], values: a }),
        (key(module, Side::B), F32 { shape: [b.len() / rank, *rank], values: b }),
    ]
}
