//! The weights under training.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{Device, Tensor, Var};
use loupe_mllm::weights::Weights;

use crate::error::Result;
use crate::learn::init::Init;

/// Variables by name. Asked for a weight it does not have, it makes one, so that loading a model into an empty store
/// is what initialises it.
#[derive(Debug)]
pub struct Params {
    vars: Mutex<BTreeMap<String, Var>>,
    init: Init,
}

impl Params {
    /// An empty store that makes its weights by `init`.
    #[must_use]
    pub fn new(init: Init) -> Self {
        Self { vars: Mutex::default(), init }
    }

    /// All variables with their names, in the order of the names.
    #[must_use]
    pub fn all(&self) -> Vec<(String, Var)> {
        let vars = self.vars.lock().unwrap_or_else(PoisonError::into_inner);
        vars.iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// Numbers under training.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all().iter().map(|(_, var)| var.elem_count()).sum()
    }

    /// The variable `name`, made if there is none.
    ///
    /// # Errors
    /// When there is one of another shape.
    pub fn var(&self, name: &str, shape: &[usize]) -> candle_core::Result<Var> {
        let mut vars = self.vars.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(var) = vars.get(name) {
            if var.dims() != shape {
                candle_core::bail!("{name} has shape {:?}, asked for as {shape:?}", var.dims());
            }
            return Ok(var.clone());
        }
        let values = self.init.values(name, shape);
        let var = Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?)?;
        vars.insert(name.to_owned(), var.clone());
        Ok(var)
    }

    /// Puts `values` in place of the weight `name`, if it has their shape; says whether it did.
    ///
    /// # Errors
    /// When the tensor cannot be copied.
    pub fn set(&self, name: &str, values: &Tensor) -> Result<bool> {
        let vars = self.vars.lock().unwrap_or_else(PoisonError::into_inner);
        match vars.get(name) {
            Some(var) if var.dims() == values.dims() => {
                var.set(values)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

impl Weights for Params {
    fn get(&self, name: &str, shape: &[usize]) -> loupe_mllm::Result<Tensor> {
        Ok(self.var(name, shape)?.as_tensor().clone())
    }
}
