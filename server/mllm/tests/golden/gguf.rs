//! GGUF files that the `gguf` package wrote, with blocks that ggml rounded (`tests/golden/gguf`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use loupe_mllm::checkpoint::{Files, Store};
use loupe_mllm::device::Language;
use loupe_mllm::lm::{LanguageModel, Matrix};
use loupe_mllm::weights::Weights;
use loupe_mllm::{Error, Loaded, Served, WeightFormat, probe};
use tempfile::TempDir;

use crate::common::{
    conversations, expected, folder, open, open_folder, relative_difference, serving, serving_in,
};
use crate::decoding::scores_token_by_token;

const MODEL: &str = "model.gguf";
const VISION: &str = "mmproj.gguf";
/// The shape of the matrices in `formats`, and the part of it that F32, F16 and BF16 hold.
const SHAPE: [usize; 2] = [8, 512];
const PART: [usize; 2] = [8, 32];

fn ggufs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/gguf").join(name)
}

/// A folder with GGUF files, and the small files of a checkpoint where one is named.
pub(crate) fn copy(name: &str, checkpoint: Option<&str>) -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    let add = |folder: PathBuf, end: &str| {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().to_string_lossy().ends_with(end) {
                std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a copy");
            }
        }
    };
    add(ggufs(name), ".gguf");
    if let Some(checkpoint) = checkpoint {
        add(folder(checkpoint), ".json");
        std::fs::remove_file(copy.path().join("model.safetensors.index.json")).ok();
    }
    copy
}

fn store(folder: &Path) -> Result<Store, Error> {
    Store::open(&Files::folder(folder), &Device::Cpu)
}

/// What `gguf` reads in `formats`.
fn values() -> HashMap<String, Vec<f32>> {
    let file = ggufs("formats").join("values.safetensors");
    let values = candle_core::safetensors::load(file, &Device::Cpu).expect("values");
    let flat = |tensor: Tensor| tensor.flatten_all().and_then(|t| t.to_vec1()).expect("f32");
    values.into_iter().map(|(name, tensor)| (name, flat(tensor))).collect()
}

fn layer(name: &str) -> String {
    format!("model.layers.0.{name}.weight")
}

/// The root mean square of the difference over that of what is expected.
fn error(got: &[f32], expected: &[f32]) -> f64 {
    let power = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
    let apart = power(&mut got.iter().zip(expected).map(|(got, expected)| got - expected));
    (apart / power(&mut expected.iter().copied())).sqrt()
}

#[test]
fn bf16_scores_are_those_of_the_safetensors_checkpoint() {
    let copy = copy("bf16", Some("untied"));
    let (loaded, original) = (open_folder(copy.path()).expect("a checkpoint"), open("untied"));
    let expected = expected("untied");
    for (case, messages) in conversations("untied") {
        let got = probe::of_messages(&loaded, &messages, 0).expect("a probe");
        let original = probe::of_messages(&original, &messages, 0).expect("a probe");
        assert_eq!(relative_difference(&got.logits, &original.logits), 0.0, "{case}");
        let apart = relative_difference(&got.logits, &expected[&format!("{case}.logits")]);
        assert!(apart < 2e-5, "{case}: {apart}");
    }
    let (served, original) = (serving(copy.path()), serving(&folder("untied")));
    let bytes =
        |loaded: Result<Loaded<Served>, Error>| loaded.expect("a checkpoint").model.language.step_bytes();
    assert_eq!(bytes(served), bytes(original), "bf16 was not kept");
}

#[test]
fn q8_0_is_taken_as_it_is() {
    let copy = copy("q8_0", Some("tied"));
    let stored = serving(copy.path()).expect("a checkpoint");
    let rounded = serving_in(&folder("tied"), WeightFormat::Q8_0).expect("a checkpoint");
    assert_eq!(stored.model.language.step_bytes(), rounded.model.language.step_bytes());
    let expected = expected("tied");
    for (case, messages) in conversations("tied") {
        let got = scores_token_by_token(&stored, &messages);
        let apart = relative_difference(&got, &expected[&format!("{case}.logits")]);
        assert!(apart < 0.1, "{case}: {apart}");
    }
    // Ours rounds as ggml does, so both hold the same numbers.
    let (mut got, mut ours) = (vec![0.0; 64], vec![0.0; 64]);
    for id in [0, 7, 447] {
        on_cpu(&stored).embed(id, &mut got).expect("a token");
        on_cpu(&rounded).embed(id, &mut ours).expect("a token");
        assert_eq!(got, ours);
    }
}

