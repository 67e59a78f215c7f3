//! A checkpoint opened whole.

use candle_core::Device;

use crate::chat::{Chat, ChatTemplate};
use crate::checkpoint::{self, About, Files, Store};
use crate::engine::ModelInfo;
use crate::error::Result;
use crate::model::Qwen2_5Vl;
use crate::picture::Preprocessor;
use crate::tokenizer::{MESSAGE_END, Tokenizer};

/// Everything a checkpoint holds, checked against each other.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The model with its weights.
    pub model: Qwen2_5Vl,
    /// Tokenizer, template and image processor.
    pub chat: Chat,
    /// What the checkpoint says of itself.
    pub about: About,
    /// Tokens that end a turn.
    pub end_ids: Vec<u32>,
}

impl Loaded {
    /// Opens a checkpoint in Hugging Face layout. Small files are read and checked before the weights.
    ///
    /// # Errors
    /// Whatever is missing, broken or does not fit, with the file and what was expected.
    pub fn open(files: &Files, device: &Device) -> Result<Self> {
        let config = checkpoint::read_config(files)?;
        let tokenizer = Tokenizer::open(files, &config)?;
        let template = ChatTemplate::open(files)?;
        let preprocessor = Preprocessor::open(files)?;
        let about = About::read(files)?;
        let mut end_ids = checkpoint::about::end_ids(files)?;
        if end_ids.is_empty() {
            end_ids.extend(tokenizer.id(MESSAGE_END));
        }
        let model = Qwen2_5Vl::load(&config, &Store::open(files, device)?)?;
        let chat = Chat { tokenizer, template, preprocessor, image_token: config.tokens.image };
        Ok(Self { model, chat, about, end_ids })
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
            context: fit(self.model.config().text.max_positions as u64),
        }
    }
}
