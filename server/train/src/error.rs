//! Why a model cannot be trained.

use std::path::{Path, PathBuf};

use crate::lines::LinesError;
use crate::place::FileError;

/// Why a training run cannot start or go on. Messages say what happened and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// The recipe does not say what is needed, or contradicts itself.
    #[error("the recipe {path} cannot be used: {reason}")]
    Recipe {
        /// The recipe.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A checkpoint belongs to another model or is damaged.
    #[error("the checkpoint {path} cannot be used: {reason}; start a new run in another folder")]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A new run was to begin where one is.
    #[error("{0} holds a run already; go on with it (--resume), or name another folder")]
    RunIsThere(PathBuf),
    /// An adapter to go on from does not fit.
    #[error("the adapter cannot be trained on: {reason}")]
    Adapter {
        /// What does not fit.
        reason: String,
    },
    /// The agent could not be run.
    #[error("a rollout could not be made: {0}")]
    Rollout(String),
    /// Another process trains in the folder.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// A data set cannot be read.
    #[error(transparent)]
    Dataset(#[from] crate::dataset::DatasetError),
    /// No tokenizer could be made or read.
    #[error("the tokenizer failed: {0}")]
    Tokenizer(String),
    /// Nothing can be learnt from a data set.
    #[error(
        "no row has {max_length} tokens or fewer, so nothing can be learnt; raise batch.max_length in the recipe"
    )]
    TooLong {
        /// The recipe's limit.
        max_length: usize,
    },
    /// The thread that prepares batches ended.
    #[error("the thread that prepares batches ended; its panic message is above")]
    Prefetch,
    /// The loss or a gradient is not a number.
    #[error(
        "step {step}: the {what} is not finite; lower the learning rate and resume from the last checkpoint"
    )]
    NotFinite {
        /// The step.
        step: u64,
        /// The loss or the gradient.
        what: &'static str,
    },
    /// The model refused.
    #[error(transparent)]
    Model(#[from] loupe_mllm::Error),
    /// A tensor operation failed.
    #[error("a tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl TrainError {
    /// A stable code for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Recipe { .. } => "recipe",
            Self::Checkpoint { .. } => "checkpoint",
            Self::RunIsThere(_) => "run_is_there",
            Self::Adapter { .. } => "adapter",
            Self::Rollout(_) => "rollout",
            Self::Lines(_) => "in_use",
            Self::Dataset(error) => error.code(),
            Self::Tokenizer(_) => "tokenizer",
            Self::TooLong { .. } => "too_long",
            Self::Prefetch => "prefetch",
            Self::NotFinite { .. } => "not_finite",
            Self::Model(error) => error.code(),
            Self::Tensor(_) => "tensor",
        }
    }

    /// Wraps an error of the file system with the path it is about.
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

impl From<FileError> for TrainError {
    fn from(FileError { path, source }: FileError) -> Self {
        Self::File { path, source }
    }
}

/// A result of the trainer.
pub type Result<T, E = TrainError> = std::result::Result<T, E>;
