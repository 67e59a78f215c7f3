//! `loupe train`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use loupe_train::atlas::mixture::Mixture;
use loupe_train::atlas::world::World;
use loupe_train::log::Line;
use loupe_train::pretrain::{Run, Stop};
use loupe_train::recipe::Recipe;

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
    /// Folder that `loupe atlas build` wrote
    #[arg(long, value_name = "DIR")]
    atlas: PathBuf,
    /// Where checkpoints, log and the trained model go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on from the last checkpoint in `out`
    #[arg(long)]
    resume: bool,
    /// End after this many minutes
    #[arg(long, value_name = "N")]
    minutes: Option<f64>,
}

/// Trains.
///
/// # Errors
/// When the recipe or the Atlas is wrong, `out` cannot be written, or training fails.
pub fn run(args: TrainArgs) -> anyhow::Result<()> {
    match args.command {
        TrainCommand::Pretrain(args) => pretrain(&args),
    }
}

fn pretrain(args: &PretrainArgs) -> anyhow::Result<()> {
    let recipe = Recipe::read(&args.recipe)?;
    let world = World::open(&args.atlas).context("training needs the Atlas")?;
    let dialect = loupe_agent::dialect::by_name(&recipe.dialect)?;
    let source = Mixture::new(Arc::new(world), dialect, recipe.mixture);
    let mut run = Run::new(&recipe, Arc::new(source), &args.out, args.resume)?;
    eprintln!("{} parameters, {} steps done", run.learner().params.count(), run.progress().step);
    let after = args.minutes.map(|minutes| Duration::try_from_secs_f64(minutes * 60.0)).transpose()?;
    run.train(Stop { after, steps: None }, show)?;
    Ok(())
}

/// One line for people; the log has it all.
fn show(line: &Line) {
    let kinds: Vec<String> = line
        .kinds
        .iter()
        .filter_map(|(kind, found)| found.exact.map(|exact| format!("{kind} {:.0}%", exact * 100.0)))
        .collect();
    eprintln!(
        "step {} loss {:.3} dense {} rate {:.2e} norm {:.2} {:.0} tokens/s {:.2} M tokens | {}",
        line.step,
        line.loss,
        line.dense.map_or_else(|| "-".into(), |dense| format!("{dense:.3}")),
        line.rate,
        line.grad_norm,
        line.tokens_per_second,
        line.tokens as f64 / 1e6,
        kinds.join(" "),
    );
}
