//! A teacher over questions from outside: what is kept, what is not, and that a killed build goes on.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use loupe_agent::dialect::{self, GIVE_UP};
use loupe_mllm::engine::{Completion, Decoder, EngineError, Finish, GenerateRequest, ModelInfo, Role};
use loupe_search::TextSearch;
use loupe_search::local::{LocalImage, LocalText};
use loupe_shared::pixels::PixelLimits;
use loupe_train::atlas::Split;
use loupe_train::dataset::collect::{Collected, SourcePlan, collect};
use loupe_train::dataset::decisions::Decision;
use loupe_train::dataset::formats::{llama_factory, verl};
use loupe_train::dataset::intake::Intake;
use loupe_train::dataset::record::{Record, RecordRole};
use loupe_train::dataset::select::Balance;
use loupe_train::dataset::source::{Layout, Source};
use loupe_train::dataset::teacher::{Limits, Teacher};
use loupe_train::dataset::{DatasetError, file};
use tokio::sync::mpsc::UnboundedSender;

use super::{Useless, dataset, index, names, text_of};

/// A teacher that is waited for and asked once.
const ONCE: Limits = Limits { max_turns: 5, timeout: Duration::from_secs(60), retries: 0 };

/// Says what the oracle said of each question, but for the questions with a fault.
struct Script {
    info: ModelInfo,
    rows: HashMap<String, Record>,
    faults: HashMap<String, Fault>,
    questions: AtomicUsize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Wrong,
    Nonsense,
    Dead,
    Silent,
    Twice,
    Endless,
    /// Is right after so many searches.
    After(usize),
    /// Is right after it was told that it has searched this before.
    Again,
    /// Is right after the conversation had to start over.
    Outgrown,
    GivesUp,
    TooLong,
    NotTaken,
}

impl Script {
    fn new(rows: &[Record], faults: HashMap<String, Fault>) -> Self {
        let info = ModelInfo {
            name: "script".to_owned(),
            dialect: "deepmm".to_owned(),
            about: String::new(),
            min_pixels: 3_136,
            max_pixels: 50_176,
            context: 4_096,
            adapters: Vec::new(),
        };
        let rows = rows.iter().map(|row| (row.question.clone(), row.clone())).collect();
        Self { info, rows, faults, questions: AtomicUsize::new(0) }
    }

    /// The question of a conversation.
    fn row(&self, request: &GenerateRequest) -> Option<&Record> {
        let first = text_of(&request.messages[0]);
        // What was found stands before the question where the conversation had to start over.
        let asked = first.lines().find_map(|line| line.strip_prefix("Question: "))?;
        self.rows.get(asked)
    }

    fn said(&self, request: &GenerateRequest) -> Result<String, EngineError> {
        let first = text_of(&request.messages[0]);
        if first.starts_with("Locate:") {
            return Ok(r#"{"bbox_2d": [0, 0, 224, 224]}"#.to_owned());
        }
        if first.starts_with("Question about a picture") {
            return Ok("I think it is *place*.".to_owned());
        }
        let row = self.row(request).expect("only known questions are asked");
        let turn = request.messages.iter().filter(|m| m.role == Role::Assistant).count();
        if turn == 0 {
            self.questions.fetch_add(1, Ordering::Relaxed);
        }
        let mut own = row.messages.iter().filter(|m| m.role == RecordRole::Assistant);
        let right = own.nth(turn).map_or_else(String::new, |message| message.text.clone());
        let answer = |answer: &str| format!("<reason>So.</reason>\n<answer>{answer}</answer>");
        let search = |page: usize| format!("<reason>On.</reason>\n<text_search>page {page}</text_search>");
        let too_long = EngineError::TooLong { tokens: 5_000, context: 4_096 };
        Ok(match self.faults.get(&row.question) {
            None => right,
            Some(Fault::Wrong) => answer("Atlantis"),
            Some(Fault::Nonsense) => "As a large language model I see <b>flags</b>".to_owned(),
            Some(Fault::Dead) => return Err(EngineError::Unreachable("connection refused".to_owned())),
            Some(Fault::Twice) => {
                "<reason>Look.</reason>\n<text_search>capital of Norway</text_search>".to_owned()
            }
            Some(Fault::Endless) => search(turn),
            Some(Fault::Silent) => String::new(),
            Some(Fault::After(searches)) if turn < *searches => search(turn),
            Some(Fault::Again) if turn < 2 => search(0),
            Some(Fault::Outgrown) if turn > 0 => return Err(too_long),
            Some(Fault::Outgrown) if first.starts_with("Question: ") => search(0),
            Some(Fault::After(_) | Fault::Again | Fault::Outgrown) => answer(&row.answer),
            Some(Fault::GivesUp) => answer(GIVE_UP),
            Some(Fault::TooLong) => return Err(too_long),
            Some(Fault::NotTaken) => return Err(EngineError::Input("the picture is too large".to_owned())),
        })
    }
}

#[async_trait]
impl Decoder for Script {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        deltas: UnboundedSender<String>,
    ) -> Result<Completion, EngineError> {
        let text = self.said(&request)?;
        if text.is_empty() {
            std::future::pending::<()>().await;
        }
        drop(deltas.send(text.clone()));
        Ok(Completion { text, generated_tokens: 1, ..Completion::nothing(Finish::EndOfTurn, 1) })
    }
}

