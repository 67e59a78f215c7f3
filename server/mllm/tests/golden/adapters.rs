//! LoRA adapters against peft (`tests/golden/qwen2_5_vl/adapters.py`): merged, applied beside the weights, written.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use loupe_mllm::adapter::Adapter;
use loupe_mllm::checkpoint::{Files, Fingerprint};
use loupe_mllm::engine::{Decoder, EngineError, GenerateRequest};
use loupe_mllm::{AdapterSpec, Engine, Error, Limits, Loaded, Served, WeightFormat};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc::unbounded_channel;

use crate::broken::{self, edit, edit_header};
use crate::common::{conversations, folder, relative_difference};
use crate::decoding::{Prompt, greatest, run};
use crate::engine::{decode, request, together};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const CASES: [&str; 2] = ["words", "several"];

fn adapter(checkpoint: &str, name: &str) -> PathBuf {
    folder(checkpoint).join("adapters").join(name)
}

/// A checkpoint with adapters, as the command line names them.
fn with_adapters(checkpoint: &str, adapters: &[String]) -> Result<Loaded<Served>, Error> {
    let specs: Vec<AdapterSpec> = adapters.iter().map(|text| AdapterSpec::parse(text)).collect();
    Loaded::open_with_adapters(&Files::folder(&folder(checkpoint)), WeightFormat::Stored, &specs)
}

fn merged(checkpoint: &str, name: &str) -> Loaded<Served> {
    with_adapters(checkpoint, &[adapter(checkpoint, name).display().to_string()])
        .expect("an adapter that fits")
}

pub(crate) fn beside(checkpoint: &str, names: &[&str]) -> Loaded<Served> {
    let specs: Vec<String> =
        names.iter().map(|name| format!("{name}={}", adapter(checkpoint, name).display())).collect();
    with_adapters(checkpoint, &specs).expect("adapters that fit")
}

fn expected(checkpoint: &str, name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(adapter(checkpoint, name).join("expected.safetensors"), &Device::Cpu)
        .expect("expected.safetensors")
}

/// Holds scores and forty tokens against peft's; gives the largest relative difference of scores.
fn compare(loaded: &Loaded<Served>, checkpoint: &str, name: &str, applied: Option<&str>) -> f32 {
    let expected = expected(checkpoint, name);
    let conversations = conversations(checkpoint);
    let vocab = loaded.model.language.config().vocab_size;
    let mut most = 0f32;
    for case in CASES {
        let prompt = Prompt::new(loaded, &conversations[case]);
        let mut run = run(loaded, prompt.positions.len());
        run.adapter = applied.map(|name| loaded.model.adapters.get(name).expect("it is there"));
        let mut scores = run.scores(&prompt);
        let wanted = &expected[&format!("{case}.logits")];
        let rows = wanted.dim(0).expect("rows");
        let last = scores[scores.len() - rows * vocab..].to_vec();
        let got = Tensor::from_vec(last, (rows, vocab), &Device::Cpu).expect("scores");
        most = most.max(relative_difference(&got, wanted));
        let tokens = expected[&format!("{case}.generated")].to_vec1::<i64>().expect("ids");
        for (nth, wanted) in tokens.into_iter().enumerate() {
            let id = greatest(&scores[scores.len() - vocab..]);
            assert_eq!(i64::from(id), wanted, "{checkpoint}/{name}/{case}, token {nth}");
            scores = run.scores(&Prompt::word(id, prompt.next + nth as u32));
        }
    }
    most
}

#[test]
fn a_merged_adapter_computes_what_peft_computes() {
    for name in ["all", "rslora", "vision"] {
        let apart = compare(&merged("tied", name), "tied", name, None);
        assert!(apart < 2e-5, "{name}: {apart}");
    }
}

/// A checkpoint with one of its adapters merged into it, in a folder of its own.
fn baked(checkpoint: &str, name: &str) -> TempDir {
    let (base, out) = (Files::folder(&folder(checkpoint)), TempDir::new().expect("a folder"));
    let config = loupe_mllm::checkpoint::read_config(&base).expect("a configuration");
    let opened = Adapter::open(&Files::folder(&adapter(checkpoint, name)), &config).expect("an adapter");
    opened.bake(&base, out.path()).expect("a merged checkpoint");
    out
}

