//! Text without what does not tell answers apart.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

const ARTICLES: [&str; 3] = ["the", "a", "an"];

/// Compatibility forms resolved, accents and letter case dropped, letters without a decomposition put to their
/// neighbours, dashes and minus signs made one. Folding again changes nothing.
#[must_use]
pub fn fold(text: &str) -> String {
    let lower: String = plain(text).chars().flat_map(char::to_lowercase).collect();
    let neighbours: String = lower.chars().flat_map(neighbour).collect();
    // A small letter can have a mark where its capital had none.
    plain(&neighbours)
}

/// As [`fold`] without touching letter case: `Mg` is not `mg`.
pub(super) fn plain(text: &str) -> String {
    text.nfkd().filter(|c| !is_combining_mark(*c)).map(straight).collect()
}

/// One dash and one apostrophe for all.
fn straight(c: char) -> char {
    match c {
        '‐' | '‑' | '‒' | '–' | '—' | '―' | '−' | '〜' | '~' => '-',
        '’' | '‘' | 'ʼ' | '′' => '\'',
        _ => c,
    }
}

fn neighbour(c: char) -> impl Iterator<Item = char> {
    let (first, second) = match c {
        'ø' => ('o', None),
        'ł' => ('l', None),
        'đ' | 'ð' => ('d', None),
        'ı' => ('i', None),
        'ħ' => ('h', None),
        'ŧ' => ('t', None),
        'þ' => ('t', Some('h')),
        'ß' => ('s', Some('s')),
        'æ' => ('a', Some('e')),
        'œ' => ('o', Some('e')),
        _ => (c, None),
    };
    std::iter::once(first).chain(second)
}

/// Folded words, thousands joined, articles left out. A full stop stays inside a number and before an internet domain,
/// so that ".no" is not "no"; a minus stays before a number.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let folded: Vec<char> = fold(text).chars().collect();
    let is_digit = |at: Option<&char>| at.is_some_and(char::is_ascii_digit);
    let mut words = vec![String::new()];
    for (at, &c) in folded.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| folded.get(before));
        let after = folded.get(at + 1);
        let in_number = is_digit(before) && is_digit(after);
        let opens = before.is_none_or(|c| c.is_whitespace() || *c == '(');
        let opens_domain = c == '.' && opens && after.is_some_and(|c| c.is_alphabetic());
        let is_minus = c == '-' && opens && is_digit(after);
        match c {
            ',' | '\'' if in_number => {}
            '.' if in_number => push(&mut words, c),
            _ if opens_domain || is_minus || c.is_alphanumeric() => push(&mut words, c),
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty() && !ARTICLES.contains(&word.as_str()));
    words
}

fn push(words: &mut [String], c: char) {
    if let Some(word) = words.last_mut() {
        word.push(c);
    }
}