/// Questions of the Atlas as a source, and what the oracle says to them.
struct Questions {
    folder: tempfile::TempDir,
    rows: Vec<Record>,
}

impl Questions {
    async fn new(count: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        dataset::made(Split::Test, count, 0.4, folder.path()).await;
        let mut rows = file::read(&folder.path().join("trajectories.jsonl")).unwrap();
        let mut seen = std::collections::HashSet::new();
        rows.retain(|row| seen.insert(row.question.clone()));
        let lines: Vec<String> = rows.iter().map(|row| question(row).to_string()).collect();
        std::fs::write(folder.path().join("source.jsonl"), lines.join("\n")).unwrap();
        Self { folder, rows }
    }

    fn plan(&self, out: &Path, balance: Option<Balance>) -> SourcePlan {
        let source = Source {
            file: self.folder.path().join("source.jsonl"),
            layout: Layout::Jsonl,
            annotations: None,
            images: self.folder.path().to_owned(),
        };
        let intake = intake(out);
        SourcePlan {
            source,
            intake,
            near: 0.7,
            balance,
            tools: "the Atlas".to_owned(),
            categories: Vec::new(),
            jobs: 3,
        }
    }

    fn teacher(&self, faults: HashMap<String, Fault>) -> (Arc<Script>, Arc<Teacher>) {
        let limits = Limits { timeout: Duration::from_secs(2), retries: 1, ..ONCE };
        self.teacher_with(faults, text(), limits)
    }

    fn teacher_with(
        &self,
        faults: HashMap<String, Fault>,
        text: Arc<dyn TextSearch>,
        limits: Limits,
    ) -> (Arc<Script>, Arc<Teacher>) {
        let script = Arc::new(Script::new(&self.rows, faults));
        let image = Arc::new(LocalImage::new(index()));
        (script.clone(), Arc::new(Teacher::new(script, text, image, limits).unwrap()))
    }

    /// What a teacher decides about the first question, at which it has that fault: `kept`, or why not, in one word and
    /// in more.
    async fn decided(&self, fault: Fault, text: Arc<dyn TextSearch>) -> (String, String) {
        let row = &self.rows[0];
        let (_, teacher) = self.teacher_with([(row.question.clone(), fault)].into(), text, ONCE);
        match teacher.decide(row, self.folder.path()).await {
            Decision::Kept { .. } => ("kept".to_owned(), String::new()),
            Decision::Dropped { reason, detail } => (reason, detail),
        }
    }
}

/// The search by words.
fn text() -> Arc<dyn TextSearch> {
    Arc::new(LocalText::new(index()))
}

fn intake(out: &Path) -> Intake {
    Intake { out: out.to_owned(), skip_bad: false, most_pixels: 4_000_000, sample: None, seed: 1 }
}

