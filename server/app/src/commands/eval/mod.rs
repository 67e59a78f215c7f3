//! `loupe eval`
//!
//! - `args`: what can be asked for.
//! - `questions`: what is asked.

mod args;
mod questions;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loupe_agent::Budgets;
use loupe_mllm::threads;
use loupe_train::eval::compare::{Comparison, Side};
use loupe_train::eval::report::{Report, name};
use loupe_train::eval::run::{Evaluation, Options};
use loupe_train::eval::runner::run as run_questions;
use loupe_train::eval::scored::Scored;
use loupe_train::eval::session::Session;
use loupe_train::place;

pub use self::args::EvalArgs;
use self::args::Measured;
use crate::logging;
use crate::settings::Settings;

/// How often progress is told.
const TELL: Duration = Duration::from_secs(10);

/// Measures a model, or compares what was measured.
///
/// # Errors
/// When the questions, the model, the tools or the report's folder cannot be used.
pub async fn run(args: EvalArgs) -> anyhow::Result<()> {
    // Runs that fail are counted; each of them need not be told.
    logging::start("error")?;
    if let [first, others @ ..] = args.compare.as_slice() {
        return compare(first, others, args.report.as_deref());
    }
    measure(&args.measured()?).await
}

async fn measure(args: &Measured) -> anyhow::Result<()> {
    let settings = Settings::load(&args.flags)?;
    threads::use_cores(&settings.cores)?;
    let questions = Arc::new(questions::open(args)?);
    // The session comes before the model, so that a folder of other settings is refused at once.
    let decided_by = args.decided_by(&settings)?;
    let mut session = Session::open(&args.report, &decided_by)?;
    let tools = args.tape.open(&settings)?;
    let decoder = settings.open_model().await?;
    decoder.info().check_adapter(args.use_adapter.as_deref())?;
    let model = match &args.use_adapter {
        Some(adapter) => format!("{} with {adapter}", decoder.info().name),
        None => decoder.info().name.clone(),
    };
    let evaluation = Arc::new(Evaluation::new(decoder, tools, options(args).await?)?);
    let mut progress = Progress::new(questions.records.len() * args.workflows.len(), session.decided());
    run_questions(&evaluation, &questions, &args.workflows, &mut session, |row| progress.tell(row)).await?;
    let data = args.data.display().to_string();
    let mut report = Report::new(&model, &data, decided_by, args.prices);
    for &workflow in &args.workflows {
        report.add(workflow, session.rows(workflow, &questions.records));
    }
    report.write(&args.report)?;
    write!(io::stdout().lock(), "{}", report.markdown())?;
    Ok(())
}

async fn options(args: &Measured) -> anyhow::Result<Options> {
    let defaults = Options::default();
    let text_searches = args.max_text_searches.unwrap_or(defaults.budgets.text_searches);
    Ok(Options {
        adapter: args.use_adapter.as_deref().map(Arc::from),
        constrain: args.constrain,
        no_crop: args.no_crop,
        budgets: Budgets { text_searches, ..defaults.budgets },
        judge: args.judge.open().await?,
        strict_replay: args.strict_replay,
        in_flight: args.concurrency,
    })
}

/// Tells how far an evaluation is.
struct Progress {
    all: usize,
    /// Decided, with those of earlier runs.
    decided: usize,
    /// Decided and right in this run.
    now: usize,
    right: usize,
    began: Instant,
    told: Instant,
}

impl Progress {
    fn new(all: usize, decided: usize) -> Self {
        let now = Instant::now();
        Self { all, decided, now: 0, right: 0, began: now, told: now }
    }

    fn tell(&mut self, row: &Scored) {
        self.decided += 1;
        self.now += 1;
        self.right += usize::from(row.right);
        if self.told.elapsed() < TELL && self.decided < self.all {
            return;
        }
        self.told = Instant::now();
        let pace = self.now as f64 / self.began.elapsed().as_secs_f64();
        let left = self.all.saturating_sub(self.decided) as f64 / pace;
        let (decided, all, right, now) = (self.decided, self.all, self.right, self.now);
        let workflow = name(row.workflow);
        // An evaluation goes on where nobody reads along.
        writeln!(
            io::stderr(),
            "{workflow}: {decided} of {all} decided, {right} of {now} right in this run; {pace:.1} a second, {left:.0} s left"
        )
        .unwrap_or_default();
    }
}

/// Compares each report with the first.
fn compare(first: &str, others: &[String], report: Option<&Path>) -> anyhow::Result<()> {
    let first = Side::read(first)?;
    let (mut text, mut comparisons) = ("# Comparison\n".to_owned(), Vec::new());
    for other in others {
        let second = Side::read(other)?;
        let comparison = Comparison::of(&first.rows, &second.rows);
        anyhow::ensure!(
            !comparison.groups.is_empty(),
            "{other} has none of the first report's questions; compare reports of the same data set"
        );
        text.push_str(&format!("\n## {}\n\n{}", second.name, comparison.table(&first.name, &second.name)));
        comparisons.push(serde_json::json!({
            "first": first.name, "second": second.name, "comparison": comparison,
        }));
    }
    if let Some(dir) = report {
        place::write(&dir.join("compare.md"), text.as_bytes())?;
        place::write_json(&dir.join("compare.json"), &comparisons)?;
    }
    write!(io::stdout().lock(), "{text}")?;
    Ok(())
}
