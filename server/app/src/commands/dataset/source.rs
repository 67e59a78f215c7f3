//! `loupe dataset build --source`: other people's questions, and their teacher.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use loupe_agent::Budgets;
use loupe_train::dataset::collect::{SourcePlan, collect as build};
use loupe_train::dataset::intake::Intake;
use loupe_train::dataset::record::Record;
use loupe_train::dataset::select::Balance;
use loupe_train::dataset::source::Layout;
use loupe_train::dataset::teacher::label::CATEGORIES;
use loupe_train::dataset::teacher::{Limits, Teacher};
use loupe_train::eval::tools::Providers;

use super::{BuildArgs, HALF, SearchFree, share};
use crate::commands::layout::{LayoutArgs, STORED_PIXELS};
use crate::commands::tools::{ProviderArgs, providers};
use crate::logging;
use crate::model::{ModelOptions, ModelSpec};
use crate::remote::RemoteSpec;
use crate::settings::{Flags, Settings};

/// Which questions, and who answers them.
#[derive(Debug, clap::Args)]
pub(super) struct SourceArgs {
    /// A file of questions with their answers and pictures
    #[arg(long, value_name = "FILE")]
    source: Option<PathBuf>,
    #[command(flatten)]
    layout: LayoutArgs,
    /// Count rows that do not fit and leave them out, instead of ending at the first
    #[arg(long, requires = "source")]
    skip_bad: bool,
    /// Largest area of a stored picture, in pixels; larger ones are shrunk
    #[arg(long, default_value_t = STORED_PIXELS, value_parser = clap::value_parser!(u64).range(784..), requires = "source")]
    stored_pixels: u64,
    /// Share of word pairs that two questions about a picture have in common to count as one, 0 to 1
    #[arg(long, value_parser = share, default_value = "0.7", requires = "source")]
    near: f64,
    /// Draw so many rows before anything is looked at
    #[arg(long, value_name = "N", requires = "source")]
    sample: Option<usize>,
    /// Most rows of a category, among those that need a search and among those that do not
    #[arg(long, value_name = "N", requires = "source")]
    per_category: Option<usize>,
    /// Who answers: `openai:URL[,URL…][#model]` or the folder of a checkpoint; nobody where none is given
    #[arg(long, requires = "source", value_name = "MODEL")]
    teacher: Option<String>,
    #[command(flatten)]
    providers: ProviderArgs,
    /// Have the teacher label the category of what it answered
    #[arg(long, requires = "teacher")]
    label_categories: bool,
    /// The categories to choose from, with commas between
    #[arg(long, value_delimiter = ',', requires = "label_categories")]
    categories: Vec<String>,
    /// Turns within which the teacher has to answer; at most as many as the agent has searches
    #[arg(long, default_value_t = 10, value_parser = turns, requires = "teacher")]
    max_turns: u32,
    /// Seconds that a question may take
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400), requires = "teacher")]
    timeout: u64,
    /// How often a question is asked again when the teacher or a tool fails
    #[arg(long, default_value_t = 2, requires = "teacher")]
    retries: u32,
    /// Questions that are answered at the same time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=256), requires = "teacher")]
    jobs: u64,
}

/// Builds a data set from a source; returns its questions and its trajectories.
pub(super) async fn collect(args: &BuildArgs) -> anyhow::Result<(Vec<Record>, Vec<Record>)> {
    logging::start("info")?;
    let from = &args.source;
    let file = from.source.clone().context("give --atlas or --source")?;
    let layout = from.layout.layout().map_or_else(|| Layout::guess(&file), Ok)?;
    let settings = Settings::load(&from.providers.clone().over(Flags::default()))?;
    let teacher = match &from.teacher {
        Some(teacher) => Some(Arc::new(open(teacher, args, &settings).await?)),
        None if from.providers.is_given() => {
            bail!("--index, --search and --image-search are the teacher's tools; give --teacher, too")
        }
        None => None,
    };
    let plan = SourcePlan {
        source: from.layout.source(&file, layout),
        intake: Intake {
            out: args.out.clone(),
            skip_bad: from.skip_bad,
            most_pixels: from.stored_pixels,
            sample: from.sample,
            seed: args.seed,
        },
        near: from.near,
        balance: balance(args)?,
        tools: settings.search_shown(),
        categories: categories(from),
        jobs: usize::try_from(from.jobs)?,
    };
    let collected = build(&plan, teacher.as_ref()).await?;
    write!(io::stdout().lock(), "{}", collected.report.markdown())?;
    Ok((collected.questions, collected.trajectories))
}

fn turns(text: &str) -> Result<u32, String> {
    let most = Budgets::default().tool_calls;
    let turns: u32 = text.parse().map_err(|_not_a_number| format!("{text:?} is not a number"))?;
    if (1..=most).contains(&turns) { Ok(turns) } else { Err(format!("{turns} is not between 1 and {most}")) }
}

/// What is chosen in the end: everything, unless a teacher made the rows or something was asked for.
fn balance(args: &BuildArgs) -> anyhow::Result<Option<Balance>> {
    let from = &args.source;
    let wanted = args.search_free.is_some() || args.count.is_some() || from.per_category.is_some();
    if from.teacher.is_none() && !wanted {
        return Ok(None);
    }
    Ok(Some(Balance {
        count: args.count.map(usize::try_from).transpose()?,
        search_free: match args.search_free {
            Some(SearchFree::Share(share)) => Some(share),
            Some(SearchFree::Any) => None,
            // Without a teacher nobody has said yet which questions need a search.
            None => from.teacher.is_some().then_some(HALF),
        },
        per_category: from.per_category,
        seed: args.seed,
    }))
}

impl SourceArgs {
    /// Refuses flags about a source where there is none.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.source.is_none() && self.layout.is_given() {
            bail!("--layout, --annotations and --images say how --source is written; give --source, too");
        }
        Ok(())
    }
}

fn categories(from: &SourceArgs) -> Vec<String> {
    match (from.label_categories, from.categories.is_empty()) {
        (false, _) => Vec::new(),
        (true, true) => CATEGORIES.map(str::to_owned).to_vec(),
        (true, false) => from.categories.clone(),
    }
}

async fn open(teacher: &str, args: &BuildArgs, settings: &Settings) -> anyhow::Result<Teacher> {
    let from = &args.source;
    let spec = if teacher.starts_with("openai:") {
        ModelSpec::Remote(RemoteSpec::parse(teacher, Some(&args.dialect))?)
    } else {
        ModelSpec::parse(teacher)
    };
    let Providers { text, image } = providers(settings)?;
    let decoder = spec.open(ModelOptions::default()).await?;
    let limits = Limits {
        max_turns: from.max_turns,
        timeout: Duration::from_secs(from.timeout),
        retries: from.retries,
    };
    Ok(Teacher::new(decoder, text, image, limits)?)
}
