//! How adapters are named on the command line, and those of a served model.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use super::Adapter;
use crate::checkpoint::{Files, Fingerprint};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::lm::Lora;

/// Longest name of an adapter, in bytes.
const LONGEST_NAME: usize = 64;

/// Whether requests can ask for an adapter by this name: letters, digits, `.`, `_` and `-`, of which the first is a letter
/// or a digit.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        && name.len() <= LONGEST_NAME
}

/// An adapter as it is asked for when a model is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterSpec {
    /// The name by which requests ask for it; none where it is merged into the weights, for all of them.
    pub name: Option<String>,
    /// Its folder.
    pub folder: PathBuf,
}

impl AdapterSpec {
    /// Reads `DIR` or `NAME=DIR`. A folder whose own name has `=` is written with a slash before it: `./a=b`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.split_once('=').filter(|(name, _)| is_name(name)) {
            Some((name, folder)) => Self { name: Some(name.to_owned()), folder: folder.into() },
            None => Self { name: None, folder: text.into() },
        }
    }

    fn open(&self, base: &ModelConfig) -> Result<Adapter> {
        Adapter::open(&Files::folder(&self.folder), base)
    }

    /// An error of the adapter, with the name or folder that it was asked for by.
    fn named(&self, error: Error) -> Error {
        let folder = self.folder.display();
        match (error, &self.name) {
            (Error::Adapter(problem), Some(name)) => Error::Adapter(format!("{name} ({folder}): {problem}")),
            (Error::Adapter(problem), None) => Error::Adapter(format!("{folder}: {problem}")),
            (other, _) => other,
        }
    }
}

/// The adapters that are to be merged into a model, in order. The first has to be made for the model's weights, the others
/// may be made for what comes of it.
pub(crate) fn to_merge(
    specs: &[AdapterSpec],
    base: &ModelConfig,
    weights: Option<&Fingerprint>,
) -> Result<Vec<Adapter>> {
    let mut adapters = Vec::new();
    for spec in specs.iter().filter(|spec| spec.name.is_none()) {
        let adapter = spec.open(base)?;
        let made_for = weights.filter(|_| adapters.is_empty());
        adapter.check_base(made_for).map_err(|error| spec.named(error))?;
        adapters.push(adapter);
    }
    Ok(adapters)
}

/// Adapters that a model can be decoded with, by name.
#[derive(Debug, Default)]
pub struct Adapters(RwLock<BTreeMap<String, Arc<Lora>>>);

impl Adapters {
    /// Opens those of `specs` that have a name. Where others are merged, which weights these were made for is not known.
    ///
    /// # Errors
    /// When one cannot be opened, was made for other weights or changes the vision tower, or two have the same name.
    pub fn open(specs: &[AdapterSpec], base: &ModelConfig, weights: Option<&Fingerprint>) -> Result<Self> {
        let weights = weights.filter(|_| specs.iter().all(|spec| spec.name.is_some()));
        let mut adapters = BTreeMap::new();
        for spec in specs {
            let Some(name) = &spec.name else { continue };
            let adapter = spec.open(base)?;
            let lora = adapter.check_base(weights).and_then(|()| Lora::new(&adapter, &base.text));
            let lora = lora.map_err(|error| spec.named(error))?;
            if adapters.insert(name.clone(), Arc::new(lora)).is_some() {
                return Err(Error::Adapter(format!("two adapters are named {name}; give each its own name")));
            }
        }
        Ok(Self(RwLock::new(adapters)))
    }

    /// Their names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// The adapter of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Lora>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Puts another adapter under a name that is there; says whether it is. Turns that have begun end with the one
    /// they began with.
    pub fn replace(&self, name: &str, lora: Lora) -> bool {
        let mut adapters = self.0.write().unwrap_or_else(PoisonError::into_inner);
        adapters.get_mut(name).map(|adapter| *adapter = Arc::new(lora)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_merged_and_a_named_one_kept() {
        let spec = |text: &str| {
            let AdapterSpec { name, folder } = AdapterSpec::parse(text);
            (name, folder.to_string_lossy().into_owned())
        };
        assert_eq!(spec("adapters/sft"), (None, "adapters/sft".into()));
        assert_eq!(spec("sft-1.b=runs/a=b"), (Some("sft-1.b".into()), "runs/a=b".into()));
        assert_eq!(spec("./a=b"), (None, "./a=b".into()));
        assert_eq!(spec("=b"), (None, "=b".into()));
        assert!(!is_name(&"a".repeat(65)));
    }
}