fn on_cpu(loaded: &Loaded<Served>) -> &LanguageModel {
    match &loaded.model.language {
        Language::Cpu { language, .. } => language,
        #[cfg(feature = "cuda")]
        Language::Cuda(..) => panic!("it was opened on the CPU"),
    }
}

#[test]
fn blocks_hold_what_gguf_reads_in_them() {
    let (folder, values) = (copy("formats", None), values());
    let store = store(folder.path()).expect("whole files");
    for (weight, format) in [("mlp.down_proj", "q4_k"), ("mlp.up_proj", "q6_k"), ("mlp.gate_proj", "q8_0")] {
        let tensor = store.get(&layer(weight), &SHAPE).and_then(|t| Ok(t.flatten_all()?.to_vec1::<f32>()?));
        assert_eq!(tensor.expect("a tensor"), values[format], "{format}");
        let matrix = store.matrix(&layer(weight), SHAPE).expect("a matrix");
        let bits = matrix.bytes() as f64 * 8.0 / (SHAPE[0] * SHAPE[1]) as f64;
        match format {
            "q4_k" => assert_eq!((bits, matrix.to_f32()), (4.5, values[format].clone())),
            "q8_0" => assert_eq!((bits, matrix.to_f32()), (8.5, values[format].clone())),
            // Six bits are kept in eight.
            _ => assert!(bits == 8.5 && error(&matrix.to_f32(), &values[format]) < 7e-3),
        }
    }
    let rows: Vec<f32> = values["rows"].chunks(SHAPE[1]).flat_map(|row| row[..PART[1]].to_vec()).collect();
    for (weight, most) in [("self_attn.q_proj", 0.0), ("self_attn.k_proj", 3e-4), ("self_attn.v_proj", 3e-3)]
    {
        let got = store.matrix(&layer(weight), PART).expect("a matrix").to_f32();
        assert!(error(&got, &rows) <= most, "{weight}");
    }
    let qkv = store.get("visual.blocks.0.attn.qkv.weight", &[6, 4]).expect("queries, keys and values in one");
    let first = qkv.get(0).and_then(|row| row.to_vec1::<f32>()).expect("a row");
    assert_eq!(first, rows[..4]);
}

#[test]
fn our_four_bits_are_as_near_as_those_of_ggml() {
    let values = values();
    let rows = &values["rows"];
    let ours = Matrix::f32(rows.clone(), SHAPE).expect("a matrix").in_four_bits();
    assert_eq!(ours.bytes(), SHAPE[0] * SHAPE[1] * 9 / 16);
    let ours = ours.to_f32();
    let each = rows.chunks(SHAPE[1]).zip(ours.chunks(SHAPE[1])).zip(values["q4_k"].chunks(SHAPE[1]));
    for (row, ((values, ours), ggml)) in each.enumerate() {
        let (ours, ggml) = (error(ours, values), error(ggml, values));
        assert!(ours < ggml * 1.01, "row {row}: {ours}, ggml {ggml}");
    }
    let same = ours.iter().zip(&values["q4_k"]).filter(|(ours, ggml)| ours == ggml).count();
    assert!(same * 100 >= ours.len() * 99, "{same} of {} are those of ggml", ours.len());
}

#[test]
fn four_bit_products_are_near_those_of_the_values() {
    let (folder, values) = (copy("formats", None), values());
    let matrix = store(folder.path()).and_then(|store| store.matrix(&layer("mlp.down_proj"), SHAPE));
    let matrix = matrix.expect("a matrix");
    let x: Vec<f32> = (0..40 * SHAPE[1]).map(|n| ((n * 37 % 101) as f32 - 50.0) / 50.0).collect();
    let plain = Matrix::f32(values["q4_k"].clone(), SHAPE).and_then(|plain| plain.product(&x, None));
    let plain = plain.expect("a product");
    // Forty rows of x go by the widened values, one by byte products.
    assert!(error(&matrix.product(&x, None).expect("a product"), &plain) < 1e-5);
    let one = matrix.product(&x[..SHAPE[1]], None).expect("a product");
    assert!(error(&one, &plain[..SHAPE[0]]) < 0.02);
}

#[test]
fn formats_that_are_not_read_are_named() {
    let folder = copy("formats", None);
    let error = store(folder.path()).and_then(|store| store.matrix(&layer("self_attn.o_proj"), SHAPE));
    let error = error.expect_err("five bits are not read").to_string();
    assert!(error.contains("blk.0.attn_output.weight") && error.contains("Q5_K"), "{error}");
    assert!(error.contains(MODEL) && error.contains("Q4_K or Q6_K"), "{error}");
}

