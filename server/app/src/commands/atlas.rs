//! `loupe atlas`

use std::io::{self, Write};
use std::path::PathBuf;

use loupe_train::atlas::build::{Report, build};

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
    /// Give the flags of the training split to made-up countries, drawn by this seed: a world to train in
    #[arg(long, value_name = "SEED")]
    made_up: Option<u64>,
}

/// Makes the Atlas.
///
/// # Errors
/// When the packages are missing or `out` cannot be written.
pub fn run(args: AtlasArgs) -> anyhow::Result<()> {
    let AtlasCommand::Build(args) = args.command;
    let report = build(&args.packages, &args.out, args.seed, args.made_up)?;
    tell(&report, &mut io::stdout().lock())?;
    Ok(())
}

fn tell(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{} countries, {} pages", report.countries, report.pages)?;
    for (split, count) in &report.splits {
        writeln!(out, "{}: questions about {count} countries", split.as_str())?;
    }
    writeln!(out, "not asked about, for their flags look alike: {}", report.lookalikes.join(", "))?;
    for dropped in &report.dropped {
        writeln!(out, "left out: {} ({})", dropped.name, dropped.reason)?;
    }
    Ok(())
}
