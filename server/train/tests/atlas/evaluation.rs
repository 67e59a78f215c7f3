//! The evaluation, with models that say what they are told to.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use loupe_mllm::engine::{Completion, Decoder, EngineError, Finish, GenerateRequest, ModelInfo, Role};
use loupe_search::local::{LocalImage, LocalText};
use loupe_shared::protocol::Workflow;
use loupe_train::atlas::Split;
use loupe_train::dataset::file;
use loupe_train::dataset::record::{Record, RecordRole};
use loupe_train::eval::EvalError;
use loupe_train::eval::cause::Cause;
use loupe_train::eval::compare::{Comparison, Side};
use loupe_train::eval::report::Report;
use loupe_train::eval::report::group::Group;
use loupe_train::eval::report::summary::{Prices, Summary};
use loupe_train::eval::run::{Evaluation, Options};
use loupe_train::eval::runner::{Questions, run};
use loupe_train::eval::scored::{Scored, ToolUse};
use loupe_train::eval::session::{Session, Settings};
use loupe_train::eval::tape::Tape;
use loupe_train::eval::tools::{Providers, Tools};
use tokio::sync::mpsc::UnboundedSender;

use super::{dataset, index, text_of};

/// Says again what the oracle said of each question; `spoil` changes it.
struct Replay {
    info: ModelInfo,
    /// What the oracle said, by the first user turn.
    said: HashMap<String, Record>,
    spoil: fn(String) -> String,
    /// Turns until the model is gone.
    left: AtomicUsize,
}

impl Replay {
    fn new(rows: &[Record], spoil: fn(String) -> String, turns: usize) -> Self {
        let info = ModelInfo {
            name: "replay".to_owned(),
            dialect: "deepmm".to_owned(),
            about: String::new(),
            min_pixels: 3_136,
            max_pixels: 50_176,
            context: 4_096,
            adapters: Vec::new(),
        };
        let said = rows.iter().map(|row| (row.messages[0].text.clone(), row.clone())).collect();
        Self { info, said, spoil, left: AtomicUsize::new(turns) }
    }

    fn said(&self, request: &GenerateRequest) -> String {
        let first = text_of(&request.messages[0]);
        if first.starts_with("Locate:") {
            return r#"{"bbox_2d": [0, 0, 224, 224]}"#.to_owned();
        }
        let turn = request.messages.iter().filter(|m| m.role == Role::Assistant).count();
        let row = &self.said[&first];
        let mut own = row.messages.iter().filter(|m| m.role == RecordRole::Assistant);
        own.nth(turn).map_or_else(String::new, |message| message.text.clone())
    }
}

#[async_trait]
impl Decoder for Replay {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        deltas: UnboundedSender<String>,
    ) -> Result<Completion, EngineError> {
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return Err(EngineError::Unreachable("the server is gone".to_owned()));
        }
        let text = (self.spoil)(self.said(&request));
        // Others get their turn, as with a real engine.
        tokio::time::sleep(Duration::from_millis(1)).await;
        // Nobody has to listen.
        drop(deltas.send(text.clone()));
        Ok(Completion { text, generated_tokens: 1, ..Completion::nothing(Finish::EndOfTurn, 10) })
    }
}

/// A data set whose questions differ, so that the first turn tells them apart.
struct Setting {
    folder: tempfile::TempDir,
    rows: Vec<Record>,
}

