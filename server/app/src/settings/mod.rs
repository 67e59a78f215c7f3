//! Settings: `loupe.toml`, then the environment (`LOUPE_…`), then flags; the later wins. Checked once, here.
//!
//! - [`layers`]: where values come from.
//! - `size`: sizes of memory.

pub mod layers;
mod size;

use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

pub use layers::{Flags, SettingsError};
use layers::{Raw, invalid};
use loupe_mllm::engine::Decoder;
use loupe_mllm::{AdapterSpec, Formats, Limits, Processor};
use loupe_shared::protocol::Workflow;
use url::Url;

use crate::model::{ModelError, ModelOptions, ModelSpec, TAKES_FEWER, adapter, processor, weight_format};
use crate::remote::RemoteSpec;
use crate::remote::spec::{PREFIX, written};

/// Where providers are searched, as written: `local:DIR` or `searxng:URL`.
pub type ProviderText = String;

/// Most questions that may be answered at the same time.
const MAX_RUNS: usize = 256;

/// What may be set as the most pixels that a model is shown: from 4 tokens, the least of Qwen2.5-VL's own processor, to
/// its most, 16,384.
const PIXELS: RangeInclusive<u32> = 4 * 28 * 28..=16_384 * 28 * 28;

/// Settings in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The model.
    pub model: ModelSpec,
    /// In which numbers its weights are kept, and its drafter's.
    pub formats: Formats,
    /// Where it decodes.
    pub device: Processor,
    /// What its engine may use.
    pub limits: Limits,
    /// Most pixels that it is shown of a picture.
    pub max_pixels: u32,
    /// Cores to compute on; all where there are none.
    pub cores: Vec<usize>,
    /// Workflows whose turns are held to the dialect's grammar.
    pub constrain: Vec<Workflow>,
    /// Questions that are answered at the same time.
    pub runs: usize,
    /// The model's LoRA adapters.
    pub adapters: Vec<AdapterSpec>,
    /// The data folder.
    pub data: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// What text is searched with.
    pub search: ProviderText,
    /// What pictures are searched with.
    pub image_search: ProviderText,
    /// The server's address as others see it, without a slash at the end.
    pub public_url: Option<String>,
    /// Which pages may frame the widget: origins, or `*` for any.
    pub embed_origins: Vec<String>,
    /// What is logged, in `tracing`'s filter syntax.
    pub log: String,
    raw: Raw,
}

impl Settings {
    /// Reads all layers and checks the result.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting, where it came from where that is known, and what is wrong.
    pub fn load(flags: &Flags) -> Result<Self, SettingsError> {
        Self::check(layers::read(flags)?)
    }

    fn check(raw: Raw) -> Result<Self, SettingsError> {
        let data = match &raw.data {
            Some(data) => data.clone(),
            None => default_data()?,
        };
        let atlas = format!("local:{}", data.join("atlas").display());
        let search = raw.search.clone().unwrap_or_else(|| atlas.clone());
        // Text may be searched on the web while pictures stay local, but one local folder serves both.
        let image_default = if search.starts_with("local:") { search.clone() } else { atlas };
        let image_search = raw.image_search.clone().unwrap_or(image_default);
        Ok(Self {
            model: model(&raw)?,
            formats: formats(&raw)?,
            device: processor(&raw.device).map_err(|advice| invalid("device", &raw.device, advice))?,
            limits: limits(&raw)?,
            max_pixels: max_pixels(raw.max_pixels)?,
            cores: raw.cores.clone(),
            constrain: raw.constrain.clone(),
            runs: raw.runs,
            adapters: adapters(&raw)?,
            data,
            listen: listen_address(&raw.listen)?,
            search,
            image_search,
            public_url: raw.public_url.as_deref().map(public_url).transpose()?,
            embed_origins: raw
                .embed_origins
                .iter()
                .map(|origin| embed_origin(origin))
                .collect::<Result<_, _>>()?,
            log: raw.log.clone(),
            raw,
        })
    }

    /// Opens the model. Takes seconds.
    ///
    /// # Errors
    /// [`ModelError`].
    pub async fn open_model(&self) -> Result<Arc<dyn Decoder>, ModelError> {
        let Self { formats, device, adapters, limits, max_pixels, .. } = self.clone();
        self.model.open(ModelOptions { formats, device, adapters, limits, max_pixels }).await
    }

    /// What is searched, by words and by picture, secrets left out.
    #[must_use]
    pub fn search_shown(&self) -> String {
        format!("{}, {}", without_secrets(&self.search), without_secrets(&self.image_search))
    }

    /// The settings as TOML, secrets left out.
    ///
    /// # Errors
    /// [`SettingsError`] when a path is not Unicode.
    pub fn to_toml(&self) -> Result<String, SettingsError> {
        let raw = Raw {
            data: Some(self.data.clone()),
            search: Some(without_secrets(&self.search)),
            image_search: Some(without_secrets(&self.image_search)),
            engine: self.model.servers().map(servers_without_secrets),
            ..self.raw.clone()
        };
        toml::to_string(&raw).map_err(|error| SettingsError::Unprintable(error.to_string()))
    }
}

