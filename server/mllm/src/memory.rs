//! Whether a model fits into memory, before it is read: afterwards the system ends the program without a word.

use std::fs::read_to_string;
use std::io;

use crate::checkpoint::Files;
use crate::config::ModelConfig;
use crate::error::{Error, Result, gib};
use crate::lm::Matrix;
use crate::weights::WeightFormat;

/// Where Linux says what a program may still take.
const MEMINFO: &str = "/proc/meminfo";
/// The limit of the program's control group and what the group uses of it.
const CGROUP_LIMIT: &str = "/sys/fs/cgroup/memory.max";
const CGROUP_USED: &str = "/sys/fs/cgroup/memory.current";

/// Checks that a checkpoint's weights fit.
///
/// # Errors
/// [`Error::Memory`] with what is needed and what there is; nothing is said where the system does not tell.
pub(crate) fn check(files: &Files, config: &ModelConfig, format: WeightFormat) -> Result<()> {
    within(needed(files.weight_bytes()?, config, format), available())
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

/// Bytes that the weights take at least: rounded to few bits where that is asked for, else as they lie in the files, bf16
/// without what packing it spares.
fn needed(in_files: u64, config: &ModelConfig, format: WeightFormat) -> u64 {
    let rounded = |eighths_of_bits: u64| language_weights(config) * eighths_of_bits / 64;
    match format {
        WeightFormat::Stored => in_files - spared(in_files, language_weights(config), Matrix::packs_bf16()),
        WeightFormat::Q8_0 => in_files.min(rounded(68)),
        WeightFormat::Q4K => in_files.min(rounded(36)),
    }
}

/// Bytes that twelve bits a number spare of files whose numbers take two bytes; the matrices are most of them.
fn spared(in_files: u64, weights: u64, packs: bool) -> u64 {
    let of_two_bytes = in_files >= 2 * weights && in_files < 3 * weights;
    if of_two_bytes && packs { weights / 2 } else { 0 }
}

/// Numbers of the language model's matrices.
fn language_weights(config: &ModelConfig) -> u64 {
    let text = &config.text;
    let attention = text.hidden_size * (2 * text.hidden_size + 2 * text.kv_size());
    let layer = attention + 3 * text.hidden_size * text.intermediate_size;
    let tables = if config.tied { 1 } else { 2 };
    (text.layers * layer + tables * text.vocab_size * text.hidden_size) as u64
}

/// Bytes that this program may still take.
fn available() -> Option<u64> {
    let free = read_to_string(MEMINFO).ok().and_then(|text| of_system(&text));
    let limit = read_to_string(CGROUP_LIMIT).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let used = read_to_string(CGROUP_USED).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let group = limit.zip(used).map(|(limit, used)| limit.saturating_sub(used));
    [free, group].into_iter().flatten().min()
}

/// `MemAvailable` of `/proc/meminfo`, which counts in KiB.
fn of_system(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::checkpoint::read_config;

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
    fn bf16_is_counted_as_it_will_be_kept() {
        // 7B: 7.1 G numbers in matrices of the language model, 16.6 GB in files.
        assert_eq!(spared(16_600, 7_100, true), 3_550);
        assert_eq!(spared(16_600, 7_100, false), 0, "on a processor that does not pack");
        assert_eq!(spared(33_200, 7_100, true), 0, "f32 stays as it is");
        assert_eq!(spared(7_600, 7_100, true), 0, "so do eight bits");
    }

    #[test]
    fn few_bits_need_less_than_the_files() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/qwen2_5_vl/tied");
        let files = Files::folder(&folder);
        let config = read_config(&files).unwrap();
        let bytes = files.weight_bytes().unwrap();
        let [stored, eight, four] = [WeightFormat::Stored, WeightFormat::Q8_0, WeightFormat::Q4K]
            .map(|format| needed(bytes, &config, format));
        assert!(stored <= bytes && eight < stored && four < eight, "{stored} {eight} {four}");
        assert!(check(&files, &config, WeightFormat::Stored).is_ok());
    }
}
