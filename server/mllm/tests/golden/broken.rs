//! Broken checkpoints are refused with the file, the tensor and what was expected.

use std::path::{Path, PathBuf};

use crate::common::{folder, open_folder, serving};
use loupe_mllm::engine::{Decoder, EngineError, GenerateRequest, Message, Role, Sampling};
use loupe_mllm::{Engine, Error, Limits};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

const WEIGHTS: &str = "model.safetensors";
const SECOND_SHARD: &str = "model-00002-of-00003.safetensors";

/// A copy of a golden checkpoint to damage.
pub(crate) fn copy(name: &str) -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    for entry in std::fs::read_dir(folder(name)).expect("the checkpoint").flatten() {
        if entry.path().is_file() && entry.file_name() != "expected.safetensors" {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a copy");
        }
    }
    copy
}

fn refusal(path: &Path) -> Error {
    open_folder(path).expect_err("a refusal")
}

/// Changes a JSON file.
pub(crate) fn edit(path: PathBuf, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
    change(&mut value);
    std::fs::write(path, value.to_string()).expect("written");
}

/// Rewrites the header of a safetensors file, leaving the data as it is.
pub(crate) fn edit_header(path: PathBuf, change: impl FnOnce(&mut Value)) {
    let bytes = std::fs::read(&path).expect("a file");
    let size = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + size]).expect("a header");
    change(&mut header);
    let header = header.to_string();
    let mut changed = (header.len() as u64).to_le_bytes().to_vec();
    changed.extend(header.as_bytes());
    changed.extend(&bytes[8 + size..]);
    std::fs::write(path, changed).expect("written");
}

#[test]
fn the_copies_are_whole() {
    for name in crate::common::CHECKPOINTS {
        assert!(open_folder(copy(name).path()).is_ok(), "{name}");
    }
}

#[test]
fn a_truncated_file_names_both_lengths() {
    for (name, file) in [("tied", WEIGHTS), ("untied", SECOND_SHARD)] {
        let copy = copy(name);
        let path = copy.path().join(file);
        let whole = std::fs::read(&path).expect("weights");
        for length in [0, 5, 8, 300, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).expect("written");
            let error = refusal(copy.path());
            assert!(matches!(&error, Error::BadFile { file, .. } if *file == path), "{length}: {error}");
            assert!(error.to_string().contains(&length.to_string()), "{length}: {error}");
        }
    }
}

#[test]
fn a_header_that_claims_too_much_is_refused() {
    let copy = copy("tied");
    let path = copy.path().join(WEIGHTS);
    let mut bytes = std::fs::read(&path).expect("weights");
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    std::fs::write(&path, bytes).expect("written");
    assert!(matches!(refusal(copy.path()), Error::BadFile { .. }));
}