/// A provider without the user name, password and parameters of its address.
fn without_secrets(provider: &str) -> String {
    let Some((kind, address)) = provider.split_once(':') else { return provider.to_owned() };
    format!("{kind}:{}", address_without_secrets(address))
}

/// The setting engine, likewise.
fn servers_without_secrets(servers: &RemoteSpec) -> String {
    let urls: Vec<String> = servers.urls.iter().map(|url| address_without_secrets(url.as_str())).collect();
    let model = servers.model.iter().map(|model| format!("#{model}"));
    format!("{PREFIX}{}{}", urls.join(","), model.collect::<String>())
}

fn address_without_secrets(address: &str) -> String {
    let Ok(mut url) = Url::parse(address) else { return address.to_owned() };
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if is_plain {
        return address.to_owned();
    }
    url.set_query(None);
    // Both fail only for addresses that cannot carry a user name, and then there is none.
    if url.set_username("").and_then(|()| url.set_password(None)).is_err() {
        return "…".to_owned();
    }
    url.to_string()
}

fn formats(raw: &Raw) -> Result<Formats, SettingsError> {
    let format =
        |name: &'static str, value: &str| weight_format(value).map_err(|advice| invalid(name, value, advice));
    let weights = format("weights", &raw.weights)?;
    let Some(drafter) = &raw.drafter else { return Ok(weights.into()) };
    Formats::new(weights, Some(format("drafter", drafter)?))
        .ok_or_else(|| invalid("drafter", drafter, format!("{TAKES_FEWER} ({})", raw.weights)))
}

fn model(raw: &Raw) -> Result<ModelSpec, SettingsError> {
    let Some(engine) = &raw.engine else { return Ok(ModelSpec::parse(&raw.model)) };
    let spec = RemoteSpec::parse(engine, raw.dialect.as_deref());
    Ok(ModelSpec::Remote(spec.map_err(|error| invalid("engine", &written(engine), error.to_string()))?))
}

/// What the engine may use, with the checks of the settings that go with it.
fn limits(raw: &Raw) -> Result<Limits, SettingsError> {
    if !(1..=MAX_RUNS).contains(&raw.runs) {
        return Err(invalid("runs", &raw.runs.to_string(), format!("write a number from 1 to {MAX_RUNS}")));
    }
    if raw.engine.is_some() && !raw.constrain.is_empty() {
        let reason = "the servers of the setting engine cannot be held to a grammar; leave it out";
        return Err(invalid("constrain", &format!("{:?}", raw.constrain), reason));
    }
    let kv_bytes = size::bytes(&raw.kv_cache).map_err(|advice| invalid("kv_cache", &raw.kv_cache, advice))?;
    Ok(Limits { kv_bytes, ..Limits::default() })
}

fn max_pixels(pixels: u32) -> Result<u32, SettingsError> {
    if PIXELS.contains(&pixels) {
        return Ok(pixels);
    }
    let [least, most] = [PIXELS.start(), PIXELS.end()];
    Err(invalid("max_pixels", &pixels.to_string(), format!("write a number from {least} to {most}")))
}

fn adapters(raw: &Raw) -> Result<Vec<AdapterSpec>, SettingsError> {
    let spec = |text: &String| match &raw.engine {
        Some(_) => {
            Err(invalid("adapters", text, "the servers of the setting engine bring their own adapters"))
        }
        None => adapter(text).map_err(|advice| invalid("adapters", text, advice)),
    };
    raw.adapters.iter().map(spec).collect()
}

fn default_data() -> Result<PathBuf, SettingsError> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = variable("XDG_DATA_HOME").or_else(|| Some(variable("HOME")?.join(".local/share")));
    Ok(base.ok_or(SettingsError::NoHome)?.join("loupe"))
}

fn listen_address(text: &str) -> Result<SocketAddr, SettingsError> {
    let wrong =
        |reason: &str| invalid("listen", text, format!("{reason}; write ADDRESS:PORT, as in 127.0.0.1:8787"));
    let mut addresses = text.to_socket_addrs().map_err(|error| wrong(&error.to_string()))?;
    addresses.next().ok_or_else(|| wrong("it names no address"))
}

fn public_url(text: &str) -> Result<String, SettingsError> {
    let wrong = |reason: &str| {
        invalid("public_url", text, format!("{reason}; write it as in https://loupe.example.org"))
    };
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.query().is_some() {
        return Err(wrong("it is not a plain http or https address"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// An origin goes into a header, so nothing else may be in it.
fn embed_origin(text: &str) -> Result<String, SettingsError> {
    let is_origin = Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    });
    if text == "*" || is_origin {
        return Ok(text.to_owned());
    }
    Err(invalid("embed_origins", text, "write origins, as in https://example.org, or * for any page"))
}

#[cfg(test)]
mod tests;
