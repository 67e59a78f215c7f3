//! `loupe atlas`

use std::path::PathBuf;

/// Arguments of `loupe atlas`.
#[derive(Debug, clap::Args)]
pub struct AtlasArgs {
    #[command(subcommand)]
    command: AtlasCommand,
}

#[derive(Debug, clap::Subcommand)]
enum AtlasCommand {
    /// Write pages, flags and sample scenes
    Build(BuildArgs),
}

#[derive(Debug, clap::Args)]
struct BuildArgs {
    /// Where to write the Atlas
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder with the npm packages world-countries and flag-icons
    #[arg(long, value_name = "DIR", default_value = "node_modules")]
    packages: PathBuf,
    /// Seed of everything drawn
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Makes the Atlas.
///
/// # Errors
/// When the packages are missing or `out` cannot be written.
pub fn run(args: AtlasArgs) -> anyhow::Result<()> {
    anyhow::bail!("the Atlas is not ready yet ({args:?})")
}