#[test]
fn a_missing_tensor_is_named_with_its_shape() {
    let copy = copy("tied");
    edit_header(copy.path().join(WEIGHTS), |header| {
        let header = header.as_object_mut().expect("an object");
        let weight = header.remove("model.norm.weight").expect("a norm");
        header.insert("model.another.weight".into(), weight);
    });
    match refusal(copy.path()) {
        Error::MissingTensor { file, tensor, expected } => {
            assert_eq!(file, copy.path().join(WEIGHTS));
            assert_eq!((tensor.as_str(), expected), ("model.norm.weight", vec![64]));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_wrong_shape_is_named_with_both_shapes() {
    let copy = copy("tied");
    edit_header(copy.path().join(WEIGHTS), |header| {
        header["model.layers.1.mlp.down_proj.weight"]["shape"] = json!([96, 64]);
    });
    match refusal(copy.path()) {
        Error::WrongShape { tensor, expected, got, .. } => {
            assert_eq!(tensor, "model.layers.1.mlp.down_proj.weight");
            assert_eq!((expected, got), (vec![64, 96], vec![96, 64]));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn another_number_format_is_refused() {
    let copy = copy("tied");
    edit_header(copy.path().join(WEIGHTS), |header| header["model.norm.weight"]["dtype"] = json!("I32"));
    let error = refusal(copy.path());
    assert!(matches!(&error, Error::WrongDtype { tensor, .. } if tensor == "model.norm.weight"), "{error}");
}

#[test]
fn a_shard_has_to_hold_what_the_index_says() {
    let copy = copy("untied");
    edit_header(copy.path().join(SECOND_SHARD), |header| {
        let header = header.as_object_mut().expect("an object");
        let (name, _) = header.iter().find(|(name, _)| *name != "__metadata__").expect("a tensor");
        let name = name.clone();
        let weight = header.remove(&name).expect("a tensor");
        header.insert("another".into(), weight);
    });
    let error = refusal(copy.path());
    assert!(matches!(&error, Error::BadFile { file, .. } if file.ends_with(SECOND_SHARD)), "{error}");
}

#[test]
fn a_missing_shard_is_named_and_one_outside_the_folder_refused() {
    let copy = copy("untied");
    std::fs::remove_file(copy.path().join(SECOND_SHARD)).expect("removed");
    let error = refusal(copy.path());
    assert!(matches!(&error, Error::MissingFile { file, .. } if file.ends_with(SECOND_SHARD)), "{error}");

    edit(copy.path().join("model.safetensors.index.json"), |index| {
        index["weight_map"]["model.norm.weight"] = json!("../elsewhere.safetensors");
    });
    let error = refusal(copy.path());
    assert!(error.to_string().contains("../elsewhere.safetensors"), "{error}");
}

#[test]
fn an_unknown_architecture_is_named() {
    let copy = copy("tied");
    edit(copy.path().join("config.json"), |config| {
        config["architectures"] = json!(["LlavaForConditionalGeneration"]);
        config["model_type"] = json!("llava");
    });
    let error = refusal(copy.path());
    assert!(matches!(&error, Error::UnknownArchitecture { found, .. } if found.contains("Llava")), "{error}");
    assert!(error.to_string().contains("config.json"), "{error}");
}

#[test]
fn missing_files_say_what_they_should_hold() {
    for file in ["config.json", "tokenizer.json", WEIGHTS] {
        let copy = copy("tied");
        std::fs::remove_file(copy.path().join(file)).expect("removed");
        let error = refusal(copy.path());
        assert!(matches!(&error, Error::MissingFile { file: named, .. } if named.ends_with(file)), "{error}");
    }
}

#[test]
fn files_that_are_not_what_they_are_called_are_refused() {
    let files = ["config.json", "tokenizer.json", "preprocessor_config.json", "chat_template.json"];
    for file in files.into_iter().chain(["generation_config.json", WEIGHTS]) {
        let copy = copy("tied");
        std::fs::write(copy.path().join(file), "<html>not found</html>, but long enough").expect("written");
        let error = refusal(copy.path());
        assert!(
            matches!(&error, Error::BadFile { file: named, .. } if named.ends_with(file)),
            "{file}: {error}"
        );
    }
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let larger = copy("tied");
    edit(larger.path().join("tokenizer.json"), |tokenizer| {
        let added = tokenizer["added_tokens"].as_array_mut().expect("added tokens");
        let mut token = added[0].clone();
        token["id"] = json!(4000);
        token["content"] = json!("<|far_away|>");
        added.push(token);
        tokenizer["model"]["vocab"]["far_away"] = json!(4000);
    });
    let error = refusal(larger.path());
    assert!(
        matches!(&error, Error::TokenizerMismatch { expected, .. } if expected.contains("448")),
        "{error}"
    );

    let shifted = copy("tied");
    edit(shifted.path().join("config.json"), |config| config["image_token_id"] = json!(5));
    let error = refusal(shifted.path());
    assert!(
        matches!(&error, Error::TokenizerMismatch { problem, .. } if problem.contains("image_pad")),
        "{error}"
    );
    assert!(error.to_string().contains("tokenizer.json"), "{error}");
}

#[tokio::test]
async fn damaged_weights_end_a_turn_with_a_clear_error() {
    let copy = copy("tied");
    let path = copy.path().join(WEIGHTS);
    let mut bytes = std::fs::read(&path).expect("weights");
    let size = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + size]).expect("a header");
    let start = header["model.norm.weight"]["data_offsets"][0].as_u64().expect("an offset") as usize;
    bytes[8 + size + start..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, bytes).expect("written");

    let engine =
        Engine::start(serving(copy.path()).expect("it is whole"), Limits::default()).expect("a thread");
    let request = GenerateRequest {
        messages: vec![Message::text(Role::User, "Which flag?")],
        sampling: Sampling::Greedy,
        adapter: None,
        max_tokens: 4,
        stop: Vec::new(),
        grammar: None,
        cancel: CancellationToken::new(),
    };
    let error = engine.generate(request, unbounded_channel().0).await.expect_err("no token can be chosen");
    assert!(matches!(error, EngineError::NotFinite), "{error}");
    assert_eq!(error.code(), "model_not_finite");
}
