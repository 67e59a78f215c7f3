//! `loupe probe`

use std::path::PathBuf;

/// Arguments of `loupe probe`.
#[derive(Debug, clap::Args)]
pub struct ProbeArgs {
    /// Checkpoint in Hugging Face layout
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// A picture before the text; may be given several times
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
    /// The text of the one user turn
    #[arg(long)]
    text: String,
    /// Greedy tokens to generate
    #[arg(long, value_name = "N", default_value_t = 0)]
    generate: u32,
    /// Where to write the tensors, in safetensors form
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Writes the tensors.
///
/// # Errors
/// When the checkpoint or a picture cannot be used.
pub fn run(args: ProbeArgs) -> anyhow::Result<()> {
    anyhow::bail!("probing is not ready yet ({args:?})")
}
