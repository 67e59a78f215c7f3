//! The words of a text that carry meaning.

use std::collections::HashSet;

/// English words that say nothing by themselves. Other languages do without: there such words count a little.
const EMPTY: [&str; 44] = [
    "the", "a", "an", "of", "is", "are", "was", "were", "be", "in", "on", "at", "to", "and", "or", "it",
    "its", "this", "that", "these", "those", "what", "which", "who", "whose", "where", "when", "how", "with",
    "for", "from", "by", "as", "has", "have", "had", "do", "does", "than", "their", "there", "picture",
    "image", "s",
];

/// Lower-case words without the empty ones. Digits keep together over group separators (385,207 is 385207), and
/// scripts that are written without spaces give pairs of neighbouring characters.
pub(super) fn content_words(text: &str) -> HashSet<String> {
    let mut words = HashSet::new();
    let mut word = String::new();
    let chars: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
    for (at, &c) in chars.iter().enumerate() {
        if is_dense(c) {
            keep(&mut words, &mut word);
            keep_dense(&mut words, &chars[at..]);
        } else if c.is_alphanumeric() || is_mark(c) && !word.is_empty() {
            word.push(c);
        } else if !joins_digits(&chars, at) {
            keep(&mut words, &mut word);
        }
    }
    keep(&mut words, &mut word);
    words
}

fn keep(words: &mut HashSet<String>, word: &mut String) {
    let word = std::mem::take(word);
    if !word.is_empty() && !EMPTY.contains(&word.as_str()) {
        words.insert(word);
    }
}

fn keep_dense(words: &mut HashSet<String>, from: &[char]) {
    if let [first, second, ..] = from
        && is_dense(*second)
    {
        words.insert([*first, *second].iter().collect());
    }
}

/// Chinese, Japanese and Thai characters.
fn is_dense(c: char) -> bool {
    matches!(c, '\u{0e00}'..='\u{0e7f}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}')
}

/// Combining marks belong to the letter before them.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036f}')
}

/// A comma, full stop, apostrophe or narrow space between a digit and three digits.
fn joins_digits(chars: &[char], at: usize) -> bool {
    let is_separator = matches!(chars[at], ',' | '.' | '\'' | '\u{a0}' | '\u{202f}');
    let before = at.checked_sub(1).is_some_and(|i| chars[i].is_ascii_digit());
    let group = chars.get(at + 1..at + 4).is_some_and(|three| three.iter().all(char::is_ascii_digit));
    is_separator && before && group && !chars.get(at + 4).is_some_and(char::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(text: &str) -> Vec<String> {
        let mut words: Vec<String> = content_words(text).into_iter().collect();
        words.sort();
        words
    }

    #[test]
    fn keeps_what_carries_meaning() {
        assert_eq!(sorted("The capital of Norway is Oslo."), ["capital", "norway", "oslo"]);
        assert_eq!(sorted("385,207 km² or 385.207 or 3.14"), ["14", "3", "385207", "km²"]);
        assert_eq!(sorted("首都は東京"), ["は東", "東京", "都は", "首都"]);
        assert_eq!(sorted("Côte d’Ivoire"), ["côte", "d", "ivoire"]);
    }
}
