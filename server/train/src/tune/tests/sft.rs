//! Runs of a few steps, and what they learn from.

use std::path::Path;
use std::sync::Arc;

use loupe_mllm::adapter::Adapter;
use loupe_mllm::chat::Chat;
use loupe_mllm::checkpoint::{Files, Fingerprint};
use loupe_mllm::engine::{Message, Role};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{SOME, adapter, adapter_in, base, golden, only, recipe, shape};
use crate::error::Result;
use crate::learn::batch::{Batch, BatchRecipe, Place};
use crate::learn::checkpoint::Progress;
use crate::learn::example::{Example, ExampleSource, Turn};
use crate::learn::log::Line;
use crate::learn::optim::AdamWConfig;
use crate::learn::schedule::Schedule;
use crate::learn::sequence::Sequence;
use crate::learn::step::StepReport;
use crate::learn::stop::Stop;
use crate::tune::lora;
use crate::tune::recipe::{EarlyStop, SftRecipe};
use crate::tune::records::Records;
use crate::tune::sft::{ADAPTER, Data, Ended, Sft};

const SEARCHED: &str = "<reason>Whose?</reason>\n<text_search>Oslo</text_search>";
const ANSWERED: &str = "<reason>The page says it.</reason>\n<answer>Oslo</answer>";

/// A row with a conversation: who says what, and its weight.
fn row(conversation: &[(&str, &str, f32)]) -> Value {
    let message =
        |(role, text, weight): &(&str, &str, f32)| json!({ "role": role, "text": text, "weight": weight });
    let messages: Vec<Value> = conversation.iter().map(message).collect();
    let image = golden("tied/pictures/small.png");
    json!({ "question": "Where?", "answer": "Oslo", "image": image, "messages": messages })
}

/// A folder with rows.
fn rows(rows: &[Value]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<String> = rows.iter().map(ToString::to_string).collect();
    std::fs::write(folder.path().join("trajectories.jsonl"), lines.join("\n")).unwrap();
    folder
}

pub(super) fn records(folder: &Path) -> Records {
    Records::open(&folder.join("trajectories.jsonl"), 3).unwrap()
}

/// Three rows, which are one batch of [`recipe`].
pub(super) fn flags() -> TempDir {
    let asked = |question: &str, answer: &str| row(&[("user", question, 0.0), ("assistant", answer, 1.0)]);
    rows(&[
        asked("Which flag is on the left?", "<answer>Oslo</answer>"),
        asked("Where is the ball?", ANSWERED),
        asked("Which colour?", "<answer>red</answer>"),
    ])
}

/// Trains in the folder `out` beside the rows, which are also the development set, to the end or for so many steps; goes
/// on with a run that is there.
fn train(recipe: &SftRecipe, folder: &Path, out: &str, steps: Option<u64>) -> (Vec<Line>, Ended, Progress) {
    let out = folder.join(out);
    let data = Data { train: Arc::new(records(folder)), dev: Some(records(folder)) };
    let base = base(&recipe.lora, recipe.optimiser);
    let mut run = Sft::new(recipe, base, data, None, &out, out.exists()).unwrap();
    let mut lines = Vec::new();
    let ended = run.train(Stop { steps, ..Stop::default() }, |line| lines.push(line.clone())).unwrap();
    (lines, ended, run.progress())
}

/// An adapter that a run left.
fn left(folder: &TempDir, name: &str) -> Adapter {
    adapter_in(&folder.path().join(name), "tied")
}

/// A recipe whose every step makes the loss larger.
fn climbing(patience: u32) -> SftRecipe {
    let schedule = Schedule { peak: -0.003, ..recipe().schedule };
    SftRecipe { schedule, epochs: 9.0, early_stop: EarlyStop { every: 1, patience }, ..recipe() }
}

#[test]
fn a_run_that_gets_no_better_ends_early_and_keeps_the_best() {
    let folder = flags();
    let (lines, ended, progress) = train(&climbing(2), folder.path(), "whole", None);
    assert_eq!((ended, progress.step, lines.len()), (Ended::Early, 3, 3));
    let best = progress.best.unwrap();
    assert_eq!((best.step, best.worse, Some(best.loss)), (1, 2, lines[0].dev));
    assert!(lines[2].dev > lines[0].dev, "it gets worse");

    let (_, ended, _) = train(&climbing(2), folder.path(), "first", Some(1));
    assert_eq!(ended, Ended::Stopped);
    assert!(left(&folder, "whole/best") == left(&folder, "first/adapter"), "that of the first step");
    assert!(left(&folder, "whole/best") != left(&folder, "whole/adapter"));
}