fn question(row: &Record) -> serde_json::Value {
    let mut question = serde_json::json!({"id": row.id, "question": row.question, "answer": row.answer, "aliases": row.aliases, "image": row.image, "category": row.category});
    if let Some(region) = &row.region {
        question["region"] = serde_json::to_value(region).unwrap();
    }
    question
}

#[tokio::test]
async fn what_a_good_teacher_does_is_kept_word_for_word() {
    let (questions, out) = (Questions::new(24).await, tempfile::tempdir().unwrap());
    let (_, teacher) = questions.teacher(HashMap::new());
    let mut plan = questions.plan(out.path(), None);
    plan.categories = vec!["person".to_owned(), "place".to_owned()];
    let Collected { report, trajectories, .. } = collect(&plan, Some(&teacher)).await.unwrap();
    assert!(trajectories.len() >= 10, "{report:?}");
    for row in &trajectories {
        let oracle = questions.rows.iter().find(|known| known.id == row.id).unwrap();
        let own = |row: &Record| -> Vec<String> {
            row.messages.iter().filter(|m| m.role == RecordRole::Assistant).map(|m| m.text.clone()).collect()
        };
        assert_eq!(own(row), own(oracle));
        assert_eq!(row.messages[0].pictures, oracle.messages[0].pictures);
        assert_eq!((row.search, row.category.as_str()), (oracle.search, "place"));
        assert!(!row.search || row.messages.iter().any(|m| m.text.contains("<information>")));
    }
    assert_eq!(file::read(&out.path().join("trajectories.jsonl")).unwrap(), trajectories);
    let searched: u64 = report.tools.iter().filter(|(kind, _)| *kind != "none").map(|(_, count)| count).sum();
    assert_eq!(searched, trajectories.iter().filter(|row| row.search).count() as u64);
    for name in ["report.json", "report.md", "categories.svg", "dropped.svg", "turns.svg", "tools.svg"] {
        assert!(out.path().join(name).is_file(), "{name}");
    }
}

#[tokio::test]
async fn what_a_bad_teacher_does_is_dropped_with_its_reason() {
    let (questions, out) = (Questions::new(40).await, tempfile::tempdir().unwrap());
    let all =
        [Fault::Wrong, Fault::Nonsense, Fault::Dead, Fault::Silent, Fault::Twice, Fault::Endless].into_iter();
    let faults = questions.rows.iter().map(|row| row.question.clone()).zip(all.cycle().take(18)).collect();
    let (_, teacher) = questions.teacher(faults);
    let collected = collect(&questions.plan(out.path(), None), Some(&teacher)).await.unwrap();
    let dropped = &collected.report.dropped;
    for reason in
        ["wrong_answer", "invalid_turn", "teacher_failed", "timeout", "refused_turn", "too_many_turns"]
    {
        assert!(dropped.contains_key(reason), "{reason}: {dropped:?}");
    }
    let left: u64 = dropped.values().sum();
    assert_eq!(collected.trajectories.len() as u64 + left, questions.rows.len() as u64);
}

#[tokio::test]
async fn what_teacher_and_server_give_up_is_dropped_as_that() {
    let questions = Questions::new(6).await;
    for (fault, reason, said) in [
        (Fault::GivesUp, "gave_up", GIVE_UP),
        (Fault::TooLong, "too_long", "5000 tokens"),
        (Fault::NotTaken, "not_taken", "the picture is too large"),
    ] {
        let (dropped, detail) = questions.decided(fault, text()).await;
        assert!(dropped == reason && detail.contains(said), "{fault:?}: {dropped}, {detail}");
    }
}

#[tokio::test]
async fn a_right_answer_is_kept_up_to_the_last_turn_that_is_allowed() {
    let questions = Questions::new(6).await;
    assert_eq!(questions.decided(Fault::After(4), text()).await.0, "kept");
    let late = questions.decided(Fault::After(5), text()).await;
    assert_eq!(late, ("too_many_turns".to_owned(), "6 turns".to_owned()));
}

#[tokio::test]
async fn a_right_answer_after_a_refused_search_or_a_new_start_is_not_kept() {
    let questions = Questions::new(6).await;
    for fault in [Fault::Again, Fault::Outgrown] {
        let (dropped, detail) = questions.decided(fault, text()).await;
        assert_eq!(dropped, "refused_turn", "{fault:?}: {detail}");
    }
}