fn served(folder: &TempDir) -> Loaded<Served> {
    Loaded::open_for_serving(&Files::folder(folder.path()), WeightFormat::Stored).expect("a checkpoint")
}

#[test]
fn a_baked_checkpoint_computes_what_peft_computes() {
    for name in ["all", "rslora", "vision"] {
        let apart = compare(&served(&baked("tied", name)), "tied", name, None);
        assert!(apart < 2e-5, "{name}: {apart}");
    }
    let apart = apart(&served(&baked("untied", "all")), "untied", None);
    assert!(apart > 0.0 && apart < 0.02, "bf16 stays bf16: {apart}");
}

#[test]
fn nothing_is_baked_into_a_checkpoint_without_what_the_adapter_changes() {
    let base = folder("tied");
    let model = crate::common::open("tied").model.config().clone();
    let opened = Adapter::open(&Files::folder(&adapter("tied", "all")), &model).expect("an adapter");
    let (empty, out) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    std::fs::copy(base.join("config.json"), empty.path().join("config.json")).expect("a copy");
    let error = opened.bake(&Files::folder(empty.path()), out.path()).expect_err("a refusal");
    assert!(error.to_string().contains("has no weight model.layers.0"), "{error}");
}

#[test]
fn an_adapter_beside_the_weights_computes_what_peft_computes() {
    for (checkpoint, name) in [("tied", "all"), ("tied", "rslora"), ("untied", "all")] {
        let loaded = beside(checkpoint, &[name]);
        let apart = compare(&loaded, checkpoint, name, Some(name));
        assert!(apart < 2e-5, "{checkpoint}/{name}: {apart}");
    }
}

/// How far scores of words are from peft's, as a part of the largest; forty tokens may differ after rounding.
fn apart(loaded: &Loaded<Served>, checkpoint: &str, applied: Option<&str>) -> f32 {
    let prompt = Prompt::new(loaded, &conversations(checkpoint)["words"]);
    let vocab = loaded.model.language.config().vocab_size;
    let mut run = run(loaded, prompt.positions.len());
    run.adapter = applied.map(|name| loaded.model.adapters.get(name).expect("it is there"));
    let scores = run.scores(&prompt);
    let wanted = &expected(checkpoint, "all")["words.logits"];
    let rows = wanted.dim(0).expect("rows");
    let got = Tensor::from_vec(scores[scores.len() - rows * vocab..].to_vec(), (rows, vocab), &Device::Cpu);
    relative_difference(&got.expect("scores"), wanted)
}

#[test]
fn merging_into_bf16_changes_scores_by_its_rounding_only() {
    let apart = apart(&merged("untied", "all"), "untied", None);
    assert!(apart > 0.0 && apart < 0.02, "{apart}");
}

#[test]
fn an_adapter_is_merged_before_weights_are_rounded_to_eight_bits() {
    let specs = [AdapterSpec::parse(&adapter("tied", "all").display().to_string())];
    let files = Files::folder(&folder("tied"));
    let loaded =
        Loaded::open_with_adapters(&files, WeightFormat::Q8_0, &specs).expect("an adapter that fits");
    let apart = apart(&loaded, "tied", None);
    assert!(apart > 0.0 && apart < 0.1, "{apart}");
}

#[test]
fn an_adapter_is_kept_beside_weights_of_few_bits_and_not_merged_into_them() {
    let checkpoint = crate::gguf::copy("q8_0", Some("tied"));
    let open = |adapter: String| {
        let specs = [AdapterSpec::parse(&adapter)];
        Loaded::open_with_adapters(&Files::folder(checkpoint.path()), WeightFormat::Stored, &specs)
    };
    let folder = adapter("tied", "all").display().to_string();
    let error = open(folder.clone()).expect_err("they are rounded already");
    assert_eq!(error.code(), "adapter_unusable");
    assert!(error.to_string().contains("NAME=DIR"), "{error}");

    let loaded = open(format!("all={folder}")).expect("an adapter that fits");
    let apart = apart(&loaded, "tied", Some("all"));
    assert!(apart > 0.0 && apart < 0.1, "{apart}");
}

