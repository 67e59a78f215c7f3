//! `loupe probe`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use loupe_mllm::{Device, Loaded, probe};
use loupe_shared::pixels::Rgb8;

use crate::images::decode;
use crate::model::ModelSpec;

/// Arguments of `loupe probe`.
#[derive(Debug, clap::Args)]
pub struct ProbeArgs {
    /// Checkpoint in Hugging Face layout, or `pocket`
    #[arg(long, value_name = "DIR")]
    model: String,
    /// A picture before the text; may be given several times
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
    /// The text of the one user turn
    #[arg(long)]
    text: String,
    /// Greedy tokens to generate; tokens that end a turn do not end it
    #[arg(long, value_name = "N", default_value_t = 0)]
    generate: usize,
    /// Where to write the tensors, in safetensors form
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Writes the tensors.
///
/// # Errors
/// When the checkpoint or a picture cannot be used, or the file cannot be written.
pub fn run(args: &ProbeArgs) -> anyhow::Result<()> {
    let loaded = Loaded::open(&ModelSpec::parse(&args.model).files()?, &Device::Cpu)?;
    let pictures = args.image.iter().map(|path| picture(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let found = probe::run(&loaded, &pictures, &args.text, args.generate)?;
    Ok(found.save(&args.out)?)
}

fn picture(path: &Path) -> anyhow::Result<Arc<Rgb8>> {
    let name = || path.display().to_string();
    let bytes = std::fs::read(path).with_context(name)?;
    Ok(Arc::new(decode(&bytes).with_context(name)?.pixels))
}
