//! A checkpoint opened whole: with the model as it is defined, for the probe and for training, or as it decodes.

use candle_core::Device;
use loupe_shared::pixels::Rgb8;

use crate::adapter::{AdapterSpec, Adapters, merged::Merged, spec};
use crate::chat::{Chat, ChatTemplate};
use crate::checkpoint::{self, About, Files, Fingerprint, Store};
use crate::config::ModelConfig;
use crate::device::{Eye, Language, Processor};
use crate::engine::ModelInfo;
use crate::error::Result;
use crate::memory;
use crate::model::Qwen2_5Vl;
use crate::picture::Preprocessor;
use crate::tokenizer::{MESSAGE_END, Tokenizer};
use crate::weights::{Formats, WeightFormat, Weights};

/// Everything a checkpoint holds, checked against each other.
#[derive(Debug, Clone)]
pub struct Loaded<M = Qwen2_5Vl> {
    /// The model with its weights.
    pub model: M,
    /// Tokenizer, template and image processor.
    pub chat: Chat,
    /// What the checkpoint says of itself.
    pub about: About,
    /// Tokens that end a turn.
    pub end_ids: Vec<u32>,
    /// Longest conversation in tokens.
    pub context: usize,
}

/// A model as it decodes.
#[derive(Debug)]
pub struct Served {
    /// The decoder.
    pub language: Language,
    /// The vision tower and the merger.
    pub vision: Eye,
    /// What turns may be decoded with beside the weights.
    pub adapters: Adapters,
}

impl Loaded {
    /// Opens a checkpoint in Hugging Face layout. Small files are read and checked before the weights.
    ///
    /// # Errors
    /// Whatever is missing, broken or does not fit, with the file and what was expected.
    pub fn open(files: &Files, device: &Device) -> Result<Self> {
        Self::with(files, |config| Qwen2_5Vl::load(config, &Store::open(files, device)?))
    }
}

impl Loaded<Served> {
    /// Opens a checkpoint for decoding, as [`Loaded::open`] does; the language model's matrices are kept in `format`.
    ///
    /// # Errors
    /// As for [`Loaded::open`].
    pub fn open_for_serving(files: &Files, format: WeightFormat) -> Result<Self> {
        Self::open_with_adapters(files, format, &[])
    }

    /// The same with adapters: those without a name are merged into the weights before these are brought into
    /// `format`, those with one are kept beside them for the turns that ask for it.
    ///
    /// # Errors
    /// As for [`Loaded::open`], and when an adapter is broken or does not fit.
    pub fn open_with_adapters(files: &Files, format: WeightFormat, adapters: &[AdapterSpec]) -> Result<Self> {
        Self::open_on(Processor::Cpu, files, format.into(), adapters)
    }

    /// The same on a processor, and with a drafter where `formats` have one.
    ///
    /// # Errors
    /// As for [`Loaded::open_with_adapters`], and when the processor cannot be used.
    pub fn open_on(on: Processor, files: &Files, formats: Formats, adapters: &[AdapterSpec]) -> Result<Self> {
        on.check(formats)?;
        Self::with(files, |config| {
            let store = Store::open(files, &Device::Cpu)?;
            if on == Processor::Cpu {
                memory::check(&store, config, formats)?;
            }
            // Read only where it matters: it reads from every tensor.
            let weights = if adapters.is_empty() { None } else { Fingerprint::of(files)? };
            let to_merge = spec::to_merge(adapters, config, weights.as_ref())?;
            let adapters = Adapters::open(adapters, config, weights.as_ref())?;
            let weights = Merged { weights: &store, adapters: &to_merge };
            let vision = Eye::load(on, &config.vision, &weights)?;
            let language = Language::load(on, &config.text, config.tied, &weights, formats)?;
            Ok(Served { language, vision, adapters })
        })
    }

    /// The embedding of a picture: `[tokens, hidden]`.
    ///
    /// # Errors
    /// When the picture has an impossible shape.
    pub fn see(&self, picture: &Rgb8) -> Result<Vec<f32>> {
        let (patches, grids) = self.chat.preprocessor.pixel_values([picture], &Device::Cpu)?;
        self.model.vision.see(&patches, &grids)
    }
}

impl<M> Loaded<M> {
    /// Opens a checkpoint and makes of its weights, in f32 on the CPU, whatever `load` makes.
    ///
    /// # Errors
    /// As for [`Loaded::open`], and those of `load`.
    pub fn open_as(
        files: &Files,
        load: impl FnOnce(&ModelConfig, &dyn Weights) -> Result<M>,
    ) -> Result<Self> {
        Self::with(files, |config| load(config, &Store::open(files, &Device::Cpu)?))
    }

    fn with(files: &Files, load: impl FnOnce(&ModelConfig) -> Result<M>) -> Result<Self> {
        let config = checkpoint::read_config(files)?;
        let tokenizer = Tokenizer::open(files, &config)?;
        let template = ChatTemplate::open(files)?;
        let preprocessor = Preprocessor::open(files)?;
        let about = About::read(files)?;
        let mut end_ids = checkpoint::about::end_ids(files)?;
        if end_ids.is_empty() {
            end_ids.extend(tokenizer.id(MESSAGE_END));
        }
        let model = load(&config)?;
        let chat = Chat { tokenizer, template, preprocessor, image_token: config.tokens.image };
        Ok(Self { model, chat, about, end_ids, context: config.text.max_positions })
    }

    /// What the rest of the program is told of the model.
    #[must_use]
    pub fn info(&self) -> ModelInfo {
        let limits = self.chat.preprocessor.limits();
        let fit = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        ModelInfo {
            name: self.about.name.clone(),
            dialect: self.about.dialect.clone(),
            about: self.about.about.clone(),
            min_pixels: fit(limits.min_pixels),
            max_pixels: fit(limits.max_pixels),
            context: fit(self.context as u64),
            adapters: Vec::new(),
        }
    }
}
