//! `loupe train sft`

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use loupe_train::learn::stop::Stop;
use loupe_train::tune::base::Base;
use loupe_train::tune::estimate::{Estimate, estimate};
use loupe_train::tune::recipe::SftRecipe;
use loupe_train::tune::records::Records;
use loupe_train::tune::sft::{ADAPTER, BEST, Data, Ended, Sft};

use super::TuneArgs;
use crate::model::ModelSpec;

#[derive(Debug, clap::Args)]
pub(super) struct SftArgs {
    #[command(flatten)]
    tune: TuneArgs,
    /// Trajectories to learn, as `loupe dataset build` writes them
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Trajectories to measure by; the run ends when these get no better
    #[arg(long, value_name = "FILE")]
    dev: Option<PathBuf>,
    /// End after this many minutes
    #[arg(long, value_name = "N", value_parser = super::minutes)]
    minutes: Option<Duration>,
    /// Say what the run will need, and train nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &SftArgs) -> anyhow::Result<()> {
    let recipe = SftRecipe::read(&args.tune.recipe)?;
    let train = Arc::new(Records::open(&args.data, recipe.seed)?);
    let dev = args.dev.as_deref().map(|path| Records::open(path, recipe.seed)).transpose()?;
    let files = ModelSpec::parse(&args.tune.model).files()?;
    let mut base = Base::open(args.tune.device, &files, &recipe.lora, recipe.optimiser, recipe.seed)?;
    if args.dry_run {
        base.learner.checkpointing = recipe.checkpointing;
        tell(&estimate(&base, &train, dev.as_ref(), &recipe)?, &mut io::stdout().lock())?;
        return Ok(());
    }
    let start = args.tune.start(&base)?;
    let data = Data { train, dev };
    let mut run = Sft::new(&recipe, base, data, start.as_ref(), &args.tune.out, args.tune.resume)?;
    let trained = run.base().learner.params.count();
    eprintln!("{trained} numbers under training, {} steps done", run.progress().step);
    let ended = run.train(Stop { after: args.minutes, steps: None }, super::show)?;
    let adapter = args.tune.out.join(if run.progress().best.is_some() { BEST } else { ADAPTER });
    match ended {
        Ended::Complete => eprintln!("all epochs are read; the adapter is {}", adapter.display()),
        Ended::Early => {
            eprintln!("the development set gets no better; the best adapter is {}", adapter.display());
        }
        Ended::Stopped => eprintln!("stopped; go on with --resume"),
    }
    Ok(())
}

fn tell(estimate: &Estimate, out: &mut impl Write) -> io::Result<()> {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    writeln!(out, "{} rows; {} tokens in {} steps", estimate.rows, estimate.tokens, estimate.steps)?;
    writeln!(out, "{} numbers under training, {} frozen", estimate.trained, estimate.frozen)?;
    writeln!(
        out,
        "memory{}: {:.2} GiB of weights and {}, about {:.2} GiB of a batch's intermediate values; {:.2} GiB of the \
         development set's pictures",
        if estimate.on_gpu { " of the GPU" } else { "" },
        gib(estimate.memory.weights),
        if estimate.on_gpu { "gradients" } else { "optimiser" },
        gib(estimate.memory.activations),
        gib(estimate.dev_pictures)
    )?;
    writeln!(out, "time on this machine: about {:.0} min", estimate.seconds / 60.0)
}
