//! The questions that are asked: rows of our own, or other people's, which are rewritten as such.

use std::path::{Path, PathBuf};

use loupe_train::dataset::file::{QUESTIONS, Writer, read};
use loupe_train::dataset::intake::Intake;
use loupe_train::dataset::source::Layout;
use loupe_train::eval::runner::Questions;

use super::args::Measured;
use crate::commands::layout::{LayoutArgs, STORED_PIXELS};
use crate::commands::stamp;

/// Reads the questions.
///
/// # Errors
/// With the place of the first row that cannot be asked.
pub(super) fn open(args: &Measured) -> anyhow::Result<Questions> {
    let file = rows(&args.data, &args.layout, &args.report)?;
    let mut records = read(&file)?;
    records.truncate(args.limit.unwrap_or(usize::MAX));
    let folder = file.parent().unwrap_or(Path::new(".")).to_owned();
    Ok(Questions::new(records, folder)?)
}

/// The file of our own rows. Those of another layout are put into the report's folder with their pictures, under the
/// hash of all that they were made from, so that an evaluation that goes on finds them.
fn rows(data: &Path, how: &LayoutArgs, report: &Path) -> anyhow::Result<PathBuf> {
    let told = match how.layout() {
        Some(layout) => layout,
        // What cannot be told is read as rows of our own, so that the complaint names the line.
        None => Layout::guess(data).unwrap_or(Layout::Jsonl),
    };
    if told == Layout::Jsonl && !how.is_given() {
        return Ok(data.to_owned());
    }
    let made_from = format!("{} {} {}", told.as_str(), stamp::hash(data)?, how.stamp()?);
    let folder = report.join(format!("questions-{}", stamp::letters(made_from.as_bytes())));
    let file = folder.join(QUESTIONS);
    if file.exists() {
        return Ok(file);
    }
    let intake =
        Intake { out: folder.clone(), skip_bad: false, most_pixels: STORED_PIXELS, sample: None, seed: 0 };
    let taken = intake.take(&how.source(data, told))?;
    let mut writer = Writer::create(&file)?;
    for record in &taken.records {
        writer.write(record)?;
    }
    writer.finish()?;
    Ok(file)
}