#[tokio::test]
async fn a_right_answer_after_a_search_that_failed_is_blamed_on_the_search() {
    let questions = Questions::new(6).await;
    let (dropped, detail) = questions.decided(Fault::After(1), Arc::new(Useless::Gone)).await;
    assert_eq!(dropped, "tool_failed");
    assert!(detail.contains("useless could not be reached: connection refused"), "{detail}");
}

#[tokio::test]
async fn a_picture_that_is_gone_is_named_and_nobody_is_asked() {
    let questions = Questions::new(6).await;
    let row = Record { image: "images/none.png".to_owned(), ..questions.rows[0].clone() };
    let (script, teacher) = questions.teacher_with(HashMap::new(), text(), ONCE);
    let decision = teacher.decide(&row, questions.folder.path()).await;
    let Decision::Dropped { reason, detail } = &decision else { panic!("{decision:?}") };
    assert!(reason == "picture" && detail.contains("none.png"), "{reason}: {detail}");
    assert_eq!(script.questions.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn searches_that_are_gone_end_the_build_and_write_no_rows() {
    let (questions, out) = (Questions::new(24).await, tempfile::tempdir().unwrap());
    let faults = questions.rows.iter().map(|row| (row.question.clone(), Fault::After(1))).collect();
    let (_, teacher) = questions.teacher_with(faults, Arc::new(Useless::Gone), ONCE);
    let error = collect(&questions.plan(out.path(), None), Some(&teacher)).await.unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, DatasetError::Teacher { .. }) && said.contains("tool_failed: useless"), "{said}");
    assert_eq!(names(out.path()), ["decisions.jsonl", "images"]);
    let decisions = std::fs::read_to_string(out.path().join("decisions.jsonl")).unwrap();
    assert_eq!(decisions.lines().count(), 1, "only who decides");
}

#[tokio::test]
async fn rows_that_are_not_drawn_and_rows_that_are_not_chosen_are_counted() {
    let (questions, out) = (Questions::new(24).await, tempfile::tempdir().unwrap());
    let one = Balance { count: Some(1), search_free: None, per_category: None, seed: 5 };
    let mut plan = questions.plan(out.path(), Some(one));
    let (read, drawn) = (questions.rows.len(), questions.rows.len() / 2);
    plan.intake.sample = Some(drawn);
    let report = collect(&plan, None).await.unwrap().report;
    assert_eq!((report.read, report.questions), (read as u64, 1));
    assert_eq!(report.dropped["not_sampled"], (read - drawn) as u64);
    assert!(report.dropped["not_chosen"] > 0, "{report:?}");
    assert_eq!(report.dropped.values().sum::<u64>() + 1, report.read);
}

#[tokio::test]
async fn a_teacher_that_is_not_there_drops_nothing() {
    let (questions, out) = (Questions::new(24).await, tempfile::tempdir().unwrap());
    let dead = questions.rows.iter().map(|row| (row.question.clone(), Fault::Dead)).collect();
    let (_, teacher) = questions.teacher(dead);
    let plan = questions.plan(out.path(), None);
    let error = collect(&plan, Some(&teacher)).await.unwrap_err();
    assert!(matches!(&error, DatasetError::Teacher { reason, .. } if reason.contains("refused")), "{error}");
    let (script, teacher) = questions.teacher(HashMap::new());
    let collected = collect(&plan, Some(&teacher)).await.unwrap();
    assert_eq!(script.questions.load(Ordering::Relaxed), collected.questions.len());
}

#[tokio::test]
async fn what_failed_for_anothers_sake_is_asked_again_and_what_was_decided_is_not() {
    let (questions, out) = (Questions::new(24).await, tempfile::tempdir().unwrap());
    let dead = questions.rows[..3].iter().map(|row| (row.question.clone(), Fault::Dead)).collect();
    let (_, teacher) = questions.teacher(dead);
    let plan = questions.plan(out.path(), None);
    let first = collect(&plan, Some(&teacher)).await.unwrap();
    let failed = first.report.dropped["teacher_failed"];
    assert!(failed > 0);
    let (script, teacher) = questions.teacher(HashMap::new());
    let second = collect(&plan, Some(&teacher)).await.unwrap();
    assert_eq!(script.questions.load(Ordering::Relaxed) as u64, failed);
    assert_eq!(second.trajectories.len() as u64, first.trajectories.len() as u64 + failed);
}

