//! A checkpoint with an adapter merged into it, as every program opens it.

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::{DType, Tensor};

use super::{Adapter, merged, modules};
use crate::checkpoint::Files;
use crate::checkpoint::shard::Shard;
use crate::checkpoint::shards;
use crate::checkpoint::write::{failed, write_tensors};
use crate::error::{Error, Result};

impl Adapter {
    /// Writes the checkpoint `base` with this adapter in its weights, which stay in the numbers in which they are
    /// stored, into `folder`, which has to be there. The other files beside them are copied.
    ///
    /// # Errors
    /// When the checkpoint's weights are not safetensors or lack what the adapter changes, and when a file cannot be
    /// read or written.
    pub fn bake(&self, base: &Files, folder: &Path) -> Result<()> {
        let mut left: BTreeSet<&str> = self.modules().collect();
        let weights = shards::names(base)?;
        for name in base.names()?.into_iter().filter(|name| base.has(name)) {
            if name.ends_with(".gguf") {
                let problem = "an adapter is not merged into GGUF files; give its base in safetensors";
                return Err(Error::Adapter(format!("{}: {problem}", base.path(&name).display())));
            }
            let file = folder.join(&name);
            if weights.contains(&name) {
                self.bake_shard(&Shard::open(base, &name)?, &file, &mut left)?;
            } else {
                let bytes = base.read(&name, "a file of the checkpoint")?;
                std::fs::write(&file, bytes).map_err(|error| failed(&file, &error))?;
            }
        }
        match left.first() {
            Some(module) => Err(Error::Adapter(format!("the checkpoint has no weight {module}.weight"))),
            None => Ok(()),
        }
    }

    fn bake_shard(&self, shard: &Shard, file: &Path, left: &mut BTreeSet<&str>) -> Result<()> {
        let mut tensors: Vec<(String, Tensor)> = Vec::new();
        for entry in shard.all() {
            let (name, tensor) = entry?;
            let module = name.strip_suffix(".weight").map(modules::module);
            let changed = match module.as_deref().and_then(|module| Some((module, self.pair(module)?))) {
                Some((module, pair)) => {
                    left.remove(module);
                    let change = Tensor::from_vec(merged::product(pair)?, tensor.shape(), tensor.device())?;
                    (tensor.to_dtype(DType::F32)? + change)?.to_dtype(tensor.dtype())?
                }
                None => tensor,
            };
            tensors.push((name, changed));
        }
        write_tensors(tensors, file)
    }
}
