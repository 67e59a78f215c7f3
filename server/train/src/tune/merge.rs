//! A tuned adapter as part of its model.

use std::path::Path;

use loupe_mllm::adapter::Adapter;
use loupe_mllm::checkpoint::{Files, Fingerprint};

use crate::error::{Result, TrainError};
use crate::place::replace_folder;

/// Writes the checkpoint `base` with `adapter` merged into its weights into a new or empty folder.
///
/// # Errors
/// When the folder holds something, the checkpoint cannot be read or lacks what the adapter changes, or `out` cannot be
/// written.
pub fn merge(base: &Files, adapter: &Adapter, out: &Path) -> Result<()> {
    let holds_something = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    if holds_something {
        let refused = std::io::Error::other("it is there already; name a new folder for the merged model");
        return Err(TrainError::file(out)(refused));
    }
    adapter.check_base(Fingerprint::of(base)?.as_ref())?;
    replace_folder(out, |part| Ok(adapter.bake(base, part)?))
}
