//! `adapter_model.safetensors`, read and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::config::CONFIG;
use super::modules::{self, Key, Side};
use super::{AdapterConfig, Pair};
use crate::checkpoint::Files;
use crate::checkpoint::shard::Shard;
use crate::config::ModelConfig;
use crate::error::{Error, Result};

/// The weights' file.
pub(super) const WEIGHTS: &str = "adapter_model.safetensors";
/// The tensors that it may hold.
const SUPPORTED: &str =
    "lora_A and lora_B of linear modules in decoder layers, vision blocks and the merger, nothing else";

/// Reads all pairs of an adapter for a base model of the shape `base`.
pub(super) fn read(
    files: &Files,
    config: &AdapterConfig,
    base: &ModelConfig,
) -> Result<BTreeMap<String, Pair>> {
    if !files.has(WEIGHTS) {
        let expected = "the adapter's weights in safetensors form";
        return Err(Error::MissingFile { file: files.path(WEIGHTS), expected });
    }
    let reader = Reader { shard: Shard::open(files, WEIGHTS)?, config, base };
    let mut paths = BTreeSet::new();
    for key in reader.shard.names() {
        paths.insert(reader.path(&key)?.to_owned());
    }
    if paths.is_empty() {
        return Err(reader.bad("it holds no tensors".into(), "lora_A and lora_B of at least one module"));
    }
    let mut pairs = BTreeMap::new();
    for path in &paths {
        let module = modules::module(path);
        if config.is_torn(&module) {
            return Err(Error::BadFile {
                file: files.path(CONFIG),
                problem: format!("rank_pattern or alpha_pattern gives {module} two values"),
                expected: "one".into(),
            });
        }
        let pair = reader.pair(path, &module)?;
        if pairs.insert(module, pair).is_some() {
            return Err(reader.bad(format!("it holds {path} twice"), "each module once"));
        }
    }
    let absent =
        modules::of_decoder(&base.text).find(|module| config.lists(module) && !pairs.contains_key(module));
    match absent {
        Some(module) => Err(reader.missing(&modules::path(&module), &module, Side::A)),
        None => Ok(pairs),
    }
}

struct Reader<'a> {
    shard: Shard,
    config: &'a AdapterConfig,
    base: &'a ModelConfig,
}

impl Reader<'_> {
    fn file(&self) -> PathBuf {
        self.shard.path()
    }

    fn bad(&self, problem: String, expected: &str) -> Error {
        Error::BadFile { file: self.file(), problem, expected: expected.to_owned() }
    }

    /// The module path of a tensor.
    fn path<'k>(&self, key: &'k str) -> Result<&'k str> {
        let problem = format!("it holds tensor {key}");
        let Some(Key { path, .. }) = modules::parse(key) else {
            let is_dora = key.contains("lora_magnitude_vector");
            return Err(self.bad(problem, if is_dora { "LoRA without DoRA" } else { SUPPORTED }));
        };
        let module = modules::module(path);
        if modules::shape(&module, self.base).is_some() {
            return Ok(path);
        }
        if !modules::is_numbered(&module) {
            return Err(self.bad(problem, SUPPORTED));
        }
        Err(Error::WrongBase {
            file: self.file(),
            tensor: key.to_owned(),
            problem: format!(
                "adapts {module}, which is not in this model of {} decoder layers and {} vision blocks",
                self.base.text.layers, self.base.vision.depth
            ),
            base: self.trained_on(),
        })
    }

    fn pair(&self, path: &str, module: &str) -> Result<Pair> {
        let a = self.side(path, module, Side::A)?;
        let b = self.side(path, module, Side::B)?;
        Ok(Pair { a, b, rank: self.config.rank(module), scale: self.config.scale(module) })
    }

    fn side(&self, path: &str, module: &str, side: Side) -> Result<Vec<f32>> {
        let missing = || self.missing(path, module, side);
        let expected = self.shape(module, side).ok_or_else(missing)?;
        let key = modules::key_of_path(path, side);
        let found = self.shard.shape(&key).ok_or_else(missing)?;
        // The rank is the adapter's own; the other side is the base model's.
        let (rank, width) = if side == Side::A { (0, 1) } else { (1, 0) };
        if found.len() == 2 && found[rank] == expected[rank] && found[width] != expected[width] {
            return Err(Error::WrongBase {
                file: self.file(),
                tensor: key,
                problem: format!("has shape {found:?}; this model asks for {expected:?}"),
                base: self.trained_on(),
            });
        }
        let tensor = self.shard.tensor(&key, &expected)?.ok_or_else(missing)?;
        let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let problem = format!("tensor {key} has {} at place {at}", values[at]);
            return Err(self.bad(problem, "finite numbers"));
        }
        Ok(values)
    }

    /// The shape of a matrix, by the base model's and the adapter's configuration.
    fn shape(&self, module: &str, side: Side) -> Option<[usize; 2]> {
        let [outputs, inputs] = modules::shape(module, self.base)?;
        let rank = self.config.rank(module);
        Some(if side == Side::A { [rank, inputs] } else { [outputs, rank] })
    }

    fn missing(&self, path: &str, module: &str, side: Side) -> Error {
        Error::MissingTensor {
            file: self.file(),
            tensor: modules::key_of_path(path, side),
            expected: self.shape(module, side).map(Vec::from).unwrap_or_default(),
        }
    }

    fn trained_on(&self) -> String {
        self.config.base().unwrap_or("another model").to_owned()
    }
}
