//! A tuned adapter as part of its model.

use std::path::Path;

use loupe_mllm::adapter::Adapter;
use loupe_mllm::checkpoint::Files;

use crate::checkpoint::replace_folder;
use crate::error::Result;

/// Writes the checkpoint `base` with `adapter` merged into its weights; a folder that is there is replaced when the new
/// one is complete.
///
/// # Errors
/// When the checkpoint cannot be read, lacks what the adapter changes, or `out` cannot be written.
pub fn merge(base: &Files, adapter: &Adapter, out: &Path) -> Result<()> {
    replace_folder(out, |part| Ok(adapter.bake(base, part)?))
}
