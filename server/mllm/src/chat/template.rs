//! The checkpoint's chat template, in Jinja as transformers renders it.

use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};

use crate::checkpoint::Files;
use crate::engine::{Message, Part};
use crate::error::{Error, Result};

/// Qwen2.5-VL's own template, for checkpoints that carry none.
pub const DEFAULT_TEMPLATE: &str = include_str!("qwen2_5_vl.jinja");

const NAME: &str = "chat";

/// A compiled chat template.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Arc<Environment<'static>>,
}

impl ChatTemplate {
    /// Finds the template: `chat_template.jinja`, `chat_template.json`, `tokenizer_config.json`, else Qwen2.5-VL's.
    ///
    /// # Errors
    /// When a file is invalid or the template does not compile.
    pub fn open(files: &Files) -> Result<Self> {
        let (file, source) = find(files)?;
        Self::new(source).map_err(|error| Error::BadFile {
            file: files.path(file),
            problem: error.to_string(),
            expected: "a chat template in Jinja".into(),
        })
    }

    /// Compiles a template.
    ///
    /// # Errors
    /// [`Error::Conversation`] when it is not valid Jinja.
    pub fn new(source: impl Into<String>) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| refused(&error))?);
        environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned(NAME, source.into()).map_err(|error| refused(&error))?;
        Ok(Self { environment: Arc::new(environment) })
    }

    /// Renders a conversation; with `reply`, the assistant's turn is opened.
    ///
    /// # Errors
    /// [`Error::Conversation`] when the template refuses it.
    pub fn render(&self, messages: &[Message], reply: bool) -> Result<String> {
        let messages: Vec<Value> = messages.iter().map(as_value).collect();
        let template = self.environment.get_template(NAME).map_err(|error| refused(&error))?;
        template
            .render(context! { messages, add_generation_prompt => reply })
            .map_err(|error| refused(&error))
    }
}

fn refused(error: &minijinja::Error) -> Error {
    Error::Conversation(format!("the chat template fails: {error}"))
}

/// A message as templates expect it: plain words as a string, since templates of text models know nothing else.
fn as_value(message: &Message) -> Value {
    let content = match message.parts.as_slice() {
        [Part::Text(text)] => Value::from(text.as_str()),
        parts => parts.iter().map(part_as_value).collect(),
    };
    Value::from_pairs([("role", Value::from(message.role.as_str())), ("content", content)])
}

fn part_as_value(part: &Part) -> Value {
    match part {
        Part::Text(text) => Value::from_pairs([("type", "text"), ("text", text)]),
        Part::Image(_) => Value::from_pairs([("type", "image")]),
    }
}

fn find(files: &Files) -> Result<(&'static str, String)> {
    const JINJA: &str = "chat_template.jinja";
    if let Some(bytes) = files.read_if_present(JINJA)? {
        let source = String::from_utf8(bytes).map_err(|error| Error::BadFile {
            file: files.path(JINJA),
            problem: error.to_string(),
            expected: "UTF-8 text".into(),
        })?;
        return Ok((JINJA, source));
    }
    for file in ["chat_template.json", "tokenizer_config.json"] {
        let found: Option<serde_json::Value> = files.json_if_present(file, "an object with chat_template")?;
        let source =
            found.as_ref().and_then(|value| value.get("chat_template")).and_then(|value| value.as_str());
        if let Some(source) = source {
            return Ok((file, source.to_owned()));
        }
    }
    Ok((JINJA, DEFAULT_TEMPLATE.to_owned()))
}
