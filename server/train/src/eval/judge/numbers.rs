//! Numbers in a text, with how exactly they are given.

use super::fold::{self, plain};
use super::units;

/// A number as written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number {
    /// Its value.
    pub(super) value: f64,
    /// What one more in the last place that is not a zero before the point would add: 0.1 for 2.5, 1000 for 324,000.
    pub(super) step: f64,
    /// What one more in the last place that is written would add: 0.1 for 2.5, 1 for 324,000.
    pub(super) place: f64,
    /// Whether it has a decimal point or a scale (2.5, 3 million).
    pub(super) is_fractional: bool,
}

impl Number {
    /// So many times a scale: three of a million.
    pub(super) fn times(self, scale: f64) -> Self {
        // "3 dozen" is a count; "3 million" hides what comes after the first digits.
        let exact = scale < 100.0;
        let [step, place] = [self.step, self.place].map(|size| if exact { 1.0 } else { size * scale });
        // Below a million it may well be a year or a count.
        let is_fractional = self.is_fractional || scale >= 1e6;
        Self { value: self.value * scale, step, place, is_fractional }
    }
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A number.
    Number(Number),
    /// A word or the symbol of a unit, its case kept.
    Word(String),
    /// A dash right between two things.
    Dash,
}

/// Words that multiply the number before them.
const SCALES: [(&str, f64); 8] = [
    ("hundred", 1e2),
    ("thousand", 1e3),
    ("million", 1e6),
    ("mn", 1e6),
    ("billion", 1e9),
    ("bn", 1e9),
    ("trillion", 1e12),
    ("dozen", 12.0),
];
const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// Cuts a text into pieces. Numbers in words count where there are none in digits.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = plain(text).chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let (token, end) = next(&chars, at);
        tokens.extend(token);
        at = end;
    }
    if !tokens.iter().any(|token| matches!(token, Token::Number(_))) {
        tokens = spelled(tokens);
    }
    scaled(signed(tokens))
}

/// The piece that begins at `at`, if one does, and where the next begins.
fn next(chars: &[char], at: usize) -> (Option<Token>, usize) {
    let c = chars[at];
    let before = at.checked_sub(1).map(|before| chars[before]);
    let digit_follows = chars.get(at + 1).is_some_and(char::is_ascii_digit);
    let opens = before.is_none_or(|c| c.is_whitespace() || c == '(');
    if c.is_ascii_digit() || (c == '-' && opens && digit_follows) {
        return number(chars, at);
    }
    let joins_letters = |c: Option<&char>| c.is_some_and(|c| c.is_alphabetic());
    if c == '-' && joins_letters(before.as_ref()) && joins_letters(chars.get(at + 1)) {
        return (None, at + 1);
    }
    if c == '-' {
        return (Some(Token::Dash), at + 1);
    }
    if matches!(c, '$' | '€' | '£' | '¥') {
        return (Some(Token::Word(c.to_string())), at + 1);
    }
    if !is_wordly(c) {
        return (None, at + 1);
    }
    let end = word_end(chars, at);
    (Some(Token::Word(chars[at..end].iter().collect())), end)
}

/// Letters, and what stands in symbols of units: `°C`, `%`, `km/h`, `m^2`.
fn is_wordly(c: char) -> bool {
    fold::is_wordly(c) || matches!(c, '°' | '%' | '/' | '^')
}

fn word_end(chars: &[char], start: usize) -> usize {
    chars[start..].iter().position(|c| !is_wordly(*c)).map_or(chars.len(), |length| start + length)
}

/// A number in digits. Glued to letters that are no unit (`1st`, `747a`) it is a word.
fn number(chars: &[char], start: usize) -> (Option<Token>, usize) {
    let (digits, end) = digits(chars, start);
    let word = word_end(chars, end);
    let glued: String = chars[end..word].iter().collect();
    // "1990s" are years and not seconds.
    let is_decade = glued == "s" && digits.len() == 4 && digits.ends_with('0');
    let is_unit = glued.is_empty()
        || units::find(&[glued.as_str()]).is_some()
        || scale(&glued).is_some()
        || glued.starts_with('/');
    if !is_unit || is_decade {
        return (Some(Token::Word(chars[start..word].iter().collect())), word);
    }
    let Ok(value) = digits.parse::<f64>() else { return (None, end) };
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let zeros = if decimals == 0 { digits.len() - digits.trim_end_matches('0').len() } else { 0 };
    let power = |places: usize| 10f64.powi(i32::try_from(places).unwrap_or(i32::MAX));
    let place = 1.0 / power(decimals);
    let step = if value == 0.0 { place } else { place * power(zeros) };
    (Some(Token::Number(Number { value, step, place, is_fractional: decimals > 0 })), end)
}