#[test]
fn a_run_that_ended_early_goes_on_only_with_more_patience() {
    let folder = flags();
    let run = |patience| {
        let (lines, ended, progress) = train(&climbing(patience), folder.path(), "run", None);
        (lines.len(), ended, progress.step)
    };
    assert_eq!(run(1), (2, Ended::Early, 2));
    assert_eq!(run(1), (0, Ended::Early, 2));
    assert_eq!(run(2), (1, Ended::Early, 3));
}

#[test]
fn a_run_that_gets_better_reads_every_epoch_and_its_last_is_its_best() {
    let folder = flags();
    let (lines, ended, progress) = train(&recipe(), folder.path(), "run", None);
    assert_eq!((ended, lines.len(), progress.examples), (Ended::Complete, 3, 9));
    assert_eq!(progress.best.map(|best| (best.step, best.worse)), Some((3, 0)));
    assert!(left(&folder, "run/best") == left(&folder, "run/adapter"));
}

#[test]
fn a_run_with_some_targets_trains_and_saves_only_these() {
    let folder = flags();
    let recipe = SftRecipe { lora: only(&["q_proj", "gate_proj"]), epochs: 1.0, ..recipe() };
    train(&recipe, folder.path(), "run", None);
    let adapter = left(&folder, "run/adapter");
    assert_eq!(adapter.modules().collect::<Vec<_>>(), SOME);
    for module in SOME {
        let changes = adapter.pair(module).unwrap().b.iter().any(|value| *value != 0.0);
        assert!(changes, "{module} was not trained");
    }
    let config = std::fs::read(folder.path().join("run/adapter/adapter_config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["target_modules"], json!(SOME.map(|module| module.replacen("model.", "", 1))));
}

#[test]
fn the_rate_falls_from_step_to_step_within_a_pool_too() {
    let folder = flags();
    // Every row is a batch, and all are one pool.
    let batch = BatchRecipe { tokens: 1, ..recipe().batch };
    let recipe = SftRecipe { epochs: 1.0, batch, ..recipe() };
    let (lines, _, progress) = train(&recipe, folder.path(), "run", None);
    let peak = recipe.schedule.peak;
    assert_eq!((lines.len(), progress.place.pool), (3, 1));
    for (line, part) in lines.iter().zip([1.0, 2.0 / 3.0, 1.0 / 3.0]) {
        assert!(near(line.rate, peak * (0.05 + 0.95 * part)), "{} at {part}", line.rate);
    }
}

#[test]
fn half_an_epoch_is_half_of_the_rows() {
    let folder = flags();
    let batch = BatchRecipe { tokens: 1, ..recipe().batch };
    let recipe = SftRecipe { epochs: 2.0 / 3.0, batch, ..recipe() };
    let (_, ended, progress) = train(&recipe, folder.path(), "run", None);
    assert_eq!((ended, progress.examples), (Ended::Complete, 2));
}

#[test]
fn a_session_ends_where_a_line_does_so_that_the_next_has_the_same_lines() {
    let folder = flags();
    let batch = BatchRecipe { tokens: 1, ..recipe().batch };
    let early_stop = EarlyStop { every: 99, patience: 1 };
    let recipe = SftRecipe { batch, early_stop, log_steps: 2, ..recipe() };
    let (whole, ..) = train(&recipe, folder.path(), "whole", None);
    let (mut lines, ended, progress) = train(&recipe, folder.path(), "halves", Some(3));
    assert_eq!((ended, progress.step), (Ended::Stopped, 4));
    lines.extend(train(&recipe, folder.path(), "halves", None).0);
    let losses = |lines: &[Line]| lines.iter().map(|line| (line.step, line.loss)).collect::<Vec<_>>();
    assert_eq!(losses(&lines), losses(&whole));
}

#[test]
fn rows_that_cannot_be_learnt_as_they_are_meant_are_refused_with_line_and_field() {
    let good = row(&[("user", "Where?", 0.0), ("assistant", ANSWERED, 1.0)]);
    let refused = |field: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(field).unwrap() = value;
        let folder = rows(&[good.clone(), bad]);
        let path = folder.path().join("trajectories.jsonl");
        Records::open(&path, 3).map(|_| ()).unwrap_err().to_string()
    };
    for (field, value, named) in [
        ("/messages/0/weight", json!(1.0), "messages[0].weight"),
        ("/messages/1/weight", json!(-1.0), "messages[1].weight"),
        ("/messages/1/weight", json!(1e39), "messages[1].weight"),
        (
            "/messages/0",
            json!({ "role": "user", "text": "", "weight": 0, "pictures": ["region"] }),
            "`region`",
        ),
    ] {
        let said = refused(field, value);
        assert!(said.contains("line 2") && said.contains(named), "{said}");
    }
}

#[test]
fn a_recipe_that_would_spoil_the_weights_is_refused_with_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.json");
    for (field, value) in [
        ("save_minutes", json!(-1.0)),
        ("optimiser", json!({ "beta2": 1.0 })),
        ("schedule", json!({ "peak": 0.0, "warmup_steps": 1, "decay": "cosine" })),
    ] {
        let mut bad = serde_json::to_value(recipe()).unwrap();
        bad[field] = value;
        std::fs::write(&path, bad.to_string()).unwrap();
        let said = SftRecipe::read(&path).unwrap_err().to_string();
        assert!(said.contains(field), "{said}");
    }
}

