//! How adapters are named on the command line, and those of a served model.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use super::Adapter;
use crate::checkpoint::Files;
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
}

/// The adapters that are to be merged into a model, in order.
pub(crate) fn to_merge(specs: &[AdapterSpec], base: &ModelConfig) -> Result<Vec<Adapter>> {
    specs.iter().filter(|spec| spec.name.is_none()).map(|spec| spec.open(base)).collect()
}

/// Adapters that a model can be decoded with, by name.
#[derive(Debug, Default)]
pub struct Adapters(RwLock<BTreeMap<String, Arc<Lora>>>);

impl Adapters {
    /// Opens those of `specs` that have a name.
    ///
    /// # Errors
    /// When one cannot be opened or changes the vision tower, or two have the same name.
    pub fn open(specs: &[AdapterSpec], base: &ModelConfig) -> Result<Self> {
        let mut adapters = BTreeMap::new();
        for spec in specs {
            let Some(name) = &spec.name else { continue };
            let of_folder = |error| match error {
                Error::Adapter(problem) => {
                    Error::Adapter(format!("{name} ({}): {problem}", spec.folder.display()))
                }
                other => other,
            };
            let lora = Lora::new(&spec.open(base)?, &base.text).map_err(of_folder)?;
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
