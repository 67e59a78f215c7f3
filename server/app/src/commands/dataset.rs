//! `loupe dataset`

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use loupe_search::local::{Index, LocalImage, LocalText};
use loupe_shared::pixels::PixelLimits;
use loupe_train::atlas::{Split, World};
use loupe_train::dataset::build::{Plan, Report, Tools, build};

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
    /// Which countries and wordings
    #[arg(long, value_enum, default_value = "train")]
    split: SplitArg,
    /// How many questions
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// Share of questions that the picture answers, 0 to 1
    #[arg(long, value_parser = share, default_value = "0.5")]
    search_free: f64,
    /// Seed of everything drawn
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Dialect of the trajectories
    #[arg(long, default_value = "deepmm")]
    dialect: String,
    /// Largest picture area that the model sees, in pixels
    #[arg(long, default_value_t = 50_176)]
    max_pixels: u64,
    /// Where to write the data set
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum SplitArg {
    Train,
    Dev,
    Test,
}

impl From<SplitArg> for Split {
    fn from(arg: SplitArg) -> Self {
        match arg {
            SplitArg::Train => Self::Train,
            SplitArg::Dev => Self::Dev,
            SplitArg::Test => Self::Test,
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_not_a_number| format!("{text:?} is not a number"))?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(format!("{share} is not between 0 and 1")) }
}

/// Makes a data set.
///
/// # Errors
/// When the Atlas is missing or `out` cannot be written.
pub async fn run(args: DatasetArgs) -> anyhow::Result<()> {
    let DatasetCommand::Build(args) = args.command;
    let world = World::open(&args.atlas).context("a data set needs the Atlas")?;
    let index = Arc::new(Index::open(&args.atlas)?);
    let (text, image) = (LocalText::new(index.clone()), LocalImage::new(index));
    let dialect = loupe_agent::dialect::by_name(&args.dialect)?;
    let limits = PixelLimits { max_pixels: args.max_pixels, ..PixelLimits::default() };
    let tools = Tools { text: &text, image: &image, dialect: dialect.as_ref(), limits };
    let plan = Plan {
        split: args.split.into(),
        count: args.count,
        seed: args.seed,
        search_free: args.search_free,
        out: args.out,
    };
    let report = build(&world, &tools, &plan).await?;
    tell(&report, &mut io::stdout().lock())?;
    Ok(())
}

fn tell(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{} questions, {} of them answered by the oracle", report.questions, report.trajectories)?;
    for (reason, count) in &report.dropped {
        writeln!(out, "dropped: {count} ({reason})")?;
    }
    for (category, count) in &report.categories {
        writeln!(out, "{category}: {count}")?;
    }
    Ok(())
}