/// A run that goes on from an adapter.
fn started<'a>(recipe: &'a SftRecipe, folder: &Path, start: &Adapter) -> Result<Sft<'a>> {
    let data = Data { train: Arc::new(records(folder)), dev: None };
    Sft::new(recipe, base(&recipe.lora, recipe.optimiser), data, Some(start), &folder.join("run"), false)
}

#[test]
fn a_run_begins_with_the_adapter_that_it_starts_from() {
    let (folder, recipe, start) = (flags(), recipe(), adapter("tied", "all"));
    let mut run = started(&recipe, folder.path(), &start).unwrap();
    let ended = run.train(Stop { steps: Some(0), ..Stop::default() }, |_| ()).unwrap();
    assert_eq!(ended, Ended::Stopped);
    let left = adapter_in(&folder.path().join("run").join(ADAPTER), "tied");
    assert!(start.modules().eq(left.modules()));
    for module in start.modules() {
        assert_eq!(start.pair(module), left.pair(module), "{module}");
    }
}

#[test]
fn a_run_that_started_from_an_adapter_does_not_go_on_without_it() {
    let (folder, recipe) = (flags(), recipe());
    drop(started(&recipe, folder.path(), &adapter("tied", "all")).unwrap());
    let data = Data { train: Arc::new(records(folder.path())), dev: None };
    let base = base(&recipe.lora, recipe.optimiser);
    let run = Sft::new(&recipe, base, data, None, &folder.path().join("run"), true);
    let said = run.map(|_| ()).unwrap_err().to_string();
    assert!(said.contains("start: ") && said.contains("nothing now"), "{said}");
}

#[test]
fn a_run_does_not_start_from_an_adapter_of_other_weights() {
    let (folder, recipe) = (flags(), recipe());
    let others = Fingerprint::of(&Files::folder(&golden("untied"))).unwrap();
    let start = adapter("tied", "all").made_for(others);
    let said = started(&recipe, folder.path(), &start).map(|_| ()).unwrap_err().to_string();
    assert!(said.contains("made for other weights"), "{said}");
    assert!(!folder.path().join("run").exists(), "what is refused leaves nothing behind");
}

/// A step of the model with peft's adapter: what it found, and the gradients by which it moved.
fn step(batches: &[Batch]) -> (StepReport, Vec<f32>) {
    let mut base = base(&shape(), AdamWConfig { clip: 1e9, ..AdamWConfig::default() });
    lora::take(&adapter("tied", "all"), &base.learner.params, &shape()).unwrap();
    let report = base.learner.step(batches, 0.001, 0).unwrap();
    // After one step the means are the gradients but for a factor.
    let means = base.learner.optimiser.moments().values().flat_map(|moments| moments.mean.clone());
    (report, means.collect())
}

fn spoken(chat: &Chat, asked: &str, said: &str, weight: f32) -> Sequence {
    let turn = |role, text: &str, weight| Turn::Message { message: Message::text(role, text), weight };
    let turns = vec![turn(Role::User, asked, 0.0), turn(Role::Assistant, said, weight)];
    Sequence::encode(&Example { kind: "search", turns, seen: Vec::new() }, chat).unwrap()
}

/// Whether two numbers are the same but for rounding.
fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-4 * b.abs()
}

fn norm(values: impl Iterator<Item = f32>) -> f32 {
    values.map(|value| value * value).sum::<f32>().sqrt()
}

