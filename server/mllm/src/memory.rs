//! Whether a model fits into memory, before it is read: afterwards the system ends the program without a word.

use std::fs::read_to_string;
use std::io;

use crate::adapter::in_layer;
use crate::checkpoint::Store;
use crate::checkpoint::store::Kept;
use crate::config::ModelConfig;
use crate::error::{Error, Result, gib};
use crate::lm::Matrix;
use crate::lm::lora::PRODUCTS;
use crate::weights::{Formats, WeightFormat};

/// Where Linux says what a program may still take.
const MEMINFO: &str = "/proc/meminfo";
/// The limit of the program's control group, what the group uses of it, and for what.
const CGROUP_LIMIT: &str = "/sys/fs/cgroup/memory.max";
const CGROUP_USED: &str = "/sys/fs/cgroup/memory.current";
const CGROUP_STAT: &str = "/sys/fs/cgroup/memory.stat";

/// Checks that a checkpoint's weights fit.
///
/// # Errors
/// [`Error::Memory`] with what is needed and what there is; nothing is said where the system does not tell. Also,
/// as far as headers tell, whatever reading the language model's matrices can raise.
pub(crate) fn check(store: &Store, config: &ModelConfig, formats: Formats) -> Result<()> {
    within(needed(store, config, formats, Matrix::packs_bf16())?, available())
}

/// Checks that keys and values fit.
///
/// # Errors
/// When less memory is free than they may take.
pub(crate) fn check_cache(bytes: u64) -> io::Result<()> {
    let Some(available) = available().filter(|available| bytes > *available) else { return Ok(()) };
    let problem = format!(
        "keys and values may take {}, but {} of memory are free; lower --kv-cache",
        gib(bytes),
        gib(available)
    );
    Err(io::Error::new(io::ErrorKind::OutOfMemory, problem))
}

fn within(needed: u64, available: Option<u64>) -> Result<()> {
    match available {
        Some(available) if needed > available => Err(Error::Memory { needed, available }),
        _ => Ok(()),
    }
}

/// Bytes that the weights take at least: the language model's matrices in the numbers in which they and the drafter's are
/// kept, everything else in f32.
fn needed(store: &Store, config: &ModelConfig, formats: Formats, packs: bool) -> Result<u64> {
    let (numbers, bytes) = needed_in(store, config, formats.weights(), packs)?;
    let drafter = formats.drafter().map(|format| needed_in(store, config, format, packs)).transpose()?;
    let beside = bytes_of(config.parameters() - numbers, Kept::F32, packs);
    Ok(bytes + drafter.map_or(0, |(_, bytes)| bytes) + beside)
}

/// How many numbers the language model's matrices have, and the bytes that they take in a format.
fn needed_in(store: &Store, config: &ModelConfig, format: WeightFormat, packs: bool) -> Result<(u64, u64)> {
    let (mut numbers, mut bytes) = (0, 0);
    for Weight { name, shape, widest } in matrices(config, format) {
        let kept = store.kept(&name, shape)?.min(widest);
        let count = (shape[0] * shape[1]) as u64;
        numbers += count;
        bytes += bytes_of(count, kept, packs);
    }
    Ok((numbers, bytes))
}

/// Bytes of a matrix of so many numbers. Where bf16 is packed, only large matrices are, but the small ones hardly count.
fn bytes_of(numbers: u64, kept: Kept, packs: bool) -> u64 {
    let of_32 = match kept {
        Kept::FourBits => 18,
        Kept::EightBits => 34,
        Kept::Bf16 if packs => 48,
        Kept::Bf16 => 64,
        Kept::F32 => 128,
    };
    numbers * of_32 / 32
}

/// A matrix of the language model.
struct Weight {
    name: String,
    shape: [usize; 2],
    /// Wider numbers are rounded to these.
    widest: Kept,
}

