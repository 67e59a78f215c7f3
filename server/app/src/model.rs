//! Which model answers, and opening it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use loupe_mllm::checkpoint::Files;
use loupe_mllm::engine::Decoder;
use loupe_mllm::{AdapterSpec, Engine, Formats, Limits, Loaded, Processor, WeightFormat};
use rust_embed::Embed;

use crate::remote::{KEY, Remote, RemoteSpec, SpecError};

/// The checkpoint that this project trains and ships, when the program was built with it.
#[derive(Embed)]
#[folder = "$LOUPE_POCKET"]
#[allow_missing = true]
struct Pocket;

/// The name of the shipped model.
const POCKET: &str = "pocket";

/// Which model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSpec {
    /// The one in the program.
    Pocket,
    /// A checkpoint in Hugging Face layout.
    Folder(PathBuf),
    /// One that other servers decode.
    Remote(RemoteSpec),
}

/// How a model is opened.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelOptions {
    /// In which numbers its weights are kept, and its drafter's.
    pub formats: Formats,
    /// Where it decodes.
    pub device: Processor,
    /// Its LoRA adapters.
    pub adapters: Vec<AdapterSpec>,
    /// What its engine may use.
    pub limits: Limits,
    /// Most pixels that it sees of a picture, where the checkpoint allows more.
    pub max_pixels: u32,
}

/// Most pixels that a model sees of a picture unless more are asked for: 1,280 tokens of 28 x 28. The checkpoints of the
/// hub allow 16,384 tokens, minutes of reading without a GPU.
pub const MODEL_PIXELS: u32 = 1280 * 28 * 28;

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            formats: Formats::default(),
            device: Processor::default(),
            adapters: Vec::new(),
            limits: Limits::default(),
            max_pixels: MODEL_PIXELS,
        }
    }
}

/// Why a model cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The program has no pocket model.
    #[error("this program was built without the pocket model; give --model the folder of a checkpoint")]
    NoPocket,
    /// There is no such folder.
    #[error(
        "there is no model folder {0}; give --model `pocket` or the folder of a checkpoint in Hugging Face layout"
    )]
    NoFolder(PathBuf),
    /// The checkpoint cannot be used.
    #[error("the model cannot be used: {0}")]
    Checkpoint(#[from] loupe_mllm::Error),
    /// Other servers decode it, so its files are not here.
    #[error("a model that other servers decode has no files here; give --model the folder of a checkpoint")]
    NoFiles,
    /// The servers that decode cannot be used.
    #[error("{0}")]
    Remote(#[from] SpecError),
    /// There is no thread to decode on.
    #[error("the model cannot be started: {0}")]
    Thread(std::io::Error),
}

impl ModelError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoPocket => "model_no_pocket",
            Self::NoFolder(_) => "model_no_folder",
            Self::Checkpoint(_) => "model_unusable",
            Self::NoFiles => "model_no_files",
            Self::Remote(_) => "model_unreachable",
            Self::Thread(_) => "model_no_thread",
        }
    }
}

/// What is wrong with a drafter's format otherwise.
pub const TAKES_FEWER: &str = "a drafter takes fewer bits than the weights";

/// Reads a weight format from the command line.
///
/// # Errors
/// Names the formats when it is none.
pub fn weight_format(name: &str) -> Result<WeightFormat, String> {
    WeightFormat::named(name).ok_or_else(|| format!("write {}", WeightFormat::NAMES))
}

/// Reads a processor from the command line.
///
/// # Errors
/// Says how processors are written when it is none.
pub fn processor(name: &str) -> Result<Processor, String> {
    Processor::named(name).ok_or_else(|| format!("write {}", Processor::NAMES))
}

/// Reads an adapter from the command line.
///
/// # Errors
/// When there is no such folder.
pub fn adapter(text: &str) -> Result<AdapterSpec, String> {
    let spec = AdapterSpec::parse(text);
    if spec.folder.is_dir() {
        return Ok(spec);
    }
    let folder = spec.folder.display();
    Err(format!(
        "there is no folder {folder}; write DIR to merge an adapter, or NAME=DIR to ask for it by name"
    ))
}

impl ModelSpec {
    /// The servers that decode it, where others do.
    #[must_use]
    pub fn servers(&self) -> Option<&RemoteSpec> {
        match self {
            Self::Remote(servers) => Some(servers),
            Self::Pocket | Self::Folder(_) => None,
        }
    }

    /// Reads `pocket` or a folder.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text == POCKET { Self::Pocket } else { Self::Folder(PathBuf::from(text)) }
    }

    /// What the model in the program holds, in few letters.
    #[must_use]
    pub fn pocket_hash() -> String {
        let mut hasher = blake3::Hasher::new();
        for name in Pocket::iter() {
            if let Some(file) = Pocket::get(&name) {
                hasher.update(name.as_bytes()).update(&file.metadata.sha256_hash());
            }
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }

    /// The checkpoint's files.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn files(&self) -> Result<Files, ModelError> {
        match self {
            Self::Folder(path) if path.is_dir() => Ok(Files::folder(path)),
            Self::Folder(path) => Err(ModelError::NoFolder(path.clone())),
            Self::Remote(_) => Err(ModelError::NoFiles),
            Self::Pocket => {
                let files: BTreeMap<_, _> = Pocket::iter()
                    .filter_map(|name| Some((name.to_string(), Pocket::get(&name)?.data)))
                    .collect();
                if files.is_empty() { Err(ModelError::NoPocket) } else { Ok(Files::embedded(POCKET, files)) }
            }
        }
    }

    /// Opens the model, or connects to the servers that have it and its adapters. Takes seconds.
    ///
    /// # Errors
    /// [`ModelError`].
    pub async fn open(&self, options: ModelOptions) -> Result<Arc<dyn Decoder>, ModelError> {
        if let Self::Remote(spec) = self {
            let key = std::env::var(KEY).ok().filter(|key| !key.is_empty());
            return Ok(Arc::new(Remote::connect(spec, key, options.max_pixels).await?));
        }
        let spec = self.clone();
        let opened = tokio::task::spawn_blocking(move || spec.open_here(&options)).await;
        opened.map_err(|error| ModelError::Thread(std::io::Error::other(error)))?
    }

    fn open_here(&self, options: &ModelOptions) -> Result<Arc<dyn Decoder>, ModelError> {
        let ModelOptions { formats, device, adapters, limits, max_pixels } = options;
        let mut loaded = Loaded::open_on(*device, &self.files()?, *formats, adapters)?;
        loaded.chat.preprocessor = loaded.chat.preprocessor.at_most((*max_pixels).into());
        Ok(Arc::new(Engine::start(loaded, *limits).map_err(ModelError::Thread)?))
    }
}
