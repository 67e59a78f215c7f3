//! What files hold, in few letters, so that an evaluation or a training is not gone on with after they have changed.

use std::path::Path;

use anyhow::Context;
use loupe_mllm::AdapterSpec;

use crate::model::ModelSpec;
use crate::remote::RemoteSpec;
use crate::remote::spec::shown;

/// Letters of a hash that are enough to see a change.
const LETTERS: usize = 16;

/// A file by its name and content.
pub(super) fn data(path: &Path) -> anyhow::Result<String> {
    Ok(format!("{} {}", path.display(), hash(path)?))
}

/// A file by its content.
pub(super) fn hash(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(letters(&bytes))
}

/// The hash of some bytes.
pub(super) fn letters(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..LETTERS].to_owned()
}

/// An adapter by its folder's files.
pub(super) fn adapter(spec: &AdapterSpec) -> anyhow::Result<String> {
    folder(&spec.folder)
}

/// A model by where it is from.
pub(super) fn model(spec: &ModelSpec) -> anyhow::Result<String> {
    match spec {
        ModelSpec::Pocket => Ok(format!("pocket {}", ModelSpec::pocket_hash())),
        ModelSpec::Folder(path) => folder(path),
        ModelSpec::Remote(remote) => Ok(self::remote(remote)),
    }
}

/// Servers by their addresses, without what may be secret in them.
pub(super) fn remote(spec: &RemoteSpec) -> String {
    let hosts: Vec<String> = spec.urls.iter().map(shown).collect();
    format!("openai:{}#{} ({})", hosts.join(","), spec.model.as_deref().unwrap_or_default(), spec.dialect)
}

/// A folder by its files' names, sizes and times: weights are too large to read twice.
fn folder(path: &Path) -> anyhow::Result<String> {
    let unreadable = || path.display().to_string();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let about = entry.metadata().with_context(unreadable)?;
        let changed = about.modified().with_context(unreadable)?;
        files.push(format!("{:?} {} {changed:?}", entry.file_name(), about.len()));
    }
    files.sort_unstable();
    Ok(format!("{} {}", path.display(), letters(files.join("\n").as_bytes())))
}
