//! Why a data set cannot be made or read.

use std::io;
use std::path::{Path, PathBuf};

use loupe_search::SearchError;
use loupe_shared::pixels::PixelError;

use super::source::BadRow;
use crate::atlas::AtlasError;
use crate::lines::LinesError;
use crate::place::FileError;

/// Why a data set cannot be made or read. Messages say what happened and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A line of a file is not a record.
    #[error("{path}, line {line}: {reason}; data sets are JSON lines as `loupe dataset build` writes them")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What does not fit.
        reason: String,
    },
    /// A row of a source cannot be used.
    #[error("{path}, {place}: {row}; mend it, or leave such rows out with --skip-bad")]
    Row {
        /// The file.
        path: PathBuf,
        /// Where in it: `line 3`, `row 3`, `question 297147`.
        place: String,
        /// What does not fit.
        row: BadRow,
    },
    /// A source as a whole cannot be read.
    #[error("{path}: {reason}")]
    Source {
        /// The file.
        path: PathBuf,
        /// What does not fit, and what to do.
        reason: String,
    },
    /// The folder holds what another teacher decided, or something else.
    #[error(
        "{path}: another teacher, or the same with other settings, decided there; write to another folder with --out, \
         or remove the file to ask again"
    )]
    Decisions {
        /// The file.
        path: PathBuf,
    },
    /// What was decided before cannot be gone on with.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// The teacher answers nothing any more.
    #[error(
        "the teacher failed on {rows} questions in a row ({reason}); what was decided is kept, so give the same \
         command again when it works"
    )]
    Teacher {
        /// How many.
        rows: usize,
        /// The last failure.
        reason: String,
    },
    /// No row can be chosen.
    #[error(
        "a share of {share} search-free rows cannot be had from these {rows} rows, of which {free} need no search; \
         give another --search-free, or take rows as they come with --search-free any (what was decided is kept)"
    )]
    NothingChosen {
        /// The share that was asked for.
        share: f64,
        /// Rows that there are.
        rows: u64,
        /// Of these, those that need no search.
        free: u64,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The Atlas cannot be used.
    #[error(transparent)]
    Atlas(#[from] AtlasError),
    /// The Atlas has no country in the split.
    #[error(
        "the Atlas asks about no country in the split {split}; build it from the whole of world-countries"
    )]
    EmptySplit {
        /// The split's name.
        split: &'static str,
    },
    /// A row's picture cannot be read.
    #[error("the picture of {id} cannot be used: {reason}")]
    RowPicture {
        /// The row.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tool failed where it has to work.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// A picture cannot be cut.
    #[error("a picture of the Atlas cannot be cut: {0}")]
    Picture(#[from] PixelError),
}

impl From<FileError> for DatasetError {
    fn from(FileError { path, source }: FileError) -> Self {
        Self::File { path, source }
    }
}

/// Says which file an error is about.
pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> DatasetError + use<> {
    let path = path.to_owned();
    move |source| DatasetError::File { path: path.clone(), source }
}

impl DatasetError {
    /// A stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Line { .. } => "dataset_line",
            Self::Row { .. } => "dataset_row",
            Self::Source { .. } => "dataset_source",
            Self::Decisions { .. } | Self::Lines(_) => "dataset_decisions",
            Self::Teacher { .. } => "dataset_teacher",
            Self::NothingChosen { .. } => "dataset_nothing_chosen",
            Self::File { .. } => "dataset_file",
            Self::Atlas(error) => error.code(),
            Self::EmptySplit { .. } => "dataset_empty_split",
            Self::RowPicture { .. } => "dataset_row_picture",
            Self::Search(error) => error.code(),
            Self::Picture(error) => error.code(),
        }
    }
}
