//! The evaluation, with models that say what they are told to.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use loupe_mllm::engine::{Completion, Decoder, EngineError, Finish, GenerateRequest, ModelInfo, Role};
use loupe_search::local::{LocalImage, LocalText};
use loupe_shared::protocol::Workflow;
use loupe_train::atlas::Split;
use loupe_train::dataset::file;
use loupe_train::dataset::record::{Record, RecordRole};
use loupe_train::eval::report::{Report, Summary};
use loupe_train::eval::run::Evaluation;
use tokio::sync::mpsc::UnboundedSender;

use super::{dataset, index, text_of};

/// Says again what the oracle said of one question; `spoil` changes it.
struct Replay {
    info: ModelInfo,
    row: Record,
    spoil: fn(String) -> String,
}

impl Replay {
    fn new(row: Record, spoil: fn(String) -> String) -> Self {
        let info = ModelInfo {
            name: "replay".to_owned(),
            dialect: "deepmm".to_owned(),
            about: String::new(),
            min_pixels: 3_136,
            max_pixels: 50_176,
            context: 4_096,
            adapters: Vec::new(),
        };
        Self { info, row, spoil }
    }

    fn said(&self, request: &GenerateRequest) -> String {
        let first = text_of(&request.messages[0]);
        if first.starts_with("Locate:") {
            return r#"{"bbox_2d": [0, 0, 224, 224]}"#.to_owned();
        }
        let turn = request.messages.iter().filter(|m| m.role == Role::Assistant).count();
        let mut own = self.row.messages.iter().filter(|m| m.role == RecordRole::Assistant);
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
        let text = (self.spoil)(self.said(&request));
        // Nobody has to listen.
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

async fn measured(spoil: fn(String) -> String) -> Summary {
    let folder = tempfile::tempdir().unwrap();
    dataset::made(Split::Test, 16, 0.4, folder.path()).await;
    let rows = file::read(&folder.path().join("trajectories.jsonl")).unwrap();
    let (text, image) = (Arc::new(LocalText::new(index())), Arc::new(LocalImage::new(index())));
    let mut scored = Vec::new();
    for row in rows {
        let decoder = Arc::new(Replay::new(row.clone(), spoil));
        let evaluation = Evaluation::new(decoder, None, text.clone(), image.clone()).unwrap();
        scored.push(evaluation.score(&row, folder.path(), Workflow::Agent).await.unwrap());
    }
    let mut report = Report::new("replay", "questions.jsonl");
    report.add("agent", scored);
    report.write(folder.path()).unwrap();
    assert!(folder.path().join("report.json").is_file());
    let markdown = std::fs::read_to_string(folder.path().join("report.md")).unwrap();
    assert!(markdown.contains("| all questions |"), "{markdown}");
    report.summaries.remove("agent").unwrap()
}

#[tokio::test]
async fn a_model_that_says_what_is_right_is_right() {
    let summary = measured(|text| text).await;
    assert_eq!(summary.all.right, summary.all.all, "{summary:?}");
    assert!(summary.searched.all > 0 && summary.search_free.all > 0);
    assert_eq!(summary.grammar.right, summary.grammar.all);
    assert_eq!(summary.tool_use.right, summary.tool_use.all);
    let hops: u64 = summary.by_hops.iter().map(|(hops, tally)| u64::from(*hops) * tally.all).sum();
    assert_eq!(summary.searches[1], hops);
}

#[tokio::test]
async fn a_model_that_answers_something_else_is_wrong() {
    let summary = measured(|text| match text.split_once("<answer>") {
        Some((before, _)) => format!("{before}<answer>Atlantis</answer>"),
        None => text,
    })
    .await;
    assert_eq!(summary.all.right, 0);
    assert_eq!(summary.grammar.right, summary.grammar.all);
}

#[tokio::test]
async fn a_model_without_grammar_is_seen() {
    let summary = measured(|_| "I do not know".to_owned()).await;
    assert_eq!((summary.all.right, summary.grammar.right), (0, 0));
    assert!(!summary.failures.is_empty());
}