/// The digits of a number with its sign, thousands joined and a point before its decimals, and where it ends. A comma is
/// a decimal one where not exactly three digits follow it.
fn digits(chars: &[char], start: usize) -> (String, usize) {
    let run = |from: usize| chars[from..].iter().take_while(|c| c.is_ascii_digit()).count();
    let mut text = String::new();
    let mut at = start;
    if chars[at] == '-' {
        text.push('-');
        at += 1;
    }
    let mut has_point = false;
    loop {
        let length = run(at);
        text.extend(&chars[at..at + length]);
        at += length;
        let Some(&mark) = chars.get(at) else { break };
        let follow = if at + 1 < chars.len() { run(at + 1) } else { 0 };
        match mark {
            ',' | '\'' if follow == 3 && !has_point => {}
            ',' | '.' if follow > 0 && !has_point => {
                has_point = true;
                text.push('.');
            }
            ' ' if follow == 3 && !has_point && length <= 3 && is_grouped(chars, at) => {}
            _ => break,
        }
        at += 1;
    }
    (text, at)
}

/// Whether the digits after a space are a group of thousands and not the next number: "20 000", not "12 345678".
fn is_grouped(chars: &[char], space: usize) -> bool {
    chars.get(space + 4).is_none_or(|c| !c.is_alphanumeric())
}

/// Reads a minus in words.
fn signed(tokens: Vec<Token>) -> Vec<Token> {
    let mut read: Vec<Token> = Vec::new();
    for token in tokens {
        match (read.last(), token) {
            (Some(Token::Word(word)), Token::Number(number)) if word.to_lowercase() == "minus" => {
                read.pop();
                read.push(Token::Number(Number { value: -number.value, ..number }));
            }
            (_, token) => read.push(token),
        }
    }
    read
}

/// Reads numbers in words: "three", "twenty-one". In a name they are none: "Three Gorges Dam".
fn spelled(tokens: Vec<Token>) -> Vec<Token> {
    let is_name = |word: &str| word.starts_with(char::is_uppercase) && !is_number_word(word);
    if tokens.iter().any(|token| matches!(token, Token::Word(word) if is_name(word))) {
        return tokens;
    }
    let mut read: Vec<Token> = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let Token::Word(word) = &token else {
            read.push(token);
            continue;
        };
        let word = word.to_lowercase();
        if let Some(tens) = TENS.iter().position(|name| *name == word) {
            let tens = (tens as f64 + 2.0) * 10.0;
            let rest: Vec<Token> = tokens.clone().take(2).collect();
            let (ones, length) = match rest.as_slice() {
                [Token::Dash, Token::Word(ones), ..] => (small(ones), 2),
                [Token::Word(ones), ..] => (small(ones), 1),
                _ => (None, 0),
            };
            let ones = ones.filter(|ones| (1.0..10.0).contains(ones));
            if ones.is_some() {
                tokens.by_ref().take(length).for_each(drop);
            }
            read.push(whole(tens + ones.unwrap_or(0.0)));
        } else if let Some(value) = small(&word) {
            read.push(whole(value));
        } else {
            read.push(token);
        }
    }
    read
}

fn is_number_word(word: &str) -> bool {
    small(word).is_some() || scale(word).is_some() || TENS.contains(&word.to_lowercase().as_str())
}

fn small(word: &str) -> Option<f64> {
    let word = word.to_lowercase();
    SMALL.iter().position(|name| *name == word).map(|value| value as f64)
}

fn whole(value: f64) -> Token {
    Token::Number(Number { value, step: 1.0, place: 1.0, is_fractional: false })
}

fn scale(word: &str) -> Option<f64> {
    let word = word.to_lowercase();
    SCALES.iter().find(|(name, _)| *name == word).map(|(_, scale)| *scale)
}

/// Multiplies numbers by the scales after them.
fn scaled(tokens: Vec<Token>) -> Vec<Token> {
    let mut read: Vec<Token> = Vec::new();
    for token in tokens {
        match (read.last_mut(), &token) {
            (Some(Token::Number(number)), Token::Word(word)) if scale(word).is_some() => {
                *number = number.times(scale(word).unwrap_or(1.0));
            }
            _ => read.push(token),
        }
    }
    read
}
