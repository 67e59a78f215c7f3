//! `loupe train`
//!
//! - `pretrain`: a model from nothing.
//! - `sft`: an adapter, by what was written down.
//! - `grpo`: an adapter, by what is found right.
//! - `merge`: an adapter as part of its model.

mod grpo;
mod merge;
mod pretrain;
mod sft;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use loupe_mllm::Processor;
use loupe_mllm::adapter::Adapter;
use loupe_mllm::checkpoint::Files;
use loupe_mllm::config::ModelConfig;
use loupe_train::learn::log::Line;
use loupe_train::tune::base::Base;

use crate::logging;
use crate::model::processor;

/// Arguments of `loupe train`.
#[derive(Debug, clap::Args)]
pub struct TrainArgs {
    #[command(subcommand)]
    command: TrainCommand,
}

#[derive(Debug, clap::Subcommand)]
enum TrainCommand {
    /// Train a model from scratch
    Pretrain(pretrain::PretrainArgs),
    /// Fine-tune a LoRA adapter on trajectories
    Sft(sft::SftArgs),
    /// Train a LoRA adapter by reinforcement, with real tools
    Grpo(grpo::GrpoArgs),
    /// Write a model with an adapter merged into it
    Merge(merge::MergeArgs),
}

/// Trains.
///
/// # Errors
/// When the recipe or the data is wrong, `out` cannot be written, or training fails.
pub async fn run(args: TrainArgs) -> anyhow::Result<()> {
    logging::start("warn")?;
    match args.command {
        TrainCommand::Pretrain(args) => tokio::task::block_in_place(|| pretrain::run(&args)),
        TrainCommand::Sft(args) => tokio::task::block_in_place(|| sft::run(&args)),
        TrainCommand::Grpo(args) => grpo::run(&args).await,
        TrainCommand::Merge(args) => tokio::task::block_in_place(|| merge::run(&args)),
    }
}

/// What both ways to tune an adapter are told.
#[derive(Debug, clap::Args)]
struct TuneArgs {
    /// How to train, in JSON
    #[arg(long, value_name = "FILE")]
    recipe: PathBuf,
    /// The model: a checkpoint folder or `pocket`
    #[arg(long, default_value = "pocket")]
    model: String,
    /// What to train on: `cpu`, `cuda` or `cuda:N`
    #[arg(long, value_name = "DEVICE", default_value = "cpu", value_parser = processor)]
    device: Processor,
    /// Adapter to start from
    #[arg(long, value_name = "DIR")]
    start: Option<PathBuf>,
    /// Where checkpoints, log and adapters go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on from the last checkpoint in `out`
    #[arg(long)]
    resume: bool,
}

impl TuneArgs {
    /// The adapter to start from, where one is given.
    fn start(&self, base: &Base) -> anyhow::Result<Option<Adapter>> {
        let Some(folder) = &self.start else { return Ok(None) };
        let adapter = open_adapter(folder, &base.config)?;
        let fits = adapter.check_base(base.weights.as_ref());
        fits.with_context(|| format!("the adapter {}", folder.display()))?;
        Ok(Some(adapter))
    }
}

/// Minutes, as a flag says them.
fn minutes(text: &str) -> Result<Duration, String> {
    let minutes =
        text.parse::<f64>().ok().and_then(|minutes| Duration::try_from_secs_f64(minutes * 60.0).ok());
    minutes.ok_or_else(|| "write a number of minutes from 0 on, as in 30 or 0.5".to_owned())
}

fn open_adapter(folder: &Path, base: &ModelConfig) -> anyhow::Result<Adapter> {
    if !folder.is_dir() {
        bail!("there is no adapter folder {}", folder.display());
    }
    let adapter = Adapter::open(&Files::folder(folder), base);
    adapter.with_context(|| format!("the adapter {}", folder.display()))
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