fn engine() -> Engine {
    Engine::start(beside("tied", &["all", "rslora"]), Limits::default()).expect("a thread")
}

fn asking(case: &str, adapter: Option<&str>, max_tokens: u32) -> GenerateRequest {
    let messages = conversations("tied")[case].clone();
    GenerateRequest { adapter: adapter.map(Arc::from), ..request(messages, max_tokens) }
}

/// Every conversation with every adapter and with none.
fn mixed() -> Vec<GenerateRequest> {
    let adapters = [None, Some("all"), Some("rslora")];
    let cases = ["words", "one", "several", "shrunk"];
    let each = cases.iter().flat_map(|case| adapters.map(|adapter| (case, adapter)));
    each.enumerate().map(|(nth, (case, adapter))| asking(case, adapter, 12 + 3 * nth as u32)).collect()
}

#[tokio::test]
async fn turns_with_different_adapters_decoded_together_say_what_each_says_alone() {
    let mut alone = Vec::new();
    for request in mixed() {
        alone.push(decode(&engine(), request).await.0);
    }
    let texts: std::collections::HashSet<&str> = alone.iter().map(|turn| turn.text.as_str()).collect();
    assert_eq!(texts.len(), alone.len(), "adapters change too little to tell them apart");
    let engine = engine();
    for round in 0..2 {
        let together = together(&engine, mixed()).await;
        for (nth, (together, alone)) in together.iter().zip(&alone).enumerate() {
            assert_eq!(together.text, alone.text, "round {round}, turn {nth}");
        }
    }
}

#[tokio::test]
async fn nobody_reads_keys_and_values_of_another_adapter() {
    let engine = engine();
    let (plain, _) = decode(&engine, asking("several", None, 10)).await;
    for name in ["all", "rslora"] {
        let (first, _) = decode(&engine, asking("several", Some(name), 10)).await;
        assert_eq!(first.reused_tokens, 0, "{name}");
        let (again, _) = decode(&engine, asking("several", Some(name), 10)).await;
        assert!(again.reused_tokens > 0, "{name}: its own are shared");
        assert_eq!(first.text, again.text);
    }
    let (again, _) = decode(&engine, asking("several", None, 10)).await;
    assert!(again.reused_tokens > 0);
    assert_eq!(plain.text, again.text);
}

#[tokio::test]
async fn an_unknown_adapter_is_refused_with_the_names_that_there_are() {
    let engine = engine();
    assert_eq!(engine.info().adapters, ["all", "rslora"]);
    let asked = asking("words", Some("other"), 4);
    let error = engine.generate(asked, unbounded_channel().0).await.expect_err("it is unknown");
    assert_eq!(error.code(), "adapter_unknown");
    assert!(matches!(&error, EngineError::AdapterUnknown { name, .. } if name == "other"));
    assert!(error.to_string().contains("all, rslora"), "{error}");
}

#[test]
fn an_adapter_of_the_vision_tower_is_only_merged() {
    let path = adapter("tied", "vision");
    let error = with_adapters("tied", &[format!("seeing={}", path.display())]).expect_err("a refusal");
    assert_eq!(error.code(), "adapter_unusable");
    let error = error.to_string();
    assert!(error.contains("vision tower") && error.contains("seeing"), "{error}");
}

#[test]
fn two_adapters_of_one_name_are_refused() {
    let path = adapter("tied", "all");
    let specs = [format!("a={}", path.display()), format!("a={}", path.display())];
    let error = with_adapters("tied", &specs).expect_err("a refusal").to_string();
    assert!(error.contains("named a"), "{error}");
}

