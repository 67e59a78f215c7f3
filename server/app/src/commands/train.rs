//! `loupe train`

use std::path::PathBuf;

/// Arguments of `loupe train`.
#[derive(Debug, clap::Args)]
pub struct TrainArgs {
    #[command(subcommand)]
    command: TrainCommand,
}

#[derive(Debug, clap::Subcommand)]
enum TrainCommand {
    /// Train a model from scratch
    Pretrain(PretrainArgs),
}

#[derive(Debug, clap::Args)]
struct PretrainArgs {
    /// What to train on what, in JSON
    #[arg(long, value_name = "FILE")]
    recipe: PathBuf,
    /// Where checkpoints, log and the trained model go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on from the last checkpoint in `out`
    #[arg(long)]
    resume: bool,
    /// End after this many minutes
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
}

/// Trains.
///
/// # Errors
/// When the recipe is wrong or `out` cannot be written.
pub fn run(args: TrainArgs) -> anyhow::Result<()> {
    anyhow::bail!("training is not ready yet ({args:?})")
}
