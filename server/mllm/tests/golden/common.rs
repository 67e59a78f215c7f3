//! The golden checkpoints under `tests/golden/qwen2_5_vl`, made by its `generate.py`.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use loupe_mllm::checkpoint::Files;
use loupe_mllm::engine::{Message, Part, Role};
use loupe_mllm::{Engine, Error, Limits, Loaded, Served, WeightFormat};
use loupe_shared::pixels::Rgb8;
use serde::Deserialize;

/// Both checkpoints: f32 in one file with the hub's keys and tied embeddings; bf16 in shards with module keys, untied.
pub(crate) const CHECKPOINTS: [&str; 2] = ["tied", "untied"];

/// A message of `cases.json`.
#[derive(Deserialize)]
pub(crate) struct Turn {
    role: String,
    images: Vec<String>,
    text: String,
}

/// The folder of a checkpoint.
pub(crate) fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/qwen2_5_vl").join(name)
}

/// Opens a checkpoint.
pub(crate) fn open(name: &str) -> Loaded {
    open_folder(&folder(name)).expect("a valid checkpoint")
}

/// An engine over a checkpoint.
pub(crate) fn start(name: &str) -> Engine {
    start_within(name, Limits::default())
}

/// An engine that may not use more than `limits`.
pub(crate) fn start_within(name: &str, limits: Limits) -> Engine {
    Engine::start(serving(&folder(name)).expect("a valid checkpoint"), limits).expect("a thread")
}

/// Opens whatever lies in a folder, for decoding.
pub(crate) fn serving(path: &Path) -> Result<Loaded<Served>, Error> {
    serving_in(path, WeightFormat::Stored)
}

/// Opens whatever lies in a folder, for decoding with weights in a format.
pub(crate) fn serving_in(path: &Path, format: WeightFormat) -> Result<Loaded<Served>, Error> {
    Loaded::open_for_serving(&Files::folder(path), format)
}

/// Opens whatever lies in a folder.
pub(crate) fn open_folder(path: &Path) -> Result<Loaded, Error> {
    Loaded::open(&Files::folder(path), &Device::Cpu)
}

/// The conversations of a checkpoint by name.
pub(crate) fn conversations(name: &str) -> BTreeMap<String, Vec<Message>> {
    let json = std::fs::read(folder(name).join("cases.json")).expect("cases.json");
    let cases: BTreeMap<String, Vec<Turn>> = serde_json::from_slice(&json).expect("a map of turns");
    cases
        .into_iter()
        .map(|(case, turns)| (case, turns.iter().map(|turn| message(name, turn)).collect()))
        .collect()
}

fn message(name: &str, turn: &Turn) -> Message {
    let role = match turn.role.as_str() {
        "system" => Role::System,
        "assistant" => Role::Assistant,
        _ => Role::User,
    };
    let pictures = turn.images.iter().map(|file| Part::Image(picture(name, file)));
    Message { role, parts: pictures.chain([Part::Text(turn.text.clone())]).collect() }
}

/// A picture of a checkpoint's folder.
pub(crate) fn picture(name: &str, file: &str) -> Arc<Rgb8> {
    let decoded = image::open(folder(name).join("pictures").join(file)).expect("a picture").into_rgb8();
    let (width, height) = decoded.dimensions();
    Arc::new(Rgb8::new(width, height, decoded.into_raw()).expect("whole pixels"))
}

/// What transformers computed, by `conversation.value`.
pub(crate) fn expected(name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(folder(name).join("expected.safetensors"), &Device::Cpu)
        .expect("expected.safetensors")
}

/// The largest difference as a part of the largest magnitude expected.
pub(crate) fn relative_difference(got: &Tensor, expected: &Tensor) -> f32 {
    assert_eq!(got.dims(), expected.dims());
    let number = |tensor: candle_core::Result<Tensor>| {
        tensor.and_then(|t| t.flatten_all()?.max(0)?.to_scalar::<f32>()).expect("a number")
    };
    number((got - expected).and_then(|t| t.abs())) / number(expected.abs())
}
