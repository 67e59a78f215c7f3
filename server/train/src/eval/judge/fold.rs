//! Text without what does not tell answers apart.

use std::ops::RangeInclusive;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

const ARTICLES: [&str; 3] = ["the", "a", "an"];
/// Marks without which a word is still the same: accents of Latin, Greek and Cyrillic, points of Hebrew and Arabic, which
/// are seldom written, and what only picks the look of a character. The vowel signs of Indic scripts and the voicing marks
/// of kana are none: रोम is not राम, and バス is not ハス.
const ACCENTS: [RangeInclusive<char>; 7] = [
    '\u{300}'..='\u{36F}',
    '\u{591}'..='\u{5C7}',
    '\u{64B}'..='\u{65F}',
    '\u{670}'..='\u{670}',
    '\u{20D0}'..='\u{20FF}',
    '\u{FE00}'..='\u{FE0F}',
    '\u{E0100}'..='\u{E01EF}',
];

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
    // The ordinal sign stands for a degree's, and would become an o.
    let degrees = text.chars().map(|c| if c == 'º' { '°' } else { c });
    // Composed again: of a kana and its voicing mark one letter is left, however they were written.
    let plain: Vec<char> = degrees.nfkd().filter(|c| !is_accent(*c)).map(straight).nfc().collect();
    let is_digit = |at: Option<usize>| at.and_then(|at| plain.get(at)).is_some_and(char::is_ascii_digit);
    let tilde = |(at, c): (usize, &char)| match c {
        // Between numbers it joins a range, elsewhere it means "about".
        '~' if is_digit(at.checked_sub(1)) && is_digit(Some(at + 1)) => '-',
        '~' => ' ',
        c => *c,
    };
    plain.iter().enumerate().map(tilde).collect()
}

fn is_accent(c: char) -> bool {
    is_combining_mark(c) && ACCENTS.iter().any(|marks| marks.contains(&c))
}

/// One dash and one apostrophe for all.
fn straight(c: char) -> char {
    match c {
        '‐' | '‑' | '‒' | '–' | '—' | '―' | '−' => '-',
        '〜' => '~',
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

/// Folded words, thousands and initials joined, articles before other words left out. A full stop stays inside a number
/// and before an internet domain, so that ".no" is not "no"; a minus stays before a number, and what tells C++ from C# and
/// a B+ from a B- stays behind a letter.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let mut words = split(&fold(text));
    let last = words.len().saturating_sub(1);
    let mut place = 0..;
    words.retain(|word| place.next() == Some(last) || !is_article(word));
    words
}

/// As [`words`] with letter case and articles as they are written.
pub(super) fn written(text: &str) -> Vec<String> {
    split(&plain(text))
}

pub(super) fn is_article(word: &str) -> bool {
    ARTICLES.contains(&word)
}

/// Letters, digits and the marks that are no accents.
pub(super) fn is_wordly(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

fn split(text: &str) -> Vec<String> {
    let text: Vec<char> = text.chars().collect();
    let is_digit = |at: Option<&char>| at.is_some_and(char::is_ascii_digit);
    let mut words = vec![String::new()];
    for (at, &c) in text.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        let after = text.get(at + 1);
        let in_number = is_digit(before) && is_digit(after);
        let opens = before.is_none_or(|c| c.is_whitespace() || *c == '(');
        let opens_domain = c == '.' && opens && after.is_some_and(|c| c.is_alphabetic());
        let is_minus = c == '-' && opens && is_digit(after);
        let groups = in_number && digits_from(&text, at + 1) == 3;
        let joins_initials =
            c == '.' && is_initial(&text, at.checked_sub(1)) && is_initial(&text, Some(at + 1));
        match c {
            ',' | '\'' if groups => {}
            '.' if joins_initials => {}
            '+' | '#' if before.is_some_and(|c| c.is_alphabetic() || *c == '+') => push(&mut words, c),
            '-' if is_initial(&text, at.checked_sub(1)) && after.is_none_or(|c| c.is_whitespace()) => {
                push(&mut words, c);
            }
            '$' | '€' | '£' | '¥' => words.extend([c.to_string(), String::new()]),
            '.' if in_number => push(&mut words, c),
            _ if opens_domain || is_minus || is_wordly(c) => push(&mut words, c),
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// How many digits stand from `at` on.
fn digits_from(text: &[char], at: usize) -> usize {
    text[at..].iter().take_while(|c| c.is_ascii_digit()).count()
}

/// Whether a letter stands alone at `at`.
fn is_initial(text: &[char], at: Option<usize>) -> bool {
    let Some(at) = at else { return false };
    let in_word = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(|c| is_wordly(*c));
    text.get(at).is_some_and(|c| c.is_alphabetic()) && !in_word(at.checked_sub(1)) && !in_word(Some(at + 1))
}

fn push(words: &mut [String], c: char) {
    if let Some(word) = words.last_mut() {
        word.push(c);
    }
}
