//! What a model wrote, where a server hands it out in parts: thoughts and tool calls become text again, in the tags that
//! they were written in.

use serde::Deserialize;
use serde_json::Value;

const THINK: &str = "<think>";
const THINK_END: &str = "</think>";
const CALL: &str = "<tool_call>\n";
const CALL_END: &str = "}\n</tool_call>";

/// What an event adds to an answer.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Delta {
    content: Option<String>,
    /// What `transformers serve` and llama.cpp call thoughts.
    reasoning_content: Option<String>,
    /// What vLLM calls them; some of its versions say both.
    reasoning: Option<String>,
    tool_calls: Option<Vec<CallPiece>>,
}

/// A piece of a tool call, or all of it.
#[derive(Debug, Deserialize)]
struct CallPiece {
    index: Option<u32>,
    function: Option<FunctionPiece>,
}

#[derive(Debug, Deserialize)]
struct FunctionPiece {
    name: Option<String>,
    /// A piece of JSON as a string; some servers send the object itself.
    arguments: Option<Value>,
}

/// What stands open at the end of the text so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Open {
    #[default]
    Nothing,
    Thoughts,
    Call {
        index: u32,
        has_arguments: bool,
    },
}

/// The text of an answer as it grows.
#[derive(Debug)]
pub(super) struct Transcript {
    /// Whether thoughts are part of the text.
    thinks: bool,
    open: Open,
    last: Option<char>,
}

impl Delta {
    /// Whether the model wrote anything.
    pub(super) fn is_empty(&self) -> bool {
        let texts = [&self.content, &self.reasoning_content, &self.reasoning];
        let is_silent = texts.into_iter().flatten().all(String::is_empty);
        is_silent && self.tool_calls.as_ref().is_none_or(Vec::is_empty)
    }
}

impl Transcript {
    /// Nothing written yet. Thoughts are left out where the dialect has no tags for them.
    pub(super) fn new(thinks: bool) -> Self {
        Self { thinks, open: Open::Nothing, last: None }
    }

    /// The text that an event adds.
    pub(super) fn add(&mut self, delta: Delta) -> String {
        let mut text = String::new();
        let thoughts = delta.reasoning_content.or(delta.reasoning).filter(|_| self.thinks);
        if let Some(thoughts) = thoughts.filter(|thoughts| !thoughts.is_empty()) {
            self.think(&thoughts, &mut text);
        }
        if let Some(words) = delta.content.filter(|words| !words.is_empty()) {
            self.say(&words, &mut text);
        }
        for piece in delta.tool_calls.into_iter().flatten() {
            self.call(piece, &mut text);
        }
        text
    }

    /// What closes the text at the end of the model's turn.
    pub(super) fn close(&mut self) -> String {
        let mut text = String::new();
        self.close_into(&mut text);
        text
    }

    fn think(&mut self, thoughts: &str, text: &mut String) {
        if self.open != Open::Thoughts {
            self.begin(THINK, text);
            self.open = Open::Thoughts;
        }
        self.put(thoughts, text);
    }

    fn say(&mut self, words: &str, text: &mut String) {
        if self.open != Open::Nothing {
            self.close_into(text);
            // Some servers keep the line break that the model wrote, others swallow it.
            if !words.starts_with('\n') {
                self.put("\n", text);
            }
        }
        self.put(words, text);
    }

    fn call(&mut self, piece: CallPiece, text: &mut String) {
        let Some(function) = piece.function else { return };
        let index = piece.index.unwrap_or(0);
        if !matches!(self.open, Open::Call { index: open, .. } if open == index) {
            self.begin(CALL, text);
            let name = Value::from(function.name.unwrap_or_default());
            self.put(&format!("{{\"name\": {name}, \"arguments\": "), text);
            self.open = Open::Call { index, has_arguments: false };
        }
        let arguments = match function.arguments {
            None | Some(Value::Null) => return,
            Some(Value::String(piece)) => piece,
            Some(whole) => whole.to_string(),
        };
        if !arguments.is_empty() {
            self.put(&arguments, text);
            self.open = Open::Call { index, has_arguments: true };
        }
    }

    /// Opens an element, on a line of its own.
    fn begin(&mut self, tag: &str, text: &mut String) {
        self.close_into(text);
        if self.last.is_some_and(|last| last != '\n') {
            self.put("\n", text);
        }
        self.put(tag, text);
    }

    fn close_into(&mut self, text: &mut String) {
        match std::mem::take(&mut self.open) {
            Open::Nothing => {}
            Open::Thoughts => self.put(THINK_END, text),
            Open::Call { has_arguments, .. } => {
                let arguments = if has_arguments { "" } else { "{}" };
                self.put(&format!("{arguments}{CALL_END}"), text);
            }
        }
    }

    fn put(&mut self, piece: &str, text: &mut String) {
        text.push_str(piece);
        self.last = piece.chars().next_back().or(self.last);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(thinks: bool, deltas: &[Value]) -> String {
        let mut transcript = Transcript::new(thinks);
        let deltas = deltas.iter().map(|delta| serde_json::from_value(delta.clone()).unwrap());
        let mut text: String = deltas.map(|delta| transcript.add(delta)).collect();
        text.push_str(&transcript.close());
        text
    }

    #[test]
    fn thoughts_and_words_are_written_as_the_model_wrote_them() {
        let kept =
            [json!({ "reasoning": "So. " }), json!({ "reasoning": "Yes." }), json!({ "content": "\nOslo" })];
        assert_eq!(written(true, &kept), "<think>So. Yes.</think>\nOslo");
        let both = json!({ "reasoning_content": "Hm.", "reasoning": "Hm.", "content": "Oslo" });
        assert_eq!(written(true, std::slice::from_ref(&both)), "<think>Hm.</think>\nOslo");
        assert_eq!(written(false, &[both]), "Oslo", "a dialect without thoughts has no tags for them");
        assert_eq!(written(true, &[json!({ "role": "assistant", "content": null, "tool_calls": null })]), "");
    }

    #[test]
    fn a_call_is_written_whole_whether_it_comes_so_or_in_pieces() {
        let expected =
            "Look.\n<tool_call>\n{\"name\": \"find\", \"arguments\": {\"query\": \"Oslo\"}}\n</tool_call>";
        let call =
            |function: Value| json!({ "tool_calls": [{ "index": 0, "id": "a", "function": function }] });
        let words = json!({ "content": "Look." });
        let text = call(json!({ "name": "find", "arguments": "{\"query\": \"Oslo\"}" }));
        assert_eq!(written(true, &[words.clone(), text]), expected);
        let object = call(json!({ "name": "find", "arguments": { "query": "Oslo" } }));
        assert_eq!(written(true, &[words.clone(), object]), expected.replace("\"query\": ", "\"query\":"));
        let pieces = ["", "{\"query\"", ": \"Oslo\"}"].map(|piece| call(json!({ "arguments": piece })));
        let named = [words, call(json!({ "name": "find" }))];
        assert_eq!(written(true, &[named.as_slice(), pieces.as_slice()].concat()), expected);
    }

    #[test]
    fn calls_are_told_apart_by_their_index_and_may_have_no_arguments() {
        let call = |index: u32| json!({ "tool_calls": [{ "index": index, "function": { "name": "go" } }] });
        let one = "<tool_call>\n{\"name\": \"go\", \"arguments\": {}}\n</tool_call>";
        assert_eq!(written(true, &[call(0), call(1)]), format!("{one}\n{one}"));
    }
}
