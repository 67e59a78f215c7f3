//! The base that an adapter was made for, in a file of our own beside PEFT's, which PEFT and others pass over.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Adapter;
use crate::checkpoint::write::failed;
use crate::checkpoint::{Files, Fingerprint};
use crate::error::{Error, Result};

const FILE: &str = "base.json";

#[derive(Serialize, Deserialize)]
struct Made {
    weights: Fingerprint,
}

/// The fingerprint in an adapter's folder; none where others wrote it.
pub(super) fn read(files: &Files) -> Result<Option<Fingerprint>> {
    let made: Option<Made> = files.json_if_present(FILE, "{\"weights\": the fingerprint of the base}")?;
    Ok(made.map(|made| made.weights))
}

/// Notes it in the folder.
pub(super) fn write(weights: &Fingerprint, folder: &Path) -> Result<()> {
    let file = folder.join(FILE);
    let made = serde_json::json!(Made { weights: weights.clone() });
    std::fs::write(&file, format!("{made:#}\n")).map_err(|error| failed(&file, &error))
}

impl Adapter {
    /// The same adapter, made for the weights of that fingerprint.
    #[must_use]
    pub fn made_for(self, weights: Option<Fingerprint>) -> Self {
        Self { base: weights, ..self }
    }

    /// Checks that it was made for the weights of that fingerprint. Where one of the two is not known, its shape is all
    /// that can be checked, and was.
    ///
    /// # Errors
    /// [`Error::Adapter`] where it was made for other weights.
    pub fn check_base(&self, weights: Option<&Fingerprint>) -> Result<()> {
        match (&self.base, weights) {
            (Some(made_for), Some(weights)) if made_for != weights => Err(Error::Adapter(format!(
                "it was made for other weights of this shape ({made_for}, this model's are {weights}); \
                 open the model that it was trained on"
            ))),
            _ => Ok(()),
        }
    }
}
