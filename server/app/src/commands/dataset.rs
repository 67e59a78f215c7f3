//! `loupe dataset`

use std::path::PathBuf;

/// Arguments of `loupe dataset`.
#[derive(Debug, clap::Args)]
pub struct DatasetArgs {
    #[command(subcommand)]
    command: DatasetCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DatasetCommand {
    /// Write questions and the trajectories that answer them
    Build(BuildArgs),
}

#[derive(Debug, clap::Args)]
struct BuildArgs {
    /// The world that is asked about
    #[arg(long, value_parser = ["atlas"], default_value = "atlas")]
    world: String,
    /// The Atlas as `loupe atlas build` wrote it
    #[arg(long, value_name = "DIR")]
    atlas: PathBuf,
    /// Which countries and templates
    #[arg(long, value_parser = ["train", "dev", "test"], default_value = "train")]
    split: String,
    /// How many rows
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Seed of everything drawn
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to write the data set
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Makes a data set.
///
/// # Errors
/// When the Atlas is missing or `out` cannot be written.
pub async fn run(args: DatasetArgs) -> anyhow::Result<()> {
    anyhow::bail!("data sets are not ready yet ({args:?})")
}