#[tokio::test]
async fn a_source_is_not_written_over() {
    let questions = Questions::new(6).await;
    let out = questions.folder.path();
    let mut plan = questions.plan(out, None);
    plan.source.file = out.join("questions.jsonl");
    let before = std::fs::read(&plan.source.file).unwrap();
    let error = collect(&plan, None).await.unwrap_err();
    assert!(error.to_string().contains("write over it"), "{error}");
    assert_eq!(std::fs::read(&plan.source.file).unwrap(), before);
}

#[tokio::test]
async fn a_killed_build_goes_on_and_asks_nothing_twice() {
    let (questions, whole) = (Questions::new(24).await, tempfile::tempdir().unwrap());
    let faults: HashMap<String, Fault> = [(questions.rows[1].question.clone(), Fault::Wrong)].into();
    let half = Some(Balance { count: None, search_free: Some(0.5), per_category: None, seed: 5 });
    let (script, teacher) = questions.teacher(faults.clone());
    let first = collect(&questions.plan(whole.path(), half), Some(&teacher)).await.unwrap();
    let asked = script.questions.load(Ordering::Relaxed);
    let decisions = std::fs::read(whole.path().join("decisions.jsonl")).unwrap();
    for part in [0, 1, 2, 3] {
        let out = tempfile::tempdir().unwrap();
        let cut = &decisions[..decisions.len() * part / 3 - usize::from(part == 3)];
        std::fs::write(out.path().join("decisions.jsonl"), cut).unwrap();
        let decided = cut.iter().filter(|byte| **byte == b'\n').count().saturating_sub(1);
        let (script, teacher) = questions.teacher(faults.clone());
        let again = collect(&questions.plan(out.path(), half), Some(&teacher)).await.unwrap();
        assert_eq!(script.questions.load(Ordering::Relaxed), asked - decided);
        assert_eq!(again.report, first.report);
        for name in ["questions.jsonl", "trajectories.jsonl", "report.json", "report.md"] {
            let bytes = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
            assert_eq!(bytes(out.path()), bytes(whole.path()), "{name}");
        }
    }
}

/// Written for tests/dataset/read.py as well, where LOUPE_DATASET_OUT says where to.
#[tokio::test]
async fn other_trainers_files_hold_every_row() {
    let (questions, out) = (Questions::new(40).await, tempfile::tempdir().unwrap());
    let out = std::env::var_os("LOUPE_DATASET_OUT").map_or(out.path().to_owned(), Into::into);
    let (_, teacher) = questions.teacher(HashMap::new());
    let collected = collect(&questions.plan(&out, None), Some(&teacher)).await.unwrap();
    let written = llama_factory::write(&out, &collected.trajectories).unwrap();
    assert_eq!(written, collected.trajectories.len() as u64);
    let dialect = dialect::by_name("deepmm").unwrap();
    let limits = PixelLimits { max_pixels: 50_176, ..PixelLimits::default() };
    let prompts = verl::Prompts { dialect: dialect.as_ref(), limits, split: "test" };
    verl::write(&out, &collected.questions, &prompts).unwrap();
    // verl's file is a source as well: the same questions, answers and pictures come back.
    let again = tempfile::tempdir().unwrap();
    let source = Source {
        file: out.join("verl.parquet"),
        layout: Layout::MmsearchR1,
        annotations: None,
        images: out.clone(),
    };
    let back = intake(again.path()).take(&source).unwrap().records;
    let essence = |rows: &[Record]| -> Vec<(String, String, String, Vec<String>, String)> {
        let essence = |row: &Record| {
            (row.id.clone(), row.question.clone(), row.answer.clone(), row.aliases.clone(), row.image.clone())
        };
        rows.iter().map(essence).collect()
    };
    assert_eq!(essence(&back), essence(&collected.questions));
}
