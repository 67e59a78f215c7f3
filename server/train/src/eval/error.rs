//! Why an evaluation cannot go on.

use std::path::{Path, PathBuf};

use loupe_agent::dialect::UnknownDialect;
use loupe_shared::pixels::PixelError;

use crate::lines::LinesError;
use crate::place::FileError;

/// Why an evaluation cannot go on. Messages say what happened and what to do.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The model writes something that this program does not speak.
    #[error(transparent)]
    Dialect(#[from] UnknownDialect),
    /// A question's picture cannot be read.
    #[error("the picture {path} of question {id} cannot be used: {reason}")]
    Picture {
        /// The question.
        id: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A question's region cannot be cut.
    #[error("the region of question {id} cannot be cut: {source}")]
    Region {
        /// The question.
        id: String,
        /// What is wrong.
        source: PixelError,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// What an earlier run wrote cannot be gone on with.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// The folder holds rows of an evaluation with other settings.
    #[error(
        "{path} belongs to an evaluation with other settings ({differences}); give another --report folder, or remove this one to begin anew"
    )]
    OtherSettings {
        /// The folder.
        path: PathBuf,
        /// Which settings, with both values.
        differences: String,
    },
    /// Two questions have one name.
    #[error("two questions are called {0}; every question needs an id of its own")]
    SameId(String),
    /// A question has no answer to be judged by.
    #[error("question {0} has no answer; every question needs one to be judged by")]
    NoAnswer(String),
    /// A recording has no answer to a call, and that was not to be passed over.
    #[error("{0}; record again, or leave --strict-replay out to count it as a failed call")]
    Missed(String),
    /// The model's servers are gone, so that nothing can be said of the model.
    #[error("question {id} could not be asked: {reason}; run the same command again to go on from here")]
    Engine {
        /// The question.
        id: String,
        /// What happened.
        reason: String,
    },
    /// The judge's model cannot be asked.
    #[error("question {id} could not be judged: {reason}; run the same command again to go on from here")]
    Judge {
        /// The question.
        id: String,
        /// What happened.
        reason: String,
    },
    /// A report cannot be compared.
    #[error("{path}: {reason}")]
    Report {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A question's work ended without a result.
    #[error("a question's work stopped: {0}")]
    Stopped(#[from] tokio::task::JoinError),
}

impl From<FileError> for EvalError {
    fn from(FileError { path, source }: FileError) -> Self {
        Self::File { path, source }
    }
}

impl EvalError {
    /// A stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Dialect(_) => "eval_dialect",
            Self::Picture { .. } => "eval_picture",
            Self::Region { .. } => "eval_region",
            Self::File { .. } | Self::Lines(LinesError::File { .. }) => "eval_file",
            Self::Lines(LinesError::Line { .. }) => "eval_line",
            Self::Lines(LinesError::InUse(_)) => "eval_in_use",
            Self::OtherSettings { .. } => "eval_other_settings",
            Self::SameId(_) => "eval_same_id",
            Self::NoAnswer(_) => "eval_no_answer",
            Self::Missed(_) => "eval_missed",
            Self::Engine { .. } => "eval_engine",
            Self::Judge { .. } => "eval_judge",
            Self::Report { .. } => "eval_report",
            Self::Stopped(_) => "eval_stopped",
        }
    }
}

/// Puts the file into what happened to it.
pub(super) fn at<E: Into<std::io::Error>>(path: &Path) -> impl Fn(E) -> EvalError + use<E> {
    let path = path.to_owned();
    move |source| EvalError::File { path: path.clone(), source: source.into() }
}