#[test]
fn batches_of_a_step_count_by_their_targets_as_one_batch_of_both_would() {
    let chat = base(&shape(), AdamWConfig::default()).chat;
    let short = spoken(&chat, "Which flag is on the left?", "Oslo", 1.0);
    let long = spoken(&chat, "Where?", ANSWERED, 0.5);
    let batch = |sequences: &[Sequence]| Batch::new(sequences, chat.image_token, Place::default()).unwrap();
    let apart = [&short, &long].map(|sequence| batch(std::slice::from_ref(sequence)));
    let (found, gradients) = step(&apart);
    let (wanted, expected) = step(&[batch(&[short, long])]);
    assert!(near(found.loss, wanted.loss) && wanted.loss > 0.0, "{} {}", found.loss, wanted.loss);
    assert!(near(found.grad_norm, wanted.grad_norm) && wanted.grad_norm > 0.0);
    let difference = norm(gradients.iter().zip(&expected).map(|(a, b)| a - b));
    let whole = norm(expected.iter().copied());
    assert_eq!(gradients.len(), expected.len());
    assert!(difference < 1e-4 * whole, "{difference} of {whole}");
}

#[test]
fn rows_that_are_accumulated_are_a_step_as_those_of_one_batch_are() {
    let folder = flags();
    let once = SftRecipe { epochs: 1.0, ..recipe() };
    // Every row is a batch of its own.
    let batch = BatchRecipe { tokens: 1, ..once.batch };
    let split = SftRecipe { accumulate: 3, batch, ..once.clone() };
    let (whole, _, at_once) = train(&once, folder.path(), "whole", None);
    let (parts, _, in_parts) = train(&split, folder.path(), "parts", None);
    let counted = |progress: Progress| (progress.step, progress.tokens, progress.examples, progress.place);
    assert_eq!(counted(in_parts), counted(at_once));
    assert_eq!((at_once.step, at_once.examples), (1, 3));
    assert!(near(parts[0].loss, whole[0].loss), "{} {}", parts[0].loss, whole[0].loss);
    assert!(near(parts[0].grad_norm, whole[0].grad_norm), "{} {}", parts[0].grad_norm, whole[0].grad_norm);
}

/// A row as the model reads it.
fn read(row: Value) -> (Chat, Sequence) {
    let folder = rows(&[row]);
    let chat = base(&shape(), AdamWConfig::default()).chat;
    let example = records(folder.path()).example(0).unwrap();
    let sequence = Sequence::encode(&example, &chat).unwrap();
    (chat, sequence)
}

/// The tokens that are learnt, or those that are only read, as text.
fn text(chat: &Chat, sequence: &Sequence, learnt: bool) -> String {
    let tokens = sequence.ids.iter().zip(&sequence.weights);
    let ids: Vec<u32> = tokens.filter(|(_, weight)| (**weight > 0.0) == learnt).map(|(id, _)| *id).collect();
    chat.tokenizer.inner().decode(&ids, false).unwrap()
}

#[test]
fn what_the_model_should_have_written_is_learnt_to_the_end_of_each_turn_and_nothing_else() {
    let mut row = row(&[
        ("system", "You answer briefly.", 0.0),
        ("user", "Which flag?", 0.0),
        ("assistant", SEARCHED, 1.0),
        ("user", "<information>\n1. Oslo\n</information>", 0.0),
        ("assistant", ANSWERED, 1.0),
    ]);
    row["messages"][1]["pictures"] = json!(["whole"]);
    let (chat, sequence) = read(row);
    assert!(sequence.weights.iter().all(|weight| [0.0, 1.0].contains(weight)));
    assert_eq!(text(&chat, &sequence, true), format!("{SEARCHED}<|im_end|>{ANSWERED}<|im_end|>"));
    let told = text(&chat, &sequence, false);
    for part in
        ["You answer briefly.<|im_end|>", "<|image_pad|>", "Which flag?", "<information>", "assistant\n"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }

    // Each is predicted by the token before it, in the turn that it belongs to.
    let batch = Batch::new(std::slice::from_ref(&sequence), chat.image_token, Place::default()).unwrap();
    assert!(batch.targets.iter().all(|target| target.id == sequence.ids[target.row as usize + 1]));
    let of_turn = |turn: u16| {
        let ids: Vec<u32> =
            batch.targets.iter().filter(|target| target.turn == turn).map(|target| target.id).collect();
        chat.tokenizer.decode(&ids).unwrap()
    };
    assert_eq!([of_turn(0), of_turn(1), of_turn(2)], ["", SEARCHED, ANSWERED]);
}

#[test]
fn a_turn_counts_as_much_as_its_row_says() {
    let (chat, sequence) = read(row(&[
        ("user", "Where?", 0.0),
        ("assistant", SEARCHED, 0.0),
        ("user", "And now?", 0.0),
        ("assistant", ANSWERED, 0.5),
    ]));
    assert_eq!(text(&chat, &sequence, true), format!("{ANSWERED}<|im_end|>"));
    assert!(sequence.weights.iter().all(|weight| [0.0, 0.5].contains(weight)));
}