/// The matrices of the language model, to be kept in a format.
fn matrices(config: &ModelConfig, format: WeightFormat) -> impl Iterator<Item = Weight> {
    let text = &config.text;
    let (of_tables, of_maps) = match format {
        WeightFormat::Stored => (Kept::F32, Kept::F32),
        WeightFormat::Q8_0 => (Kept::EightBits, Kept::EightBits),
        WeightFormat::Q4K => (Kept::EightBits, Kept::FourBits),
    };
    let names = ["model.embed_tokens.weight", "lm_head.weight"];
    let shape = [text.vocab_size, text.hidden_size];
    let tables = names.into_iter().take(if config.tied { 1 } else { 2 });
    let tables = tables.map(move |name| Weight { name: name.to_owned(), shape, widest: of_tables });
    let maps = PRODUCTS.iter().flat_map(move |product| product.maps(text));
    let maps = maps.filter_map(move |(map, _)| Some((map, in_layer(map, text)?)));
    let maps = (0..text.layers).flat_map(move |layer| {
        maps.clone().map(move |(map, shape)| {
            let name = format!("model.layers.{layer}.{map}.weight");
            Weight { name, shape, widest: of_maps }
        })
    });
    tables.chain(maps)
}

/// Bytes that this program may still take.
fn available() -> Option<u64> {
    let read = |file| read_to_string(file).ok();
    let free = read(MEMINFO).and_then(|text| of_system(&text));
    let stat = read(CGROUP_STAT).unwrap_or_default();
    let group =
        read(CGROUP_LIMIT).zip(read(CGROUP_USED)).and_then(|(limit, used)| of_group(&limit, &used, &stat));
    [free, group].into_iter().flatten().min()
}

/// What a control group's limit leaves. Cached files count as used there, but give way to whoever takes memory.
fn of_group(limit: &str, used: &str, stat: &str) -> Option<u64> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let counted = |name: &str| stat.lines().find_map(|line| number(line.strip_prefix(name)?));
    let cached: u64 = ["inactive_file ", "active_file "].into_iter().filter_map(counted).sum();
    Some(number(limit)?.saturating_sub(number(used)?.saturating_sub(cached)))
}

