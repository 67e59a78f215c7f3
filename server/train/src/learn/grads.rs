//! Gradients by the names of the weights they are of.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

/// Gradients of some weights; a weight that is missing has none.
#[derive(Debug, Default)]
pub struct Grads(BTreeMap<String, Tensor>);

impl Grads {
    /// Those of `vars` in what `backward` gave.
    ///
    /// # Errors
    /// When one cannot be made contiguous.
    pub fn of(vars: &[(String, Var)], store: &GradStore) -> Result<Self> {
        let mut grads = BTreeMap::new();
        for (name, var) in vars {
            if let Some(grad) = store.get(var) {
                grads.insert(name.clone(), grad.contiguous()?);
            }
        }
        Ok(Self(grads))
    }

    /// Those of these names.
    #[must_use]
    pub fn named(grads: impl Iterator<Item = (String, Tensor)>) -> Self {
        Self(grads.collect())
    }

    /// Adds another pass's gradients.
    ///
    /// # Errors
    /// When shapes differ.
    pub fn add(&mut self, more: Self) -> Result<()> {
        for (name, grad) in more.0 {
            let sum = match self.0.remove(&name) {
                Some(sum) => (sum + grad)?,
                None => grad,
            };
            self.0.insert(name, sum);
        }
        Ok(())
    }

    /// The gradient of a weight.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }
}
