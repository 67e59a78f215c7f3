//! Why a checkpoint, a conversation or a picture is refused.

use std::path::PathBuf;

/// What can go wrong before decoding starts. Every message names the file or the input and what was expected of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the checkpoint cannot be read.
    #[error("{file}: cannot be read: {source}")]
    Read {
        /// The file.
        file: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("{file}: cannot be written: {problem}")]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        problem: String,
    },
    /// A file of the checkpoint is not there.
    #[error("{file}: is missing; {expected}")]
    MissingFile {
        /// The file.
        file: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// A file is there but its content is not what it should be.
    #[error("{file}: {problem}; expected {expected}")]
    BadFile {
        /// The file.
        file: PathBuf,
        /// What was found.
        problem: String,
        /// What was expected.
        expected: String,
    },
    /// A model of another kind.
    #[error(
        "{file}: the architecture is {found}; expected Qwen2_5_VLForConditionalGeneration (model_type qwen2_5_vl)"
    )]
    UnknownArchitecture {
        /// The configuration.
        file: PathBuf,
        /// What it names.
        found: String,
    },
    /// A weight is not in the checkpoint.
    #[error("{file}: tensor {tensor} is missing; expected shape {expected:?}")]
    MissingTensor {
        /// The weight file, or the index of a sharded one.
        file: PathBuf,
        /// Its name in the hub's key layout.
        tensor: String,
        /// The shape the configuration asks for.
        expected: Vec<usize>,
    },
    /// A weight has another shape than the configuration says.
    #[error("{file}: tensor {tensor} has shape {got:?}; the configuration asks for {expected:?}")]
    WrongShape {
        /// The weight file.
        file: PathBuf,
        /// Its name in the file.
        tensor: String,
        /// The shape the configuration asks for.
        expected: Vec<usize>,
        /// The shape in the file.
        got: Vec<usize>,
    },
    /// A weight is stored in a number format that is not supported.
    #[error("{file}: tensor {tensor} is stored as {got}; expected {expected}")]
    WrongDtype {
        /// The weight file.
        file: PathBuf,
        /// Its name in the file.
        tensor: String,
        /// The format in the file.
        got: String,
        /// The formats that are read.
        expected: &'static str,
    },
    /// An adapter was trained for a base model of another shape.
    #[error("{file}: tensor {tensor} {problem}: the adapter belongs to another base model ({base})")]
    WrongBase {
        /// The adapter's weights.
        file: PathBuf,
        /// Its name in the file.
        tensor: String,
        /// What it is, and what would fit.
        problem: String,
        /// The base model that the adapter names.
        base: String,
    },
    /// An adapter that cannot be used in this way.
    #[error("the adapter cannot be used: {0}")]
    Adapter(String),
    /// The tokenizer does not belong to the model.
    #[error("{file}: the tokenizer does not fit the model: {problem}; expected {expected}")]
    TokenizerMismatch {
        /// The tokenizer.
        file: PathBuf,
        /// What was found.
        problem: String,
        /// What was expected.
        expected: String,
    },
    /// The weights do not fit into memory.
    #[error(
        "the weights take at least {} of memory and {} are free; keep them in fewer bits (--weights q8_0 or q4_k), or end other programs",
        gib(*needed),
        gib(*available)
    )]
    Memory {
        /// Bytes that they take at least.
        needed: u64,
        /// Bytes that there are.
        available: u64,
    },
    /// A conversation that cannot be rendered or tokenised.
    #[error("the conversation cannot be encoded: {0}")]
    Conversation(String),
    /// A picture that the model cannot take.
    #[error("the picture cannot be prepared: {0}")]
    Picture(String),
    /// The model computed something that is not a number.
    #[error("the model's scores are not finite; its weights are damaged")]
    NotFinite,
    /// A device cannot be used, or failed.
    #[error("the device cannot be used: {0}")]
    Device(String),
    /// A tensor operation failed.
    #[error("a tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

/// Bytes as people read them.
pub(crate) fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64)
}

impl Error {
    /// A stable code for logs and error bodies.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "model_unreadable",
            Self::Write { .. } => "file_unwritable",
            Self::MissingFile { .. } => "model_file_missing",
            Self::BadFile { .. } => "model_file_invalid",
            Self::UnknownArchitecture { .. } => "model_unknown_architecture",
            Self::MissingTensor { .. } => "model_tensor_missing",
            Self::WrongShape { .. } => "model_tensor_shape",
            Self::WrongDtype { .. } => "model_tensor_dtype",
            Self::WrongBase { .. } => "adapter_wrong_base",
            Self::Adapter(_) => "adapter_unusable",
            Self::TokenizerMismatch { .. } => "model_tokenizer_mismatch",
            Self::Memory { .. } => "model_too_large",
            Self::Conversation(_) => "conversation_invalid",
            Self::Picture(_) => "picture_invalid",
            Self::NotFinite => "model_not_finite",
            Self::Device(_) => "device_failed",
            Self::Tensor(_) => "tensor_failed",
        }
    }
}

/// Result of this crate's checked operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;