/// `MemAvailable` of `/proc/meminfo`, which counts in KiB.
fn of_system(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs::read_dir;
    use std::path::PathBuf;

    use candle_core::Device;

    use super::*;
    use crate::bench;
    use crate::checkpoint::{Files, read_config};

    #[test]
    fn what_is_free_is_read_from_the_system() {
        let text =
            "MemTotal:       24606272 kB\nMemFree:  1 kB\nMemAvailable:   23456789 kB\nBuffers: 2 kB\n";
        assert_eq!(of_system(text), Some(23_456_789 * 1024));
        assert_eq!(of_system("MemTotal: 5 kB\n"), None);
        assert_eq!(of_system("MemAvailable: much\n"), None);
    }

    #[test]
    fn a_model_that_does_not_fit_is_refused_with_both_numbers() {
        assert!(within(10 << 30, None).is_ok() && within(5, Some(5)).is_ok());
        let error = within(10 << 30, Some(4 << 30)).unwrap_err();
        assert_eq!(error.code(), "model_too_large");
        let text = error.to_string();
        assert!(text.contains("10.0 GiB") && text.contains("4.0 GiB") && text.contains("q8_0"), "{text}");
    }

    #[test]
    fn more_keys_and_values_than_memory_are_refused() {
        assert!(check_cache(1).is_ok());
        assert!(check_cache(1 << 60).unwrap_err().to_string().contains("--kv-cache"));
    }

    #[test]
    fn cached_files_do_not_count_as_used() {
        let (limit, used) = ("8000\n", "7900\n");
        let stat = "anon 900\nfile 7000\ninactive_anon 900\ninactive_file 6000\nactive_file 500\n";
        assert_eq!(of_group(limit, used, stat), Some(6_600));
        assert_eq!(of_group(limit, used, ""), Some(100), "where the group does not say for what it is used");
        assert_eq!(of_group(limit, "10", stat), Some(8_000));
        assert_eq!(of_group("max\n", used, stat), None);
    }

    fn golden(name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
    }

    /// The files of folders, changed.
    fn files(folders: &[&str], change: impl Fn(&str, &mut [u8])) -> Files {
        let mut files = BTreeMap::new();
        for entry in folders.iter().flat_map(|folder| read_dir(golden(folder)).unwrap()) {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if entry.path().is_file() {
                let mut bytes = std::fs::read(entry.path()).unwrap();
                change(&name, &mut bytes);
                files.insert(name, bytes.into());
            }
        }
        Files::embedded("model", files)
    }

    /// Bytes needed, where bf16 is packed or not.
    fn needed_of(files: &Files, formats: impl Into<Formats>) -> [u64; 2] {
        let (store, config) = (Store::open(files, &Device::Cpu).unwrap(), read_config(files).unwrap());
        let formats = formats.into();
        [true, false].map(|packs| needed(&store, &config, formats, packs).unwrap())
    }

    /// Numbers of all weights, of the language model's tables and of its other matrices.
    fn numbers(config: &ModelConfig) -> [u64; 3] {
        let text = &config.text;
        let tables = if config.tied { 1 } else { 2 } * text.vocab_size * text.hidden_size;
        let attention = text.hidden_size * (2 * text.hidden_size + 2 * text.kv_size());
        let maps = text.layers * (attention + 3 * text.hidden_size * text.intermediate_size);
        [config.parameters(), tables as u64, maps as u64]
    }

    #[test]
    fn bf16_is_counted_as_it_will_be_kept() {
        let files = Files::folder(&golden("qwen2_5_vl/untied"));
        let [all, tables, maps] = numbers(&read_config(&files).unwrap());
        let (matrices, rest) = (tables + maps, 4 * (all - tables - maps));
        assert_eq!(needed_of(&files, WeightFormat::Stored), [rest + matrices * 3 / 2, rest + matrices * 2]);
    }

    #[test]
    fn f16_is_counted_as_the_f32_that_it_becomes() {
        let files = files(&["qwen2_5_vl/untied"], |name, bytes| {
            if name.starts_with("model-") {
                while let Some(at) = bytes.windows(6).position(|bytes| bytes == b"\"BF16\"") {
                    bytes[at..at + 6].copy_from_slice(b"\"F16\" ");
                }
            }
        });
        let [all, ..] = numbers(&read_config(&files).unwrap());
        assert_eq!(needed_of(&files, WeightFormat::Stored), [4 * all; 2]);
    }

    #[test]
    fn a_weight_is_counted_once_and_from_where_it_is_read() {
        let files = files(&["qwen2_5_vl/tied", "gguf/q8_0"], |_, _| {});
        let [all, tables, maps] = numbers(&read_config(&files).unwrap());
        let eight = (tables + maps) * 34 / 32 + 4 * (all - tables - maps);
        // Its f32 in model.safetensors are not, nor is expected.safetensors, which is none of the model's files.
        assert_eq!(needed_of(&files, WeightFormat::Stored), [eight; 2]);
        assert_eq!(needed_of(&files, WeightFormat::Q8_0), [eight; 2]);
    }

    #[test]
    fn what_is_not_rounded_is_counted_beside_few_bits() {
        let files = Files::folder(&golden("qwen2_5_vl/tied"));
        let config = read_config(&files).unwrap();
        let [all, tables, maps] = numbers(&config);
        let rest = 4 * (all - tables - maps);
        for (format, bytes) in [
            (WeightFormat::Stored, 4 * all),
            (WeightFormat::Q8_0, rest + (tables + maps) * 34 / 32),
            (WeightFormat::Q4K, rest + tables * 34 / 32 + maps * 18 / 32),
        ] {
            assert_eq!(needed_of(&files, format), [bytes; 2], "{format:?}");
        }
        let with_drafter = Formats::new(WeightFormat::Stored, Some(WeightFormat::Q4K)).unwrap();
        let drafter = tables * 34 / 32 + maps * 18 / 32;
        assert_eq!(needed_of(&files, with_drafter), [4 * all + drafter; 2]);
        let store = Store::open(&files, &Device::Cpu).unwrap();
        assert!(check(&store, &config, Formats::default()).is_ok());
    }

    #[test]
    fn a_model_of_3b_in_f16_takes_more_than_its_files() {
        let config = bench::config("3b", None).unwrap();
        let numbers: usize =
            matrices(&config, WeightFormat::Stored).map(|Weight { shape, .. }| shape[0] * shape[1]).sum();
        assert_eq!(bytes_of(numbers as u64, Kept::F32, true), 12_342_788_096);
        assert_eq!(bytes_of(numbers as u64, Kept::Bf16, true), 4_628_545_536);
    }
}
