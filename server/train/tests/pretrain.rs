//! A whole run on a toy: it learns, it resumes on the same curve, and what it exports is what it trained.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use loupe_mllm::checkpoint::{Files, Store, read_config};
use loupe_mllm::engine::{Message, Part, Role};
use loupe_mllm::model::{Positions, Qwen2_5Vl};
use loupe_shared::pixels::Rgb8;
use loupe_train::error::Result;
use loupe_train::learn::example::{Example, ExampleSource, Seen, SeenClasses, Turn};
use loupe_train::learn::log::Line;
use loupe_train::learn::machine::Machine;
use loupe_train::learn::stop::Stop;
use loupe_train::pretrain::recipe::{Length, Recipe};
use loupe_train::pretrain::run::{MODEL, Run};

const COLOURS: [(&str, [u8; 3]); 2] = [("red", [220, 30, 30]), ("blue", [30, 30, 220])];

/// Steps of the whole run.
const STEPS: u64 = 480;

/// Names to repeat, and pictures whose colour is asked for.
struct Toy;

impl ExampleSource for Toy {
    fn example(&self, index: u64) -> Result<Example> {
        let message = |message, weight| Turn::Message { message, weight };
        if index.is_multiple_of(2) {
            let name = ["Oslo", "Lima", "Rome", "Bonn"][(index / 2 % 4) as usize];
            let ask = Message::text(Role::User, format!("Say {name}"));
            let turns = vec![message(ask, 0.0), message(Message::text(Role::Assistant, name), 1.0)];
            return Ok(Example { kind: "say", turns, seen: Vec::new() });
        }
        let (name, colour) = COLOURS[(index / 2 % 2) as usize];
        let picture = picture(colour);
        let parts = vec![Part::Image(Arc::new(picture)), Part::Text("Which colour?".into())];
        let ask = Message { role: Role::User, parts };
        let turns = vec![message(ask, 0.0), message(Message::text(Role::Assistant, name), 1.0)];
        let seen = vec![Seen {
            class: 1 + (index / 2 % 2) as u16,
            traits: [None, None],
            bounds: [0.0, 0.0, 0.5, 0.5],
        }];
        Ok(Example { kind: "colour", turns, seen })
    }

    fn seen_classes(&self) -> SeenClasses {
        SeenClasses { classes: 3, traits: [0, 0] }
    }
}

/// Grey, with a coloured quarter at the top left.
fn picture(colour: [u8; 3]) -> Rgb8 {
    let pixel = |at: usize| if at % 56 < 28 && at / 56 < 28 { colour } else { [128; 3] };
    Rgb8::new(56, 56, (0..56 * 56).flat_map(pixel).collect()).expect("three bytes a pixel")
}

fn recipe(steps: u64) -> Recipe {
    let recipe = serde_json::json!({
        "name": "toy", "about": "A toy.", "dialect": "deepmm", "seed": 5,
        "model": {
            "hidden": 32, "layers": 2, "heads": 4, "kv_heads": 2, "intermediate": 48, "mrope_section": [1, 1, 2],
            "rope_theta": 1e4, "max_positions": 256,
            "vision": { "depth": 2, "hidden": 32, "heads": 2, "intermediate": 48, "window": 112, "full_attention": [1] },
        },
        "tokenizer": { "vocab": 1300, "examples": 64, "whole": ["<answer>"] },
        "max_pixels": 3136, "init_deviation": 0.05,
        "schedule": { "peak": 0.003, "warmup_steps": 4, "decay": "cosine" },
        "length": { "steps": 1 },
        "batch": { "tokens": 512, "pictures": 4, "max_length": 128, "pool": 16 },
        "dense_weight": 1.0, "save_minutes": 60, "log_steps": 1, "mixture": {},
    });
    let mut recipe: Recipe = serde_json::from_value(recipe).expect("a recipe");
    recipe.length = Length::Steps(steps);
    recipe
}

fn train(recipe: &Recipe, out: &Path, resume: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut run = Run::new(recipe, Arc::new(Toy), out, resume).expect("a run");
    run.train(Stop::default(), |line| lines.push(line.clone())).expect("training");
    lines
}

