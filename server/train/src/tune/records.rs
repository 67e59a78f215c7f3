//! A data set as the trainer eats it: epoch after epoch, each in an order of its own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use loupe_agent::conversation::user_turn;
use loupe_mllm::engine::{Message, Role};
use loupe_shared::pixels::Rgb8;
use loupe_shared::protocol::ImageRole;

use super::stamp::letters;
use crate::atlas::rng::Rng;
use crate::dataset::DatasetError;
use crate::dataset::file;
use crate::dataset::record::{Record, RecordRole, View};
use crate::error::{Result, TrainError};
use crate::eval::run::pictures;
use crate::learn::example::{Example, ExampleSource, Turn};

/// The rows of a file that have a conversation, over and over.
pub struct Records {
    /// With their lines, from 1.
    rows: Vec<(usize, Record)>,
    path: PathBuf,
    folder: PathBuf,
    /// Of the file.
    hash: String,
    seed: u64,
    /// The last epoch asked for, and its order.
    order: Mutex<(u64, Vec<u32>)>,
}

impl Records {
    /// Reads a data set's trajectories; their order is drawn by `seed`.
    ///
    /// # Errors
    /// [`TrainError::Dataset`] with the line that is malformed, has no conversation that can be learnt or names a picture
    /// that is not there; also where there are no rows.
    pub fn open(path: &Path, seed: u64) -> Result<Self> {
        Self::read(path, seed, can_be_learnt)
    }

    /// Reads a data set's questions; their order is drawn by `seed`.
    ///
    /// # Errors
    /// [`TrainError::Dataset`] with the line that is malformed, has no answer or names a picture that is not there; also
    /// where there are no rows.
    pub fn questions(path: &Path, seed: u64) -> Result<Self> {
        Self::read(path, seed, |row| {
            if row.answer.trim().is_empty() { Err("`answer` is empty".to_owned()) } else { Ok(()) }
        })
    }

    fn read(path: &Path, seed: u64, check: impl Fn(&Record) -> Result<(), String>) -> Result<Self> {
        let rows = file::read_lines(path)?;
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        let bad = |line: usize, reason: String| {
            TrainError::Dataset(DatasetError::Line { path: path.to_owned(), line, reason })
        };
        for &(line, ref row) in &rows {
            check(row).map_err(|reason| bad(line, format!("{}: {reason}", row.id)))?;
            if !folder.join(&row.image).is_file() {
                return Err(bad(line, format!("{}: `image` {} is not there", row.id, row.image)));
            }
        }
        if rows.is_empty() {
            return Err(bad(1, "it has no rows".to_owned()));
        }
        let bytes = std::fs::read(path).map_err(TrainError::file(path))?;
        let hash = letters(blake3::hash(&bytes));
        Ok(Self {
            rows,
            path: path.to_owned(),
            folder,
            hash,
            seed,
            order: Mutex::new((u64::MAX, Vec::new())),
        })
    }

    /// Rows of an epoch.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row that comes at a place of the stream, counted over all epochs.
    #[must_use]
    pub fn row(&self, index: u64) -> Option<&Record> {
        self.placed(index).map(|(_, row)| row)
    }

    /// The same with its line.
    fn placed(&self, index: u64) -> Option<&(usize, Record)> {
        let count = self.len().max(1);
        let (epoch, at) = (index / count, index % count);
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if order.0 != epoch {
            let mut rows: Vec<u32> = (0..self.rows.len() as u32).collect();
            Rng::of(self.seed, "epoch", epoch).shuffle(&mut rows);
            *order = (epoch, rows);
        }
        let row = order.1.get(at as usize)?;
        self.rows.get(*row as usize)
    }

    /// What the file held, in few letters.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The folder that the rows' pictures lie in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl ExampleSource for Records {
    fn example(&self, index: u64) -> Result<Example> {
        self.row(index).map_or_else(|| Ok(Example::default()), |row| example(row, &self.folder))
    }

    fn name(&self, index: u64) -> String {
        let path = self.path.display();
        match self.placed(index) {
            Some((line, row)) => format!("{path}, line {line} ({})", row.id),
            None => format!("a row of {path}"),
        }
    }

    fn epoch(&self) -> Option<u64> {
        Some(self.len())
    }
}

/// Says what in a row's conversation cannot be learnt as it is meant, if anything.
fn can_be_learnt(row: &Record) -> Result<(), String> {
    for (at, message) in row.messages.iter().enumerate() {
        if !message.weight.is_finite() || message.weight < 0.0 {
            return Err(format!("`messages[{at}].weight` has to be a number from 0 on"));
        }
        if message.weight > 0.0 && message.role != RecordRole::Assistant {
            return Err(format!(
                "`messages[{at}].weight` has to be 0: only what the assistant writes is learnt, not what it is told"
            ));
        }
        if row.region.is_none() && message.pictures.contains(&View::Region) {
            return Err(format!("`messages[{at}].pictures` shows the region, and the row has no `region`"));
        }
    }
    match row.messages.iter().any(|message| message.weight > 0.0) {
        true => Ok(()),
        false => Err("`messages` has no turn to learn".to_owned()),
    }
}

/// A row's conversation with its pictures.
///
/// # Errors
/// When its picture cannot be read or its region cut.
pub(crate) fn example(row: &Record, folder: &Path) -> Result<Example> {
    let bad = |reason: String| DatasetError::RowPicture { id: row.id.clone(), reason };
    let seen = pictures(row, folder).map_err(|error| bad(error.to_string()))?;
    let shown = |view: &View| {
        let framed =
            seen.iter().find(|picture| picture.role == ImageRole::Focus).filter(|_| *view == View::Region);
        framed.or(seen.first()).map(|picture| Arc::clone(&picture.pixels))
    };
    let mut turns = Vec::with_capacity(row.messages.len());
    for message in &row.messages {
        let pictures: Vec<Arc<Rgb8>> = message.pictures.iter().filter_map(shown).collect();
        let said = match message.role {
            RecordRole::User => user_turn(&pictures, message.text.clone()),
            RecordRole::System => Message::text(Role::System, message.text.clone()),
            RecordRole::Assistant => Message::text(Role::Assistant, message.text.clone()),
        };
        turns.push(Turn::Message { message: said, weight: message.weight });
    }
    Ok(Example { kind: if row.search { "search" } else { "picture" }, turns, seen: Vec::new() })
}
