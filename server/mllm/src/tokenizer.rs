//! The checkpoint's tokenizer, held against its model.

use std::path::PathBuf;

use tokenizers::Encoding;

use crate::checkpoint::Files;
use crate::config::ModelConfig;
use crate::error::{Error, Result};

const FILE: &str = "tokenizer.json";
/// Opens a message in the chat template.
pub const MESSAGE_START: &str = "<|im_start|>";
/// Closes a message in the chat template.
pub const MESSAGE_END: &str = "<|im_end|>";
/// Stands for a picture in rendered text.
pub const IMAGE_PAD: &str = "<|image_pad|>";

/// Text to ids and back.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    file: PathBuf,
    /// Texts that would become special tokens, longest first.
    specials: Vec<String>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` and checks that its ids are those the model was made for.
    ///
    /// # Errors
    /// When the file is missing or invalid, has more tokens than the model's table has rows, or gives the picture's
    /// tokens other ids than `config.json`.
    pub fn open(files: &Files, config: &ModelConfig) -> Result<Self> {
        let bytes = files.read(FILE, "the tokenizer in the format of the tokenizers library")?;
        let tokenizer = Self::read(&bytes, files.path(FILE))?;
        tokenizer.check(config)?;
        Ok(tokenizer)
    }

    /// Reads a `tokenizer.json` that belongs to no model; `name` stands for it in messages.
    ///
    /// # Errors
    /// [`Error::BadFile`] when it is invalid.
    pub fn read(bytes: &[u8], name: PathBuf) -> Result<Self> {
        let inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| Error::BadFile {
            file: name.clone(),
            problem: error.to_string(),
            expected: "a tokenizer.json of the tokenizers library".into(),
        })?;
        Ok(Self::new(inner, name))
    }

    /// Wraps a tokenizer that is not in a file; `name` stands for it in messages.
    #[must_use]
    pub fn new(inner: tokenizers::Tokenizer, name: PathBuf) -> Self {
        let added = inner.get_added_tokens_decoder();
        let mut specials: Vec<String> =
            added.into_values().filter(|token| token.special).map(|token| token.content).collect();
        specials.sort_by_key(|special| std::cmp::Reverse(special.len()));
        Self { inner, file: name, specials }
    }

    fn check(&self, config: &ModelConfig) -> Result<()> {
        let mismatch = |problem: String, expected: String| Error::TokenizerMismatch {
            file: self.file.clone(),
            problem,
            expected,
        };
        let highest = self.inner.get_vocab(true).into_values().max().unwrap_or(0) as usize;
        if highest >= config.text.vocab_size {
            return Err(mismatch(
                format!("its highest id is {highest}"),
                format!("ids below vocab_size, {}", config.text.vocab_size),
            ));
        }
        let tokens = &config.tokens;
        for (text, id) in
            [(IMAGE_PAD, tokens.image), ("<|vision_start|>", tokens.start), ("<|vision_end|>", tokens.end)]
        {
            let found = self.id(text);
            if found != Some(id) {
                let found = found.map_or_else(|| "absent".into(), |found| format!("id {found}"));
                return Err(mismatch(format!("{text} is {found}"), format!("id {id}, as config.json says")));
            }
        }
        if self.id(MESSAGE_END).is_none() {
            return Err(mismatch(format!("{MESSAGE_END} is absent"), "the token that ends a turn".into()));
        }
        Ok(())
    }

    /// The id of a token's exact text.
    #[must_use]
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Ids with the byte range of the text that each covers.
    ///
    /// # Errors
    /// When the tokenizer cannot take the text.
    pub fn encode(&self, text: &str) -> Result<Encoding> {
        self.inner.encode(text, false).map_err(|error| Error::Conversation(error.to_string()))
    }

    /// Text of ids, special tokens left out.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(|error| Error::Conversation(error.to_string()))
    }

    /// Splits text that would be read as special tokens, so that nobody's words can open or close a message.
    #[must_use]
    pub fn plain(&self, text: &str) -> String {
        let mut plain = text.to_owned();
        for special in self.specials.iter().filter(|special| text.contains(special.as_str())) {
            let mut letters = special.chars();
            let first = letters.next().map(String::from).unwrap_or_default();
            plain = plain.replace(special.as_str(), &format!("{first} {}", letters.as_str()));
        }
        plain
    }

    /// The wrapped tokenizer.
    #[must_use]
    pub fn inner(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }
}