/// Logits of a conversation with a picture.
fn logits(model: &Qwen2_5Vl, ids: &[u32], image: u32) -> Vec<f32> {
    let grid = loupe_mllm::model::Grid { rows: 4, columns: 4 };
    let values: Vec<f32> = (0..16 * 1176).map(|i| (i % 29) as f32 / 29.0 - 0.5).collect();
    let patches = Tensor::from_vec(values, (16, 1176), &Device::Cpu).expect("patches");
    let run = || -> candle_core::Result<Vec<f32>> {
        let pictures = model.vision(&patches, &[grid])?;
        let words = model.embed(&Tensor::new(ids, &Device::Cpu)?)?;
        let is_image: Vec<bool> = ids.iter().map(|id| *id == image).collect();
        let embeds = loupe_mllm::model::splice(&words, &pictures, &is_image)?.unsqueeze(0)?;
        let positions = Positions::of(ids, image, &[grid]).expect("one picture");
        let rotary = model.rotary(&[positions], ids.len())?;
        model.logits(&model.forward(&embeds, &rotary, None)?)?.flatten_all()?.to_vec1()
    };
    run().expect("logits")
}

#[test]
fn it_learns_resumes_and_exports_what_it_trained() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = train(&recipe(STEPS), &folder.path().join("whole"), false);
    let mean = |lines: &[Line], of: fn(&Line) -> Option<f64>| {
        let values: Vec<f64> = lines.iter().filter_map(of).collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let (first, last) = (&whole[..10], &whole[whole.len() - 10..]);
    for of in [|line: &Line| Some(line.loss), |line: &Line| line.dense] {
        let (before, after) = (mean(first, of), mean(last, of));
        assert!(after < before * 0.4, "{before} {after}");
    }
    assert!(mean(last, |line| line.kinds.get("say/1")?.exact) > 0.9);
    assert!(mean(last, |line| line.kinds.get("colour/1")?.exact) > 0.9);

    // The same run in two halves: the second half is the same curve, to the last bit.
    let halves = folder.path().join("halves");
    let stopped = recipe(STEPS);
    let mut first = Run::new(&stopped, Arc::new(Toy), &halves, false).expect("a run");
    let mut lines = Vec::new();
    let until = Stop { steps: Some(STEPS / 2 + 15), ..Stop::default() };
    first.train(until, |line| lines.push(line.clone())).expect("training");
    drop(first);
    assert!(Run::new(&stopped, Arc::new(Toy), &halves, false).is_err(), "a run is there already");
    lines.extend(train(&recipe(STEPS), &halves, true));
    let curve =
        |lines: &[Line]| lines.iter().map(|line| (line.step, line.loss, line.grad_norm)).collect::<Vec<_>>();
    assert_eq!(curve(&lines), curve(&whole));

    let run = Run::new(&stopped, Arc::new(Toy), &halves, true).expect("a run");
    let may = |file| std::fs::metadata(halves.join(MODEL).join(file)).expect("a file").permissions();
    assert_eq!(may("model.safetensors"), may("config.json"));
    // transformers' class for Qwen2 would cut words its own way.
    let tokenizer = std::fs::read(halves.join(MODEL).join("tokenizer_config.json")).expect("a file");
    let tokenizer: serde_json::Value = serde_json::from_slice(&tokenizer).expect("JSON");
    assert_eq!(tokenizer["tokenizer_class"], "PreTrainedTokenizerFast");
    assert!(halves.join(MODEL).join("chat_template.jinja").exists(), "processors look for it there");
    let files = Files::folder(&halves.join(MODEL));
    let config = read_config(&files).expect("config.json");
    let store = Store::open(&files, &Device::Cpu).expect("weights");
    let exported = Qwen2_5Vl::load(&config, &store).expect("the exported model");
    let image = config.tokens.image;
    let ids = [config.tokens.start, image, image, image, image, config.tokens.end, 40, 41, 42];
    let Machine::Cpu(trained) = &run.learner().model else { panic!("it is trained on the CPU") };
    let (trained, exported) = (logits(trained, &ids, image), logits(&exported, &ids, image));
    let largest = trained.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    for (trained, exported) in trained.iter().zip(&exported) {
        assert!((trained - exported).abs() < 0.02 * largest, "{trained} {exported} of {largest}");
    }
}
