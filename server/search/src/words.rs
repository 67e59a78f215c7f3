//! What a word is, the same for the index, for queries and for the summariser.

use std::str::CharIndices;

use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, LowerCaser, RemoveLongFilter, Stemmer, TextAnalyzer, Token, TokenStream,
    Tokenizer,
};

/// Longer runs of letters are data, not words.
const LONGEST_WORD: usize = 60;

/// English words that carry a question's grammar but not its subject.
const STOP_WORDS: [&str; 40] = [
    "a", "about", "an", "and", "are", "as", "at", "be", "by", "did", "do", "does", "for", "from", "has",
    "have", "how", "in", "is", "it", "its", "me", "of", "on", "or", "that", "the", "this", "to", "was",
    "were", "what", "when", "where", "which", "who", "whose", "why", "with", "s",
];

/// Words as the index keeps them: lower case, without accents, reduced to their English stem; scripts that write
/// without spaces give one word per character.
pub(crate) fn analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(WordTokenizer)
        .filter(RemoveLongFilter::limit(LONGEST_WORD))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .filter(Stemmer::new(Language::English))
        .build()
}

/// The words of a text in their order.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut analyzer = analyzer();
    let mut stream = analyzer.token_stream(text);
    let mut words = Vec::new();
    stream.process(&mut |token| words.push(token.text.clone()));
    words
}

/// The words that a query is about: each once, in their order, stop words only when there is nothing else.
pub(crate) fn query_words(query: &str, most: usize) -> Vec<String> {
    let mut all = Vec::new();
    for word in words(query) {
        if !all.contains(&word) {
            all.push(word);
        }
        if all.len() == most {
            break;
        }
    }
    let telling: Vec<String> =
        all.iter().filter(|word| !STOP_WORDS.contains(&word.as_str())).cloned().collect();
    if telling.is_empty() { all } else { telling }
}

/// Splits at everything that is neither letter nor digit, and between the characters of scripts without spaces.
#[derive(Clone)]
struct WordTokenizer;

struct WordStream<'a> {
    chars: std::iter::Peekable<CharIndices<'a>>,
    token: Token,
}

impl Tokenizer for WordTokenizer {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        WordStream { chars: text.char_indices().peekable(), token: Token::default() }
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        while self.chars.next_if(|(_, c)| !c.is_alphanumeric()).is_some() {}
        let Some((start, first)) = self.chars.next() else {
            return false;
        };
        self.token.text.clear();
        self.token.text.push(first);
        self.token.position = self.token.position.wrapping_add(1);
        self.token.offset_from = start;
        self.token.offset_to = start + first.len_utf8();
        if !is_unspaced(first) {
            self.rest_of_word();
        }
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

impl WordStream<'_> {
    fn rest_of_word(&mut self) {
        while let Some((at, c)) =
            self.chars.next_if(|(_, c)| is_combining(*c) || (c.is_alphanumeric() && !is_unspaced(*c)))
        {
            if !is_combining(c) {
                self.token.text.push(c);
            }
            self.token.offset_to = at + c.len_utf8();
        }
    }
}

/// Accents that follow their letter: dropped, as accents within a letter are.
fn is_combining(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

/// Thai, Lao, Burmese, Khmer, Hangul, Kana and Han.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1100}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}'
        | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accents_case_and_endings_do_not_matter() {
        assert_eq!(words("Capitals of Côte d'Ivoire"), words("capital OF Cote d’Ivoire"));
        assert_eq!(words("Co\u{302}te"), words("Côte"));
    }

    #[test]
    fn scripts_without_spaces_give_a_word_per_character() {
        assert_eq!(words("日本の首都"), ["日", "本", "の", "首", "都"]);
        assert_eq!(words("Столица России").len(), 2);
    }

    #[test]
    fn a_query_keeps_its_subject() {
        assert_eq!(query_words("What is the capital of the Congo, the Congo?", 64), ["capit", "congo"]);
        assert_eq!(query_words("Who is it?", 64), ["who", "is", "it"]);
        assert_eq!(query_words("?!", 64), Vec::<String>::new());
        assert_eq!(query_words("one two three", 2), ["one", "two"]);
    }
}