impl Setting {
    async fn new(count: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        dataset::made(Split::Test, count, 0.4, folder.path()).await;
        let mut rows = file::read(&folder.path().join("trajectories.jsonl")).unwrap();
        let mut firsts = std::collections::HashSet::new();
        rows.retain(|row| firsts.insert(row.messages[0].text.clone()));
        Self { folder, rows }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Runs an evaluation in a folder of the data set's; what it is set to is told by `settings`.
    async fn evaluate(
        &self,
        decoder: Replay,
        tools: Tools,
        options: Options,
        (dir, settings): (&str, &str),
    ) -> Result<Vec<Scored>, EvalError> {
        let questions = Arc::new(Questions::new(self.rows.clone(), self.folder.path().to_owned()).unwrap());
        let settings = Settings([("model".to_owned(), settings.to_owned())].into());
        let mut session = Session::open(&self.path(dir), &settings)?;
        let evaluation = Arc::new(Evaluation::new(Arc::new(decoder), tools, options)?);
        run(&evaluation, &questions, &[Workflow::Agent], &mut session, |_| {}).await?;
        Ok(session.rows(Workflow::Agent, &questions.records))
    }

    fn honest(&self) -> Replay {
        Replay::new(&self.rows, |text| text, usize::MAX)
    }
}

fn providers() -> Providers {
    Providers { text: Arc::new(LocalText::new(index())), image: Arc::new(LocalImage::new(index())) }
}

fn live() -> Tools {
    Tools::Live(providers())
}

fn in_flight(in_flight: usize) -> Options {
    Options { in_flight, ..Options::default() }
}

/// Rows without what the machine's speed decides.
fn timeless(rows: &[Scored]) -> Vec<Scored> {
    rows.iter().cloned().map(|row| Scored { millis: 0, in_flight: 0, ..row }).collect()
}

fn report(rows: Vec<Scored>, dir: &Path) -> Summary {
    let prices = Some(Prices { per_search: 0.01, per_mtok: 2.0 });
    let mut report = Report::new("replay", "questions.jsonl", Settings::default(), prices);
    report.add(Workflow::Agent, rows);
    report.write(dir).unwrap();
    report.workflows.remove(0).summary
}

async fn measured(spoil: fn(String) -> String) -> Summary {
    let setting = Setting::new(16).await;
    let decoder = Replay::new(&setting.rows, spoil, usize::MAX);
    let rows = setting.evaluate(decoder, live(), in_flight(4), ("report", "")).await.unwrap();
    let summary = report(rows, &setting.path("report"));
    let markdown = std::fs::read_to_string(setting.path("report/report.md")).unwrap();
    assert!(markdown.contains("| all questions |") && markdown.contains("price, mean"), "{markdown}");
    for name in ["report.json", "rows.jsonl", "settings.json", "accuracy.svg", "tools.svg", "causes.svg"] {
        assert!(setting.path("report").join(name).is_file(), "{name}");
    }
    summary
}

#[tokio::test]
async fn a_model_that_says_what_is_right_is_right() {
    let summary = measured(|text| text).await;
    let all = summary.group(&Group::All);
    assert_eq!(all.right, all.all, "{summary:?}");
    assert!(summary.group(&Group::Searched).all > 0 && summary.group(&Group::SearchFree).all > 0);
    assert_eq!(summary.grammar.right, summary.grammar.all);
    assert_eq!(summary.used_where_needed.right, summary.group(&Group::Searched).all);
    assert_eq!(summary.used_where_not_needed.right, 0);
    assert!(summary.causes.is_empty() && summary.failures.is_empty());
    let hops: u64 = (0..=3).map(|hops| u64::from(hops) * summary.group(&Group::Hops(hops)).all).sum();
    assert_eq!(summary.searches[1], hops);
    assert_eq!(summary.tool_use[&ToolUse::None], summary.group(&Group::SearchFree).all);
    assert!(summary.cost.unwrap() > 0.0);
}

#[tokio::test]
async fn a_model_that_answers_something_else_is_wrong() {
    let summary = measured(|text| match text.split_once("<answer>") {
        Some((before, _)) => format!("{before}<answer>Atlantis</answer>"),
        None => text,
    })
    .await;
    assert_eq!(summary.group(&Group::All).right, 0);
    assert_eq!(summary.grammar.right, summary.grammar.all);
    let causes: Vec<Cause> = summary.causes.keys().copied().collect();
    assert!(causes.contains(&Cause::WrongAlthoughRead) && causes.contains(&Cause::WrongWithoutSearch));
    assert!(!causes.contains(&Cause::PageNotFound), "the oracle found every page: {causes:?}");
}

#[tokio::test]
async fn a_model_without_grammar_is_seen() {
    let summary = measured(|_| "I do not know".to_owned()).await;
    assert_eq!((summary.group(&Group::All).right, summary.grammar.right), (0, 0));
    assert!(!summary.failures.is_empty());
    assert_eq!(summary.causes.keys().collect::<Vec<_>>(), [&Cause::InvalidTurn]);
}

#[tokio::test]
async fn many_in_flight_are_answered_as_one_at_a_time() {
    let setting = Setting::new(12).await;
    let alone = setting.evaluate(setting.honest(), live(), in_flight(1), ("one", "")).await.unwrap();
    let together = setting.evaluate(setting.honest(), live(), in_flight(8), ("many", "")).await.unwrap();
    assert_eq!(timeless(&alone), timeless(&together));
    let turns = |rows: &[Scored]| rows.iter().map(|row| row.turns.all).collect::<Vec<_>>();
    assert_eq!(turns(&alone), turns(&together), "turns belong to their question");
    let comparison = Comparison::of(&alone, &together);
    assert_eq!((comparison.groups[0].difference, comparison.unpaired), (0.0, 0));
}

#[tokio::test]
async fn an_evaluation_that_was_broken_off_goes_on_where_it_was() {
    let setting = Setting::new(12).await;
    let whole = setting.evaluate(setting.honest(), live(), in_flight(2), ("whole", "")).await.unwrap();
    let gone = Replay::new(&setting.rows, |text| text, 12);
    let error = setting.evaluate(gone, live(), in_flight(2), ("broken", "")).await.unwrap_err();
    assert!(matches!(error, EvalError::Engine { .. }), "{error}");
    let rows = setting.path("broken/rows.jsonl");
    let mut written = std::fs::read_to_string(&rows).unwrap();
    let kept = written.lines().count();
    assert!(kept > 0 && kept < setting.rows.len(), "{kept}");
    // What a kill in the middle of a write leaves.
    written.push_str("{\"id\": \"test-7-0000");
    std::fs::write(&rows, written).unwrap();
    let other = setting.evaluate(setting.honest(), live(), in_flight(2), ("broken", "other")).await;
    let Err(EvalError::OtherSettings { differences, .. }) = other else { panic!("it was not refused") };
    assert_eq!(differences, "model: \"\" there, \"other\" now");
    let again = setting.evaluate(setting.honest(), live(), in_flight(3), ("broken", "")).await.unwrap();
    assert_eq!(timeless(&again), timeless(&whole));
}

#[tokio::test]
async fn a_recording_answers_instead_of_the_tools() {
    let setting = Setting::new(12).await;
    let path = setting.path("tape.jsonl");
    let recorded = Tools::Recorded(providers(), Arc::new(Tape::record(&path).unwrap()));
    let first = setting.evaluate(setting.honest(), recorded, in_flight(4), ("first", "")).await.unwrap();
    let replay = || Tools::Replayed(Arc::new(Tape::replay(&path).unwrap()));
    let played = setting.evaluate(setting.honest(), replay(), in_flight(4), ("second", "")).await.unwrap();
    let found = |rows: &[Scored]| {
        let of = |row: &Scored| row.steps.iter().map(|step| step.found.clone()).collect::<Vec<_>>();
        rows.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(found(&first), found(&played));
    assert!(played.iter().flat_map(|row| &row.steps).all(|step| step.cached));

    // One text search fewer, so that some question misses it.
    let written = std::fs::read_to_string(&path).unwrap();
    let lost = written.lines().find(|line| line.contains("text_search")).unwrap();
    std::fs::write(&path, written.replace(&format!("{lost}\n"), "")).unwrap();
    let rows = setting.evaluate(setting.honest(), replay(), in_flight(4), ("third", "")).await.unwrap();
    let missed: Vec<&String> = rows.iter().flat_map(|row| &row.missed).collect();
    assert!(!missed.is_empty() && missed[0].contains("of question test-7-"), "{missed:?}");
    let without = rows.iter().filter(|row| !row.missed.is_empty());
    assert!(without.clone().all(|row| row.right || row.cause == Some(Cause::ToolFailure)));
    assert!(without.flat_map(|row| &row.steps).any(|step| step.failed.is_some()));

    let strict = Options { strict_replay: true, ..in_flight(4) };
    let error = setting.evaluate(setting.honest(), replay(), strict, ("fourth", "")).await.unwrap_err();
    assert!(matches!(&error, EvalError::Missed(told) if told.contains("text \"")), "{error}");
}

#[tokio::test]
async fn ablations_take_something_away() {
    let setting = Setting::new(16).await;
    let all = setting.evaluate(setting.honest(), live(), in_flight(4), ("all", "")).await.unwrap();
    let whole = Options { no_crop: true, ..in_flight(4) };
    let whole = setting.evaluate(setting.honest(), live(), whole, ("whole", "")).await.unwrap();
    let mut budgets = Options::default().budgets;
    budgets.text_searches = 1;
    let one = Options { budgets, ..in_flight(4) };
    let one = setting.evaluate(setting.honest(), live(), one, ("one", "")).await.unwrap();
    let firsts = |rows: &[Scored]| {
        let first = |row: &Scored| row.steps.first().and_then(|step| step.found.first()).cloned();
        rows.iter().map(first).collect::<Vec<_>>()
    };
    assert_ne!(firsts(&all), firsts(&whole), "other pictures are searched");
    let parts = |rows: &[Scored]| rows.iter().flat_map(|row| &row.steps).filter(|step| step.part).count();
    assert!(parts(&all) > 0 && parts(&whole) == 0, "and are counted as what they are");
    assert!(one.iter().all(|row| row.steps.iter().filter(|s| !s.part && s.words.is_some()).count() <= 2));
    let texts = |rows: &[Scored]| report(rows.to_vec(), &setting.path("x")).tools.several_texts.right;
    assert!(texts(&all) > 0 && texts(&one) == 0);
}

#[tokio::test]
async fn reports_are_compared_by_their_files() {
    let setting = Setting::new(12).await;
    let rows = setting.evaluate(setting.honest(), live(), in_flight(4), ("a", "")).await.unwrap();
    report(rows, &setting.path("a"));
    let wrong = Replay::new(&setting.rows, |text| text.replace("<answer>", "<answer>not "), usize::MAX);
    let rows = setting.evaluate(wrong, live(), in_flight(4), ("b", "")).await.unwrap();
    report(rows, &setting.path("b"));
    let side = |name: &str| Side::read(&setting.path(name).display().to_string());
    let (a, b) = (side("a/report.json").unwrap(), side("b/report.json#agent").unwrap());
    let comparison = Comparison::of(&a.rows, &b.rows);
    assert_eq!(comparison.groups[0].difference, -1.0);
    assert!(comparison.table("a", "b").contains("| all questions |"));
    assert!(matches!(side("b/report.json#rag"), Err(EvalError::Report { .. })));
    assert!(matches!(side("b/report.md"), Err(EvalError::Report { .. })));
    assert!(matches!(side("c/report.json"), Err(EvalError::File { .. })));
}

#[tokio::test]
async fn what_cannot_be_asked_is_said_before_anything_is() {
    let setting = Setting::new(4).await;
    let twice = [setting.rows.clone(), setting.rows.clone()].concat();
    let error = Questions::new(twice, setting.folder.path().to_owned()).unwrap_err();
    assert!(matches!(error, EvalError::SameId(_)));
    let mut empty = setting.rows.clone();
    empty[1].answer = "  ".to_owned();
    let error = Questions::new(empty, setting.folder.path().to_owned()).unwrap_err();
    assert!(error.to_string().contains(&setting.rows[1].id), "{error}");
    std::fs::remove_file(setting.path(&setting.rows[0].image)).unwrap();
    let error = Questions::new(setting.rows.clone(), setting.folder.path().to_owned()).unwrap_err();
    assert!(error.to_string().contains(&setting.rows[0].id), "{error}");
}
