//! Where settings come from: defaults, `loupe.toml`, the environment, flags.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use loupe_shared::protocol::Workflow;
use serde::{Deserialize, Serialize};

use crate::model::MODEL_PIXELS;

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "loupe.toml";

/// Settings as flags; also what `loupe.toml` and the environment may set.
#[derive(Debug, Clone, Default, clap::Args, Serialize)]
pub struct Flags {
    /// Settings file; loupe.toml in the current folder where there is one
    #[arg(long, value_name = "FILE", global = true)]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Model: `pocket`, or a checkpoint's folder: Hugging Face layout, weights in safetensors or GGUF [default: pocket]
    #[arg(long, value_name = "MODEL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Numbers that the model's weights are kept in: `stored`, `q8_0` for half of bf16's memory, or `q4_k` for less than a third [default: stored]
    #[arg(long, value_name = "FORMAT", conflicts_with = "engine")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// Also keep the weights in this format, fewer bits than --weights: they guess what comes, which writes the same words
    /// in less time where it is mostly right: `q4_k` or `q8_0` [default: none]
    #[arg(long, value_name = "FORMAT", conflicts_with = "engine")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drafter: Option<String>,
    /// Where the model decodes: `cpu`, or `cuda` or `cuda:N` for an NVIDIA GPU [default: cpu]
    #[arg(long, value_name = "DEVICE", conflicts_with = "engine")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Memory for keys and values of conversations, as in 512MiB or 4GiB [default: 1GiB]
    #[arg(long, value_name = "SIZE", conflicts_with = "engine")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_cache: Option<String>,
    /// Most pixels that the model is shown of a picture; a token stands for 784 [default: 1003520, and never more than the checkpoint allows]
    #[arg(long, value_name = "PIXELS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_pixels: Option<u32>,
    /// Cores to compute on, with commas between; one thread is pinned to each [default: all, not pinned]
    #[arg(long, value_name = "CORES", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cores: Vec<usize>,
    /// Workflows whose turns are held to the grammar of the model's dialect, with commas between [default: none]
    #[arg(long, value_name = "WORKFLOWS", value_delimiter = ',', conflicts_with = "engine")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constrain: Vec<String>,
    /// LoRA adapter in PEFT's format: `DIR` is merged into the weights, `NAME=DIR` kept beside them for questions that
    /// name it; may be given several times
    #[arg(long = "adapter", value_name = "[NAME=]DIR", conflicts_with = "engine")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<String>,
    /// Servers that decode instead: `openai:URL[,URL…][#model]`, as in openai:http://host:8000/v1
    #[arg(long, value_name = "ENGINE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// What the model behind --engine was trained to write: `tool-call` or `deepmm` [default: tool-call]
    #[arg(long, value_name = "DIALECT", requires = "engine")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// Folder for queries and pictures [default: $XDG_DATA_HOME/loupe]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// Text search: `local:DIR` or `searxng:URL` [default: local:<data>/atlas]
    #[arg(long, value_name = "PROVIDER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// Picture search: `local:DIR` [default: as --search where that is local, else local:<data>/atlas]
    #[arg(long, value_name = "PROVIDER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_search: Option<String>,
    /// What is logged, as in `info` or `loupe_app=debug` [default: info]
    #[arg(long, value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Questions that are answered at the same time; only `loupe serve` sets it
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<usize>,
    /// Where to listen; only `loupe serve` sets it
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
}

/// All layers merged, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) model: String,
    pub(super) weights: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) drafter: Option<String>,
    pub(super) device: String,
    pub(super) kv_cache: String,
    pub(super) max_pixels: u32,
    pub(super) cores: Vec<usize>,
    pub(super) constrain: Vec<Workflow>,
    pub(super) runs: usize,
    pub(super) adapters: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) engine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dialect: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<PathBuf>,
    pub(super) listen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) search: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_search: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) public_url: Option<String>,
    pub(super) embed_origins: Vec<String>,
    pub(super) log: String,
}

/// The names that the environment may set, each as `LOUPE_NAME`. Other variables of that form belong to the build.
const NAMES: [&str; 19] = [
    "model",
    "weights",
    "drafter",
    "device",
    "adapters",
    "kv_cache",
    "max_pixels",
    "cores",
    "constrain",
    "runs",
    "engine",
    "dialect",
    "data",
    "listen",
    "search",
    "image_search",
    "public_url",
    "embed_origins",
    "log",
];

impl Default for Raw {
    fn default() -> Self {
        Self {
            model: "pocket".to_owned(),
            weights: "stored".to_owned(),
            drafter: None,
            device: "cpu".to_owned(),
            kv_cache: "1GiB".to_owned(),
            max_pixels: MODEL_PIXELS,
            cores: Vec::new(),
            constrain: Vec::new(),
            runs: 8,
            adapters: Vec::new(),
            engine: None,
            dialect: None,
            data: None,
            listen: "127.0.0.1:8787".to_owned(),
            search: None,
            image_search: None,
            public_url: None,
            embed_origins: vec!["*".to_owned()],
            log: "info".to_owned(),
        }
    }
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The named file is not there.
    #[error("there is no settings file {0}")]
    NoFile(PathBuf),
    /// A layer has an unknown name or a value of another kind.
    #[error("the settings cannot be read: {0}")]
    Unreadable(Box<figment::Error>),
    /// A value is wrong.
    #[error("the setting {name} is {value:?}: {reason}")]
    Invalid {
        /// Which setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong and how it is written.
        reason: String,
    },
    /// Nothing says where data goes.
    #[error("neither --data nor $XDG_DATA_HOME nor $HOME says where data goes; give --data DIR")]
    NoHome,
    /// They cannot be written as TOML.
    #[error("the settings cannot be printed: {0}")]
    Unprintable(String),
}

impl SettingsError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoFile(_) => "settings_no_file",
            Self::Unreadable(_) => "settings_unreadable",
            Self::Invalid { .. } => "settings_invalid",
            Self::NoHome => "settings_no_home",
            Self::Unprintable(_) => "settings_unprintable",
        }
    }
}

pub(super) fn invalid(name: &'static str, value: &str, reason: impl Into<String>) -> SettingsError {
    SettingsError::Invalid { name, value: value.to_owned(), reason: reason.into() }
}

/// Merges all layers.
pub(super) fn read(flags: &Flags) -> Result<Raw, SettingsError> {
    let defaults = Figment::from(Serialized::defaults(Raw::default()));
    let with_file = match &flags.config {
        Some(file) if !file.is_file() => return Err(SettingsError::NoFile(file.clone())),
        Some(file) => defaults.merge(Toml::file_exact(file)),
        None if Path::new(DEFAULT_FILE).is_file() => defaults.merge(Toml::file_exact(DEFAULT_FILE)),
        None => defaults,
    };
    let mut raw: Raw = with_file
        .merge(Env::prefixed("LOUPE_").only(&NAMES))
        .merge(Serialized::defaults(flags))
        .extract()
        .map_err(|error| SettingsError::Unreadable(Box::new(error)))?;
    // Whoever names a model means it, whatever servers the file has.
    if flags.model.is_some() && flags.engine.is_none() {
        (raw.engine, raw.dialect) = (None, None);
    }
    Ok(raw)
}
