//! Splits streamed text into tags and the text between them.

/// A piece of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Text without a complete tag in it; neighbouring pieces may be split anywhere.
    Text(String),
    /// One of the lexer's tags.
    Tag(&'static str),
}

/// Finds a fixed set of tags. A `<` is held back only as long as a tag may still come of it.
#[derive(Debug)]
pub(super) struct Lexer {
    tags: &'static [&'static str],
    held: String,
}

impl Lexer {
    /// A lexer of these tags; each starts with `<` and ends with its only `>`, so none is the start of another.
    pub(super) fn new(tags: &'static [&'static str]) -> Self {
        Self { tags, held: String::new() }
    }

    /// Takes the next piece of text.
    pub(super) fn push(&mut self, delta: &str) -> Vec<Token> {
        self.held.push_str(delta);
        let mut tokens = Vec::new();
        let mut rest = self.held.as_str();
        while let Some(start) = rest.find('<') {
            push_text(&mut tokens, &rest[..start]);
            rest = &rest[start..];
            if let Some(tag) = self.tags.iter().find(|tag| rest.starts_with(**tag)) {
                tokens.push(Token::Tag(tag));
                rest = &rest[tag.len()..];
            } else if self.tags.iter().any(|tag| tag.starts_with(rest)) {
                self.held = rest.to_owned();
                return tokens;
            } else {
                push_text(&mut tokens, "<");
                rest = &rest[1..];
            }
        }
        push_text(&mut tokens, rest);
        self.held.clear();
        tokens
    }

    /// What was held back is text after all.
    pub(super) fn finish(&mut self) -> Option<Token> {
        let held = std::mem::take(&mut self.held);
        (!held.is_empty()).then_some(Token::Text(held))
    }
}

fn push_text(tokens: &mut Vec<Token>, text: &str) {
    if text.is_empty() {
        return;
    }
    if let Some(Token::Text(last)) = tokens.last_mut() {
        last.push_str(text);
        return;
    }
    tokens.push(Token::Text(text.to_owned()));
}

/// Text that grows, without the white space at its ends.
#[derive(Debug, Default)]
pub(super) struct Trimmed {
    text: String,
    gap: String,
}

impl Trimmed {
    /// Adds text; returns what it added to the trimmed text, empty for nothing yet.
    pub(super) fn push(&mut self, piece: &str) -> String {
        let from = self.text.len();
        for c in piece.chars() {
            if c.is_whitespace() {
                self.gap.push(c);
                continue;
            }
            if !self.text.is_empty() {
                self.text.push_str(&self.gap);
            }
            self.gap.clear();
            self.text.push(c);
        }
        self.text[from..].to_owned()
    }

    /// The text so far.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_back_only_what_may_become_a_tag() {
        let mut lexer = Lexer::new(&["<img>", "<img_search>"]);
        assert_eq!(lexer.push("a < b <im"), vec![Token::Text("a < b ".to_owned())]);
        assert_eq!(lexer.push("g"), vec![]);
        assert_eq!(lexer.push(">x<"), vec![Token::Tag("<img>"), Token::Text("x".to_owned())]);
        assert_eq!(lexer.finish(), Some(Token::Text("<".to_owned())));
        assert_eq!(lexer.finish(), None);
    }

    #[test]
    fn trims_while_growing() {
        let mut text = Trimmed::default();
        let pieces = ["  \n", "a", " ", " b", "\n"].map(|piece| text.push(piece));
        assert_eq!(pieces.concat(), "a  b");
        assert_eq!(text.as_str(), "a  b");
    }
}
