//! `loupe dataset`
//!
//! - `source`: other people's questions, and their teacher.

mod source;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use loupe_agent::dialect::Dialect;
use loupe_search::local::{Index, LocalImage, LocalText};
use loupe_shared::pixels::PixelLimits;
use loupe_train::atlas::{Split, World};
use loupe_train::dataset::build::{Plan, Tools, build};
use loupe_train::dataset::claim::Claim;
use loupe_train::dataset::file::{self, QUESTIONS, TRAJECTORIES};
use loupe_train::dataset::formats::verl::Prompts;
use loupe_train::dataset::formats::{llama_factory, verl};
use loupe_train::dataset::record::Record;

/// Questions about the Atlas where no number is given.
const ATLAS_COUNT: u64 = 1000;
/// The paper's share of questions that need no search.
const HALF: f64 = 0.5;

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
    /// The Atlas as `loupe atlas build` wrote it
    #[arg(long, value_name = "DIR", required_unless_present = "source", conflicts_with = "source")]
    atlas: Option<PathBuf>,
    /// Which countries and wordings of the Atlas; the split's name in verl's file
    #[arg(long, value_enum, default_value = "train")]
    split: SplitArg,
    /// How many rows; of the Atlas 1000, of a source as many as there are
    #[arg(long)]
    count: Option<u64>,
    /// Share of rows that need no search, 0 to 1, or `any` for a source's rows as they come; half where the Atlas or a
    /// teacher makes the rows
    #[arg(long, value_name = "SHARE", value_parser = search_free)]
    search_free: Option<SearchFree>,
    /// Seed of everything drawn
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Dialect of the trajectories
    #[arg(long, default_value = "deepmm")]
    dialect: String,
    /// Largest picture area that the model sees, in pixels
    #[arg(long, default_value_t = 50_176)]
    max_pixels: u64,
    /// Other trainers' files to write as well, with commas between
    #[arg(long, value_delimiter = ',', value_enum)]
    write: Vec<FormatArg>,
    #[command(flatten)]
    source: source::SourceArgs,
    /// Where to write the data set
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FormatArg {
    LlamaFactory,
    Verl,
}

/// How many of the rows need no search.
#[derive(Debug, Clone, Copy, PartialEq)]
enum SearchFree {
    Share(f64),
    /// As many as there are.
    Any,
}

fn search_free(text: &str) -> Result<SearchFree, String> {
    if text == "any" {
        return Ok(SearchFree::Any);
    }
    share(text).map(SearchFree::Share).map_err(|problem| format!("{problem}, nor is it `any`"))
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
/// When the Atlas or the source cannot be used, or `out` cannot be written.
pub async fn run(args: DatasetArgs) -> anyhow::Result<()> {
    let DatasetCommand::Build(args) = args.command;
    args.source.check()?;
    let dialect = loupe_agent::dialect::by_name(&args.dialect)?;
    let (questions, trajectories) = match &args.atlas {
        Some(atlas) => of_atlas(atlas, dialect.as_ref(), &args).await?,
        None => source::collect(&args).await?,
    };
    let split = Split::from(args.split).as_str();
    let prompts = Prompts { dialect: dialect.as_ref(), limits: args.limits(), split };
    if args.write.is_empty() {
        return Ok(());
    }
    // They belong to these rows, not to those of a build that has begun since.
    let _claim = Claim::take(&args.out)?;
    if args.write.contains(&FormatArg::LlamaFactory) {
        let written = llama_factory::write(&args.out, &trajectories)?;
        let left = trajectories.len() as u64 - written;
        if left > 0 {
            writeln!(
                io::stdout().lock(),
                "data.json lacks {left} trajectories in which user and model do not take turns"
            )?;
        }
    }
    if args.write.contains(&FormatArg::Verl) {
        verl::write(&args.out, &questions, &prompts)?;
    }
    Ok(())
}

impl BuildArgs {
    fn limits(&self) -> PixelLimits {
        PixelLimits { max_pixels: self.max_pixels, ..PixelLimits::default() }
    }
}

/// Questions of the Atlas, and the trajectories with which the oracle answers them.
async fn of_atlas(
    atlas: &Path,
    dialect: &dyn Dialect,
    args: &BuildArgs,
) -> anyhow::Result<(Vec<Record>, Vec<Record>)> {
    let search_free = match args.search_free {
        None => HALF,
        Some(SearchFree::Share(share)) => share,
        Some(SearchFree::Any) => {
            bail!("the Atlas makes as many rows of a kind as it is told; give --search-free a share")
        }
    };
    let world = World::open(atlas).context("a data set needs the Atlas")?;
    let index = Arc::new(Index::open(atlas)?);
    let (text, image) = (LocalText::new(index.clone()), LocalImage::new(index));
    let tools = Tools { text: &text, image: &image, dialect, limits: args.limits() };
    let plan = Plan {
        split: args.split.into(),
        count: args.count.unwrap_or(ATLAS_COUNT),
        seed: args.seed,
        search_free,
        out: args.out.clone(),
    };
    let report = build(&world, &tools, &plan).await?;
    write!(io::stdout().lock(), "{}", report.markdown())?;
    if args.write.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    Ok((file::read(&args.out.join(QUESTIONS))?, file::read(&args.out.join(TRAJECTORIES))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_by_a_share_or_as_they_come() {
        assert_eq!(search_free("0.25"), Ok(SearchFree::Share(0.25)));
        assert_eq!(search_free("any"), Ok(SearchFree::Any));
        for wrong in ["1.5", "all", "NaN"] {
            let message = search_free(wrong).unwrap_err();
            assert!(message.contains(wrong) && message.contains("`any`"), "{message}");
        }
    }
}