/// Written where `adapters.py --check tied/adapters/all FOLDER` finds it, too.
#[test]
fn what_is_written_reads_back_the_same() {
    let base = crate::common::open("tied").model.config().clone();
    for name in ["all", "rslora", "vision"] {
        let original = Adapter::open(&Files::folder(&adapter("tied", name)), &base).expect("an adapter");
        let written = Path::new(env!("CARGO_TARGET_TMPDIR")).join("adapters").join(name);
        original.save(&written).expect("written");
        let may = |file| std::fs::metadata(written.join(file)).expect("a file").permissions();
        assert_eq!(may("adapter_model.safetensors"), may("adapter_config.json"), "{name}");
        let again = Adapter::open(&Files::folder(&written), &base).expect("own output");
        assert!(original.modules().eq(again.modules()), "{name}");
        for module in original.modules() {
            assert_eq!(original.pair(module), again.pair(module), "{name}: {module}");
        }
    }
}

/// A checkpoint of the same shape as `tied`, one of whose weights is another number.
fn trained_otherwise() -> TempDir {
    let other = broken::copy("tied");
    let weights = other.path().join("model.safetensors");
    let mut bytes = std::fs::read(&weights).expect("the weights");
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    bytes[8 + header as usize] ^= 1;
    std::fs::write(&weights, bytes).expect("written");
    other
}

#[test]
fn an_adapter_says_which_weights_it_was_made_for_and_is_refused_on_others() {
    let fingerprint = |path: &Path| Fingerprint::of(&Files::folder(path)).expect("weights");
    let other = trained_otherwise();
    let (own, others) = (fingerprint(&folder("tied")), fingerprint(other.path()));
    assert!(own.is_some() && others.is_some() && own != others);
    assert!(fingerprint(&folder("untied")).is_some(), "in shards");

    let base = crate::common::open("tied").model.config().clone();
    let adapter = Adapter::open(&Files::folder(&adapter("tied", "all")), &base).expect("an adapter");
    assert!(adapter.check_base(others.as_ref()).is_ok(), "peft does not say what it was made for");
    let written = tempfile::tempdir().expect("a temporary folder");
    adapter.made_for(own).save(written.path()).expect("written");
    for name in ["", "tuned="] {
        let spec = [AdapterSpec::parse(&format!("{name}{}", written.path().display()))];
        let open =
            |path: &Path| Loaded::open_with_adapters(&Files::folder(path), WeightFormat::Stored, &spec);
        assert!(open(&folder("tied")).is_ok());
        let refused = open(other.path()).map(|_| ()).expect_err("a refusal").to_string();
        let path = written.path().display().to_string();
        assert!(refused.contains("other weights") && refused.contains(&path), "{refused}");
    }
}

/// A copy of an adapter to damage.
fn copy(name: &str) -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    for file in [CONFIG, WEIGHTS] {
        std::fs::copy(adapter("tied", name).join(file), copy.path().join(file)).expect("a copy");
    }
    copy
}

fn refusal(path: &Path) -> Error {
    with_adapters("tied", &[path.display().to_string()]).expect_err("a refusal")
}

