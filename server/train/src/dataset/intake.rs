//! Rows of a source that can be used: something is asked, something is right, and the picture can be seen.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use loupe_shared::pixels::{PixelLimits, Rgb8, smart_resize};

use super::DatasetError;
use super::picture::{keep, read};
use super::record::Record;
use super::report::LeftOut;
use super::source::{BadRow, Draft, Source};
use crate::atlas::rng::Rng;

/// What is done with what comes.
#[derive(Debug, Clone)]
pub struct Intake {
    /// The data set's folder, for the pictures.
    pub out: PathBuf,
    /// Whether rows that cannot be used are counted and left out; else the first one ends the reading.
    pub skip_bad: bool,
    /// Most pixels of a stored picture.
    pub most_pixels: u64,
    /// How many rows are drawn before anything is looked at; all where none is given.
    pub sample: Option<usize>,
    /// Seed of that draw.
    pub seed: u64,
}

/// What came.
#[derive(Debug, Default)]
pub struct Taken {
    /// Rows that can be used, their pictures stored.
    pub records: Vec<Record>,
    /// All rows.
    pub read: u64,
    /// Of these, those that were not drawn.
    pub not_sampled: u64,
    /// Rows that were left out, by what is wrong with them.
    pub bad: BTreeMap<String, u64>,
    /// Which these are.
    pub left_out: Vec<LeftOut>,
}

impl Intake {
    /// Reads a source.
    ///
    /// # Errors
    /// [`DatasetError::Row`] at the first bad row unless those are skipped; what else keeps from reading or storing.
    pub fn take(&self, source: &Source) -> Result<Taken, DatasetError> {
        let (mut taken, mut ids) = (Taken::default(), HashSet::new());
        let drawn = self.drawn(source)?;
        source.read(&mut |place, draft| {
            let row = taken.read;
            taken.read += 1;
            if drawn.as_ref().is_some_and(|drawn| !drawn.contains(&row)) {
                taken.not_sampled += 1;
                return Ok(());
            }
            let row = match draft.and_then(|draft| self.check(draft, &mut ids)) {
                Ok((mut record, pixels)) => {
                    record.image = keep(&self.out, &pixels)?;
                    taken.records.push(record);
                    return Ok(());
                }
                Err(row) => row,
            };
            if !self.skip_bad {
                return Err(DatasetError::Row { path: source.file.clone(), place: place.to_owned(), row });
            }
            tracing::warn!(file = %source.file.display(), place, "left out: {row}");
            taken.left_out.push(LeftOut::bad(place, &row));
            *taken.bad.entry(row.field).or_default() += 1;
            Ok(())
        })?;
        Ok(taken)
    }

    /// The numbers of the rows that are drawn; none where all are.
    fn drawn(&self, source: &Source) -> Result<Option<HashSet<u64>>, DatasetError> {
        let Some(count) = self.sample else { return Ok(None) };
        let mut rows = 0_u64;
        source.read(&mut |_, _| {
            rows += 1;
            Ok(())
        })?;
        let mut places: Vec<u64> = (0..rows).collect();
        Rng::of(self.seed, "sample", 0).shuffle(&mut places);
        Ok(Some(places.into_iter().take(count).collect()))
    }

    fn check(&self, draft: Draft, ids: &mut HashSet<String>) -> Result<(Record, Rgb8), BadRow> {
        let mut record = draft.record;
        for (field, text) in [("question", &mut record.question), ("answer", &mut record.answer)] {
            let trimmed = text.trim();
            if trimmed.is_empty() {
                return Err(BadRow::new(field, "is empty"));
            }
            *text = trimmed.to_owned();
        }
        let mut seen = HashSet::from([record.answer.clone(), String::new()]);
        record.aliases.retain(|alias| seen.insert(alias.trim().to_owned()));
        let pixels = read(&draft.picture, self.most_pixels)?;
        // What no model can be shown is of no use, however it is stored.
        smart_resize(pixels.height(), pixels.width(), PixelLimits::default())
            .map_err(|error| BadRow::new("image", error.to_string()))?;
        if !ids.insert(record.id.clone()) {
            return Err(BadRow::new("id", format!("is {:?}, as that of a row before", record.id)));
        }
        Ok((record, pixels))
    }
}
