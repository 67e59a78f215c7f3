//! `loupe train grpo`

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use loupe_mllm::{AdapterSpec, Engine, Formats, Limits, Loaded};
use loupe_train::tune::base::Base;
use loupe_train::tune::grpo::log::StepLine;
use loupe_train::tune::grpo::recipe::GrpoRecipe;
use loupe_train::tune::grpo::rollout::{POLICY, Player};
use loupe_train::tune::grpo::run::{Ended, Grpo, Parts};
use loupe_train::tune::lora;
use loupe_train::tune::records::Records;

use super::TuneArgs;
use crate::commands::tools::{JudgeArgs, ProviderArgs, TapeArgs, played_with};
use crate::model::ModelSpec;
use crate::settings::{Flags, Settings};

#[derive(Debug, clap::Args)]
pub(super) struct GrpoArgs {
    #[command(flatten)]
    tune: TuneArgs,
    /// Questions with their answers, as `loupe dataset build` writes them
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Questions to measure by
    #[arg(long, value_name = "FILE")]
    dev: Option<PathBuf>,
    #[command(flatten)]
    providers: ProviderArgs,
    #[command(flatten)]
    tape: TapeArgs,
    #[command(flatten)]
    judge: JudgeArgs,
    /// End after this many steps
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
}

pub(super) async fn run(args: &GrpoArgs) -> anyhow::Result<()> {
    let recipe = GrpoRecipe::read(&args.tune.recipe)?;
    let settings = Settings::load(&args.providers.clone().over(Flags::default()))?;
    let tools = args.tape.open(&settings)?;
    let train = Records::questions(&args.data, recipe.seed)?;
    let dev = args.dev.as_deref().map(|path| Records::questions(path, recipe.seed)).transpose()?;
    let files = ModelSpec::parse(&args.tune.model).files()?;
    let base = Base::open(args.tune.device, &files, &recipe.lora, recipe.optimiser, recipe.seed)?;
    let start = args.tune.start(&base)?;

    // The engine is opened with some adapter under the policy's name; the run puts its own there before anything is decoded.
    let serving = tempfile::tempdir().context("there is no place for temporary files")?;
    let folder = serving.path().join(POLICY);
    lora::save(&lora::to_adapter(&base, &recipe.lora)?, &folder)?;
    let policy = AdapterSpec { name: Some(POLICY.to_owned()), folder };
    let loaded = Loaded::open_on(args.tune.device, &files, Formats::default(), &[policy])?;
    let engine = Arc::new(Engine::start(loaded, Limits::default())?);
    let player = Player {
        decoder: engine.clone(),
        tools,
        judge: args.judge.open().await?,
        budgets: recipe.budgets(),
        boxes: recipe.boxes,
    };
    let played_with = played_with(&settings, &args.tape, &args.judge)?;
    let parts = Parts { base, engine, player, train, dev, played_with };
    let has_dev = parts.dev.is_some();
    let mut run = Grpo::new(&recipe, parts, start.as_ref(), &args.tune.out, args.tune.resume)?;
    eprintln!("{} steps done", run.progress().step);
    match run.train(args.steps, show).await? {
        Ended::Complete => Ok(()),
        Ended::Collapsing(reason) => bail!(
            "stopped, because {reason}; the checkpoint is of an earlier step{best}, and `samples` shows what was rewarded",
            best = if has_dev { ", the best adapter so far is in `best`" } else { "" }
        ),
    }
}

fn show(line: &StepLine) {
    let dev = line.dev.map_or_else(String::new, |dev| format!(" dev {:.1}%", 100.0 * dev));
    eprintln!(
        "step {} reward {:.3} right {:.1}% valid {:.1}% searches {:.2} length {:.0} mixed {:.0}% kl {:.4} entropy {:.3} norm {:.2} rollouts {:.1} s learning {:.1} s{dev}",
        line.step,
        line.reward,
        100.0 * line.right,
        100.0 * line.valid,
        line.searches,
        line.length,
        100.0 * line.mixed,
        line.kl,
        line.entropy,
        line.grad_norm,
        line.rollout_seconds,
        line.learn_seconds,
    );
}
