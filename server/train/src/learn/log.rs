//! The log of a run: one JSON object a line, appended.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::error::{Result, TrainError};
use crate::lines::lock;

/// The log's name in a run's folder.
pub const LOG: &str = "log.jsonl";

/// Sums over some tokens or turns of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Weighted loss.
    pub loss: f64,
    /// Weight.
    pub weight: f64,
    /// Assistant turns.
    pub turns: u64,
    /// Of these, how many the model would have written exactly so by greedy decoding.
    pub exact: u64,
}

impl Tally {
    /// Adds another's sums.
    pub fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.weight += other.weight;
        self.turns += other.turns;
        self.exact += other.exact;
    }
}

/// One line: means over the steps since the line before.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Steps taken.
    pub step: u64,
    /// Tokens read so far, padding left out, pictures' tokens included.
    pub tokens: u64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Mean loss of the language model, in nats per weighted token.
    pub loss: f64,
    /// Mean loss of the dense teacher where there was one.
    pub dense: Option<f64>,
    /// Loss on the development set, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev: Option<f64>,
    /// Learning rate of the last step.
    pub rate: f64,
    /// Mean norm of the gradients before clipping.
    pub grad_norm: f64,
    /// Tokens a second.
    pub tokens_per_second: f64,
    /// By kind of example, and for assistant turns by their number in the conversation (`trajectory/2`).
    pub kinds: BTreeMap<String, KindLine>,
}

/// A kind of example in a line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct KindLine {
    /// Mean loss in nats per weighted token.
    pub loss: f64,
    /// Part of the assistant turns that greedy decoding would have written exactly so; none where there were no turns.
    pub exact: Option<f64>,
    /// Assistant turns.
    pub turns: u64,
}

impl From<&Tally> for KindLine {
    fn from(tally: &Tally) -> Self {
        Self {
            loss: if tally.weight > 0.0 { tally.loss / tally.weight } else { 0.0 },
            exact: (tally.turns > 0).then(|| tally.exact as f64 / tally.turns as f64),
            turns: tally.turns,
        }
    }
}

/// The open log.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    /// Opens the log of a run in the folder `out`, which is made if it is not there. While it is open, no other process
    /// trains in the folder.
    ///
    /// # Errors
    /// When it cannot be opened, or another process trains in the folder.
    pub fn open(out: &Path) -> Result<Self> {
        std::fs::create_dir_all(out).map_err(TrainError::file(out))?;
        let (mut options, path) = (OpenOptions::new(), out.join(LOG));
        let file = options.create(true).append(true).read(true).open(&path);
        let file = file.map_err(TrainError::file(&path))?;
        lock(&path, &file)?;
        Ok(Self { file, path })
    }

    /// Goes on after `steps` steps, and gives what the log says of them. Lines of later steps, which a killed process
    /// wrote after its last checkpoint, are cut off: these steps will be taken again.
    ///
    /// # Errors
    /// When it cannot be read or cut.
    pub fn resume(&mut self, steps: u64) -> Result<Vec<Value>> {
        let mut text = String::new();
        let read = self.file.rewind().and_then(|()| self.file.read_to_string(&mut text));
        read.map_err(TrainError::file(&self.path))?;
        let (mut lines, mut kept) = (Vec::new(), 0);
        for line in text.split_inclusive('\n') {
            let Ok(value) = serde_json::from_str::<Value>(line) else { break };
            if !line.ends_with('\n') || value["step"].as_u64().is_none_or(|step| step > steps) {
                break;
            }
            kept += line.len();
            lines.push(value);
        }
        self.file.set_len(kept as u64).map_err(TrainError::file(&self.path))?;
        Ok(lines)
    }

    /// Appends a line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let written = serde_json::to_string(line).map_err(std::io::Error::from);
        written.and_then(|text| writeln!(self.file, "{text}")).map_err(TrainError::file(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_will_be_taken_again_are_cut_off_with_what_is_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOG);
        std::fs::write(&path, "{\"step\":10}\n{\"step\":20}\n{\"step\":30}\n{\"st").unwrap();
        let mut log = Log::open(folder.path()).unwrap();
        let lines = log.resume(20).unwrap();
        assert_eq!(lines.iter().map(|line| line["step"].as_u64()).collect::<Vec<_>>(), [Some(10), Some(20)]);
        log.write(&serde_json::json!({"step": 30})).unwrap();
        drop(log);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"step\":10}\n{\"step\":20}\n{\"step\":30}\n");
        assert_eq!(Log::open(folder.path()).unwrap().resume(0).unwrap().len(), 0);
    }

    #[test]
    fn a_second_process_is_kept_out() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Log::open(&folder.path().join("run"));
        let log = open().unwrap();
        assert!(matches!(open(), Err(TrainError::Lines(_))));
        drop(log);
        open().unwrap();
    }
}
