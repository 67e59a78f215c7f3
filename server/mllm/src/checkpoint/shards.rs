//! Weights in safetensors: `model.safetensors`, or the shards that `model.safetensors.index.json` names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use candle_core::Tensor;
use serde::Deserialize;

use super::files::Files;
use super::shard::Shard;
use super::store::{Kept, Source};
use crate::error::{Error, Result};
use crate::lm::Matrix;

pub(super) const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Bytes of each tensor that tell weights apart.
const HEAD: usize = 4096;

/// All safetensors files of a checkpoint.
pub(super) struct Shards {
    shards: Vec<Shard>,
    /// Which shard holds a tensor.
    places: HashMap<String, usize>,
    /// What to name when a tensor is in no file.
    listing: PathBuf,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The names of a checkpoint's safetensors files. A folder may hold others, which are none of its weights.
pub(crate) fn names(files: &Files) -> Result<BTreeSet<String>> {
    let index: Option<Index> = files.json_if_present(INDEX, "an object weight_map from tensor to file")?;
    Ok(match index {
        Some(index) => index.weight_map.into_values().collect(),
        None => BTreeSet::from([SINGLE.to_owned()]),
    })
}

impl Shards {
    /// Opens every file and checks that each is complete; nothing where there is none.
    ///
    /// # Errors
    /// When a file is missing, truncated or not safetensors, or a shard lacks a tensor that the index places there.
    pub(super) fn open(files: &Files) -> Result<Option<Self>> {
        let index: Option<Index> =
            files.json_if_present(INDEX, "an object weight_map from tensor to file")?;
        match index {
            Some(index) => Self::sharded(files, &index).map(Some),
            None if files.has(SINGLE) => Self::single(files).map(Some),
            None => Ok(None),
        }
    }

    fn single(files: &Files) -> Result<Self> {
        let shard = Shard::open(files, SINGLE)?;
        let places = shard.names().into_iter().map(|name| (name, 0)).collect();
        Ok(Self { shards: vec![shard], places, listing: files.path(SINGLE) })
    }

    fn sharded(files: &Files, index: &Index) -> Result<Self> {
        let names: BTreeSet<&String> = index.weight_map.values().collect();
        let mut shards = Vec::new();
        let mut places = HashMap::new();
        for (number, name) in names.into_iter().enumerate() {
            let shard = open_shard(files, name)?;
            let held: BTreeSet<String> = shard.names().into_iter().collect();
            for (tensor, _) in index.weight_map.iter().filter(|(_, file)| *file == name) {
                if !held.contains(tensor) {
                    return Err(Error::BadFile {
                        file: files.path(name),
                        problem: format!("it does not hold tensor {tensor}"),
                        expected: format!("the tensors that {INDEX} places there"),
                    });
                }
                places.insert(tensor.clone(), number);
            }
            shards.push(shard);
        }
        Ok(Self { shards, places, listing: files.path(INDEX) })
    }
}

fn open_shard(files: &Files, name: &str) -> Result<Shard> {
    // The name comes from a file: it must not lead out of the folder.
    let plain = !name.contains(['/', '\\']) && name.ends_with(".safetensors");
    if !plain {
        return Err(Error::BadFile {
            file: files.path(INDEX),
            problem: format!("it names the shard {name:?}"),
            expected: "plain names that end in .safetensors".into(),
        });
    }
    if !files.has(name) {
        let expected = "the shard that model.safetensors.index.json names";
        return Err(Error::MissingFile { file: files.path(name), expected });
    }
    Shard::open(files, name)
}

impl Shards {
    /// Reads a weight under whichever key it has.
    fn read<T>(&self, name: &str, read: impl Fn(&Shard, &str) -> Result<Option<T>>) -> Result<Option<T>> {
        for key in [Some(name.to_owned()), module_key(name)].into_iter().flatten() {
            let Some(shard) = self.places.get(&key).and_then(|place| self.shards.get(*place)) else {
                continue;
            };
            if let Some(weight) = read(shard, &key)? {
                return Ok(Some(weight));
            }
        }
        Ok(None)
    }
}

impl Source for Shards {
    fn listing(&self) -> PathBuf {
        self.listing.clone()
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Tensor>> {
        self.read(name, |shard, key| shard.tensor(key, shape))
    }

    fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Option<Matrix>> {
        self.read(name, |shard, key| shard.matrix(key, shape))
    }

    fn kept(&self, name: &str, shape: [usize; 2]) -> Result<Option<Kept>> {
        self.read(name, |shard, key| shard.kept(key, shape))
    }
}

impl Shards {
    /// Tells the hub's name, the shape and the first bytes of every tensor, in the order of the names.
    pub(super) fn each_head(&self, mut each: impl FnMut(&str, &[usize], &[u8])) -> Result<()> {
        let mut keys: Vec<(String, &str, usize)> =
            self.places.iter().map(|(key, place)| (hub_name(key), key.as_str(), *place)).collect();
        keys.sort_unstable();
        for (name, key, place) in keys {
            let head = self.shards.get(place).map(|shard| shard.head(key, HEAD)).transpose()?.flatten();
            if let Some((shape, bytes)) = head {
                each(&name, shape, &bytes);
            }
        }
        Ok(())
    }
}

/// The hub's name of a weight that is kept under a [`module_key`].
fn hub_name(key: &str) -> String {
    let of = |from: &str, to: &str| key.strip_prefix(from).map(|rest| format!("{to}{rest}"));
    of("model.visual.", "visual.")
        .or_else(|| of("model.language_model.", "model."))
        .unwrap_or_else(|| key.to_owned())
}

/// The key of a weight where a checkpoint was saved with the module paths of transformers 4.52 and later, instead of
/// the hub's.
fn module_key(name: &str) -> Option<String> {
    if name.starts_with("visual.") {
        return Some(format!("model.{name}"));
    }
    name.strip_prefix("model.").map(|rest| format!("model.language_model.{rest}"))
}
