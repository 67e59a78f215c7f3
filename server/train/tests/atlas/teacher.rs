//! A teacher over questions from outside: what is kept, what is not, and that a killed build goes on.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use loupe_agent::dialect;
use loupe_mllm::engine::{Completion, Decoder, EngineError, Finish, GenerateRequest, ModelInfo, Role};
use loupe_search::local::{LocalImage, LocalText};
use loupe_shared::pixels::PixelLimits;
use loupe_train::atlas::Split;
use loupe_train::dataset::collect::{Collected, SourcePlan, collect};
use loupe_train::dataset::formats::{llama_factory, verl};
use loupe_train::dataset::intake::Intake;
use loupe_train::dataset::record::{Record, RecordRole};
use loupe_train::dataset::select::Balance;
use loupe_train::dataset::source::{Layout, Source};
use loupe_train::dataset::teacher::{Limits, Teacher};
use loupe_train::dataset::{DatasetError, file};
use tokio::sync::mpsc::UnboundedSender;

use super::{dataset, index, text_of};

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
        let asked = first.strip_prefix("Question: ")?.lines().next()?;
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
        Ok(match self.faults.get(&row.question) {
            None => right,
            Some(Fault::Wrong) => "<reason>So.</reason>\n<answer>Atlantis</answer>".to_owned(),
            Some(Fault::Nonsense) => "As a large language model I see <b>flags</b>".to_owned(),
            Some(Fault::Dead) => return Err(EngineError::Unreachable("connection refused".to_owned())),
            Some(Fault::Twice) => {
                "<reason>Look.</reason>\n<text_search>capital of Norway</text_search>".to_owned()
            }
            Some(Fault::Endless) => format!("<reason>On.</reason>\n<text_search>page {turn}</text_search>"),
            Some(Fault::Silent) => String::new(),
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
        Ok(Completion {
            text,
            finish: Finish::EndOfTurn,
            prompt_tokens: 1,
            reused_tokens: 0,
            generated_tokens: 1,
            first_token: Duration::ZERO,
            decoding: Duration::ZERO,
        })
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
        let script = Arc::new(Script::new(&self.rows, faults));
        let (text, image) = (Arc::new(LocalText::new(index())), Arc::new(LocalImage::new(index())));
        let limits = Limits { max_turns: 5, timeout: Duration::from_secs(2), retries: 1 };
        (script.clone(), Arc::new(Teacher::new(script, text, image, limits).unwrap()))
    }
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
