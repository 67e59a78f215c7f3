//! `loupe train pretrain`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use loupe_train::atlas::mixture::Mixture;
use loupe_train::atlas::world::World;
use loupe_train::learn::stop::Stop;
use loupe_train::pretrain::recipe::Recipe;
use loupe_train::pretrain::run::Run;

#[derive(Debug, clap::Args)]
pub(super) struct PretrainArgs {
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
    #[arg(long, value_name = "N", value_parser = super::minutes)]
    minutes: Option<Duration>,
}

pub(super) fn run(args: &PretrainArgs) -> anyhow::Result<()> {
    let recipe = Recipe::read(&args.recipe)?;
    let world = World::open(&args.atlas).context("training needs the Atlas")?;
    let dialect = loupe_agent::dialect::by_name(&recipe.dialect)?;
    let source = Mixture::new(Arc::new(world), dialect, recipe.mixture);
    let mut run = Run::new(&recipe, Arc::new(source), &args.out, args.resume)?;
    eprintln!("{} parameters, {} steps done", run.learner().params.count(), run.progress().step);
    run.train(Stop { after: args.minutes, steps: None }, super::show)?;
    Ok(())
}