/// What is said of a copy whose tensors were renamed or changed.
fn with_header(name: &str, change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> String {
    let copy = copy(name);
    edit_header(copy.path().join(WEIGHTS), |header| change(header.as_object_mut().expect("an object")));
    let error = refusal(copy.path()).to_string();
    assert!(error.contains(WEIGHTS), "{error}");
    error
}

fn key(rest: &str) -> String {
    format!("base_model.model.model.language_model.layers.{rest}.weight")
}

#[test]
fn keys_of_older_transformers_are_read() {
    let copy = copy("all");
    edit_header(copy.path().join(WEIGHTS), |header| {
        let tensors = header.as_object_mut().expect("an object");
        let old = |key: String| key.replace("model.language_model.layers", "model.layers");
        *tensors = std::mem::take(tensors).into_iter().map(|(key, value)| (old(key), value)).collect();
    });
    assert!(with_adapters("tied", &[copy.path().display().to_string()]).is_ok());
}

#[test]
fn pairs_that_are_not_whole_are_named() {
    for side in ["lora_A", "lora_B"] {
        let gone = key(&format!("1.mlp.up_proj.{side}"));
        let error = with_header("all", |tensors| {
            let tensor = tensors.remove(&gone).expect("a tensor");
            // Somewhere else, also without its other half.
            let path = format!("base_model.model.model.visual.blocks.0.mlp.up_proj.{side}.weight");
            tensors.insert(path, tensor);
        });
        assert!(error.contains(&gone) && error.contains("missing"), "{error}");
    }
}

#[test]
fn modules_and_shapes_of_another_base_model_are_refused_as_such() {
    let far = key("7.mlp.up_proj.lora_A");
    let error = with_header("all", |tensors| {
        let tensor = tensors.remove(&key("1.mlp.up_proj.lora_A")).expect("a tensor");
        tensors.insert(far.clone(), tensor);
    });
    assert!(error.contains(&far) && error.contains("another base model (golden/tied)"), "{error}");

    let narrow = key("1.mlp.up_proj.lora_A");
    let untied = folder("untied");
    let spec = AdapterSpec { name: None, folder: adapter("tied", "all") };
    let error = Loaded::open_with_adapters(&Files::folder(&untied), WeightFormat::Stored, &[spec]);
    let error = error.expect_err("another base model");
    assert_eq!(error.code(), "adapter_wrong_base");
    let error = error.to_string();
    assert!(error.contains("[4, 96]") && error.contains("[4, 100]"), "{error}");

    let error = with_header("all", |tensors| tensors[&narrow]["shape"] = json!([2, 128]));
    assert!(error.contains(&narrow) && error.contains("[2, 128]") && error.contains("[4, 64]"), "{error}");
}

#[test]
fn other_tensors_and_number_formats_are_refused() {
    let kept = key("1.mlp.up_proj.lora_A");
    for (name, expected) in [
        ("base_model.model.lm_head.weight", "linear modules"),
        ("base_model.model.model.visual.patch_embed.proj.lora_A.weight", "linear modules"),
        ("base_model.model.model.language_model.layers.1.mlp.up_proj.lora_magnitude_vector", "DoRA"),
        ("base_model.model.model.language_model.embed_tokens.lora_A.weight", "linear modules"),
    ] {
        let error = with_header("all", |tensors| {
            let tensor = tensors.remove(&kept).expect("a tensor");
            tensors.insert(name.to_owned(), tensor);
        });
        assert!(error.contains(name) && error.contains(expected), "{error}");
    }
    let error = with_header("all", |tensors| tensors[&kept]["dtype"] = json!("I32"));
    assert!(error.contains(&kept) && error.contains("I32"), "{error}");
}

#[test]
fn numbers_that_are_not_finite_are_named() {
    let copy = copy("all");
    let path = copy.path().join(WEIGHTS);
    let mut bytes = std::fs::read(&path).expect("weights");
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    std::fs::write(&path, bytes).expect("written");
    let error = refusal(copy.path()).to_string();
    assert!(error.contains("inf") && error.contains("lora_"), "{error}");
}

#[test]
fn truncated_and_missing_files_are_named() {
    let whole = copy("all");
    let bytes = std::fs::read(whole.path().join(WEIGHTS)).expect("weights");
    for length in [0, 7, 100, bytes.len() - 1] {
        std::fs::write(whole.path().join(WEIGHTS), &bytes[..length]).expect("written");
        let error = refusal(whole.path()).to_string();
        assert!(error.contains(WEIGHTS) && error.contains(&length.to_string()), "{error}");
    }
    for file in [CONFIG, WEIGHTS] {
        let copy = copy("all");
        std::fs::remove_file(copy.path().join(file)).expect("removed");
        let error = refusal(copy.path());
        assert!(matches!(&error, Error::MissingFile { file: named, .. } if named.ends_with(file)), "{error}");
    }
}

#[test]
fn a_rank_that_is_not_the_files_and_a_target_without_tensors_are_refused() {
    let copy = copy("rslora");
    edit(copy.path().join(CONFIG), |config| config["r"] = json!(8));
    let error = refusal(copy.path());
    assert!(matches!(&error, Error::WrongShape { .. }), "{error}");

    edit(copy.path().join(CONFIG), |config| {
        config["r"] = json!(4);
        config["target_modules"] = json!(["q_proj", "v_proj", "o_proj"]);
    });
    let error = refusal(copy.path());
    let o_proj = key("0.self_attn.o_proj.lora_A");
    assert!(matches!(&error, Error::MissingTensor { tensor, .. } if *tensor == o_proj), "{error}");
}