#[test]
fn missing_files_say_what_to_put_where() {
    for file in ["config.json", "tokenizer.json", "preprocessor_config.json"] {
        let copy = copy("bf16", Some("untied"));
        std::fs::remove_file(copy.path().join(file)).expect("removed");
        let error = open_folder(copy.path()).expect_err("a refusal");
        assert!(matches!(&error, Error::MissingFile { file: named, .. } if named.ends_with(file)), "{error}");
        assert!(error.to_string().contains("beside the .gguf"), "{error}");
    }
    for file in [MODEL, VISION] {
        let copy = copy("bf16", Some("untied"));
        std::fs::remove_file(copy.path().join(file)).expect("removed");
        let error = open_folder(copy.path()).expect_err("a refusal");
        assert!(matches!(&error, Error::MissingFile { file: named, .. } if named.ends_with(file)), "{error}");
    }
}

#[test]
fn what_a_gguf_lacks_is_taken_from_safetensors() {
    let copy = copy("bf16", Some("untied"));
    std::fs::remove_file(copy.path().join(VISION)).expect("removed");
    for entry in std::fs::read_dir(folder("untied")).expect("a folder").flatten() {
        if entry.file_name().to_string_lossy().starts_with("model") {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a copy");
        }
    }
    assert!(open_folder(copy.path()).is_ok());
}

#[test]
fn two_models_in_a_folder_and_other_architectures_are_refused() {
    let twice = copy("formats", None);
    std::fs::copy(twice.path().join(MODEL), twice.path().join("other.gguf")).expect("a copy");
    let error = store(twice.path()).err().expect("a refusal").to_string();
    assert!(error.contains("other.gguf") && error.contains(MODEL), "{error}");

    let other = copy("formats", None);
    let path = other.path().join(MODEL);
    let mut bytes = std::fs::read(&path).expect("a file");
    let at = bytes.windows(7).position(|bytes| bytes == b"qwen2vl").expect("the architecture");
    bytes[at..at + 7].copy_from_slice(b"llama32");
    std::fs::write(&path, bytes).expect("written");
    let error = store(other.path()).err().expect("a refusal").to_string();
    assert!(error.contains("llama32") && error.contains("qwen2vl"), "{error}");
}

/// Opens a folder and reads everything in it; what comes out does not matter.
fn read_all(folder: &Path) -> Result<(), Error> {
    let store = store(folder)?;
    for weight in ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"] {
        store.matrix(&layer(weight), PART)?;
    }
    store.get("visual.blocks.0.attn.qkv.weight", &[6, 4])?;
    for weight in ["mlp.down_proj", "mlp.up_proj", "mlp.gate_proj", "self_attn.o_proj"] {
        store.get(&layer(weight), &SHAPE)?;
        store.matrix(&layer(weight), SHAPE)?;
    }
    Ok(())
}

#[test]
fn truncated_files_are_refused() {
    let folder = copy("formats", None);
    let path = folder.path().join(MODEL);
    let whole = std::fs::read(&path).expect("a file");
    for length in (0..2500).chain((2500..whole.len()).step_by(97)).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..length]).expect("written");
        let error = store(folder.path()).err().unwrap_or_else(|| panic!("{length} bytes were taken"));
        assert!(matches!(&error, Error::BadFile { file, .. } if *file == path), "{length}: {error}");
    }
}

#[test]
fn flipped_bits_and_absurd_counts_never_panic() {
    let folder = copy("formats", None);
    let path = folder.path().join(MODEL);
    let whole = std::fs::read(&path).expect("a file");
    assert!(matches!(read_all(folder.path()), Err(Error::WrongDtype { .. })), "only Q5_K is refused");
    let mut refused = 0;
    for at in 0..1100 {
        for change in [0x01, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= change;
            std::fs::write(&path, damaged).expect("written");
            refused += usize::from(!matches!(read_all(folder.path()), Err(Error::WrongDtype { .. })));
        }
    }
    assert!(refused > 1000, "only {refused} damages were noticed");
    // Counts of tensors and keys, and of bytes of the first key.
    for at in [8, 16, 24] {
        for count in [u64::MAX, 1 << 62, 1 << 40] {
            let mut damaged = whole.clone();
            damaged[at..at + 8].copy_from_slice(&count.to_le_bytes());
            std::fs::write(&path, damaged).expect("written");
            assert!(matches!(read_all(folder.path()), Err(Error::BadFile { .. })), "{count} at {at}");
        }
    }
}
