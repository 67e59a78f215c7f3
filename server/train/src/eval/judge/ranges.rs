//! Numbers with units, ranges of them, and which of them say the same.

use super::numbers::{Number, Token, tokens};
use super::units::{self, Unit};
use super::{AFTER, BEFORE};

/// How far a rounded number may be from the exact one, as a share of it: decimals cut off, and zeros written for digits.
const ROUNDED_DECIMALS: f64 = 0.025;
const ROUNDED_ZEROS: f64 = 0.01;
/// Whole numbers below this without a unit may be years, codes and counts, which are not rounded.
const EXACT_BELOW: f64 = 10_000.0;
/// A range says something as long as it is at most this wide, as a share of the value in it.
const WIDEST: f64 = 0.5;
/// Words that may stand in an answer beside its number without changing it.
const FILLERS: [&str; 24] = [
    "it", "its", "the", "a", "an", "of", "there", "has", "had", "have", "were", "with", "around", "circa",
    "ca", "approx", "nearly", "almost", "some", "total", "area", "between", "from", "exactly",
];

/// Words that change a number, whatever else is said.
const CHANGES: [&str; 14] = [
    "less", "more", "under", "over", "below", "above", "half", "least", "most", "up", "never", "without",
    "except", "t",
];
/// How many years a range of them may span.
const YEARS: f64 = 5.0;

/// A number or a range with its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Quantity {
    low: Number,
    high: Number,
    unit: Option<Unit>,
    /// What the unit's letter multiplies by where it is none: a million in `5M`.
    scale: Option<f64>,
}

impl Quantity {
    /// The quantity as a count, where it can be read as one.
    fn count(self) -> Option<Self> {
        let Some(scale) = self.scale else { return self.unit.is_none().then_some(self) };
        let [low, high] = [self.low, self.high].map(|number| number.times(scale));
        Some(Self { low, high, unit: None, scale: None })
    }
}

/// What a text says in numbers.
#[derive(Debug, Default)]
struct Reading {
    quantities: Vec<Quantity>,
    /// Words that are neither units nor fillers, in lower case.
    others: Vec<String>,
    /// Those of them that make a name with a number: "Apollo 11".
    name: Vec<String>,
}

/// Whether the only quantity of an answer, or each of several, says what one of `golds` says. A unit that one form of
/// the gold has holds for the others too.
pub(super) fn agree(answer: &str, golds: &[&str]) -> bool {
    let said = read(answer);
    if said.quantities.is_empty() {
        return false;
    }
    let golds: Vec<Reading> = golds.iter().map(|gold| read(gold)).collect();
    let unit = golds.iter().find_map(|gold| match gold.quantities.as_slice() {
        [only] => only.unit,
        _ => None,
    });
    golds.iter().any(|gold| {
        let [only] = gold.quantities.as_slice() else { return false };
        let gold_quantity = Quantity { unit: only.unit.or(unit), ..*only };
        let explained = gold_quantity.unit.is_some() && said.quantities.iter().all(|q| q.unit.is_some());
        let known = said.others.iter().all(|word| gold.others.contains(word));
        let changed = said.others.iter().any(|word| CHANGES.contains(&word.as_str()));
        // A bare number may be answered with the noun that it counts.
        let is_counted = gold.others.is_empty() && said.others.len() == 1;
        let is_plain = known || (is_counted && !changed);
        let is_named = gold.name.iter().all(|word| said.others.contains(word));
        is_named
            && (is_plain || (explained && !changed))
            && said.quantities.iter().all(|q| says_same(q, &gold_quantity))
    })
}

/// Whether an answered quantity says the gold one, as a measure or as a count.
fn says_same(answer: &Quantity, gold: &Quantity) -> bool {
    let counts = answer.count().zip(gold.count());
    same(answer, gold) || counts.is_some_and(|(answer, gold)| same(&answer, &gold))
}

/// Whether an answered quantity is the gold one.
fn same(answer: &Quantity, gold: &Quantity) -> bool {
    let unit = match (answer.unit, gold.unit) {
        (Some(answered), Some(wanted)) if answered.measures != wanted.measures => return false,
        // A question that asks "how many kilometres" has a gold without a unit; then the answer's is believed.
        (answered, None) => answered,
        (None, wanted) => wanted,
        (answered, Some(_)) => answered,
    };
    let in_base = |number: Number, unit: Option<Unit>| match unit {
        Some(unit) => {
            let [step, place] = [number.step, number.place].map(|size| size * unit.factor);
            Number { value: unit.base(number.value), step, place, ..number }
        }
        None => number,
    };
    let gold_unit = gold.unit.or(unit);
    let [low, high] = [answer.low, answer.high].map(|number| in_base(number, unit));
    let [wanted_low, wanted_high] = [gold.low, gold.high].map(|number| in_base(number, gold_unit));
    let ends = close(low, wanted_low, unit) && close(high, wanted_high, unit);
    if ends {
        return true;
    }
    let (answer_is_range, gold_is_range) = (low.value < high.value, wanted_low.value < wanted_high.value);
    match (answer_is_range, gold_is_range) {
        (true, false) => {
            let as_said = |value: f64| unit.map_or(value, |unit| (value - unit.offset) / unit.factor);
            holds([low.value, high.value].map(as_said), as_said(wanted_low.value), unit.is_some())
        }
        (false, true) => (wanted_low.value..=wanted_high.value).contains(&low.value),
        _ => false,
    }
}

/// Whether a range holds a value and is narrow enough to say something.
fn holds([low, high]: [f64; 2], value: f64, has_unit: bool) -> bool {
    let is_year = !has_unit && value.fract() == 0.0 && (1_000.0..3_000.0).contains(&value);
    let widest = if is_year { YEARS } else { WIDEST * value.abs() };
    (low..=high).contains(&value) && high - low <= widest
}

/// Whether two numbers in the base unit are the same but for rounding: the answer's is the gold one's rounded, or the other
/// way round. `unit` is what the answer is said in.
fn close(answer: Number, gold: Number, unit: Option<Unit>) -> bool {
    let difference = (answer.value - gold.value).abs();
    let size_from = |zero: f64| (answer.value - zero).abs().max((gold.value - zero).abs());
    if difference <= size_from(0.0) * 1e-9 {
        return true;
    }
    // Degrees are rounded as they are said: 20 °C is not 293 of anything.
    let size = size_from(unit.map_or(0.0, |unit| unit.offset));
    let is_fractional = answer.is_fractional || gold.is_fractional;
    if unit.is_none() && !is_fractional && size < EXACT_BELOW {
        return false;
    }
    let most = if is_fractional { ROUNDED_DECIMALS } else { ROUNDED_ZEROS };
    // The zeros at the end of a gold number may well be exact, those of an answer may stand for digits.
    let half = answer.step.max(gold.place) / 2.0;
    difference <= half * (1.0 + 1e-6) && difference <= most * size
}

fn read(text: &str) -> Reading {
    let tokens = tokens(text);
    let mut reading = Reading::default();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            Token::Number(_) => {
                let (quantity, end) = quantity(&tokens, at);
                if quantity.is_some_and(|quantity| quantity.unit.is_none()) {
                    reading.name.extend(name_before(&tokens[..at]));
                }
                reading.quantities.extend(quantity);
                at = end;
            }
            Token::Word(word) => {
                let word = word.to_lowercase();
                if !is_filler(&word) {
                    reading.others.push(word);
                }
                at += 1;
            }
            Token::Dash => at += 1,
        }
    }
    reading
}

fn is_filler(word: &str) -> bool {
    FILLERS.contains(&word) || BEFORE.contains(&word) || AFTER.contains(&word)
}

/// The words that make a name with the number after them: those of "World War 2", none of "population of 2".
fn name_before(tokens: &[Token]) -> Vec<String> {
    let joined = tokens.iter().rev().filter(|token| **token != Token::Dash);
    let words = joined.map_while(|token| match token {
        Token::Word(word) if word.starts_with(char::is_alphabetic) => Some(word.to_lowercase()),
        _ => None,
    });
    words
        .take_while(|word| !is_filler(word) && !CHANGES.contains(&word.as_str()))
        .filter(|word| units::find(&[word.as_str()]).is_none())
        .collect()
}

/// The quantity that begins with the number at `at`, and where it ends.
fn quantity(tokens: &[Token], at: usize) -> (Option<Quantity>, usize) {
    let Some((lower, end)) = measured(tokens, at) else { return (None, at + 1) };
    let between = at.checked_sub(1).is_some_and(|before| is_word(tokens.get(before), &["between"]));
    let joins = match tokens.get(end) {
        Some(Token::Dash) => true,
        other => is_word(other, &["to", "through", "till"]) || (between && is_word(other, &["and"])),
    };
    let upper = if joins { measured(tokens, end + 1) } else { None };
    match upper.filter(|(upper, _)| lower.low.value < upper.low.value) {
        Some((upper, end)) => {
            let measure = if upper.unit.is_some() { upper } else { lower };
            (Some(Quantity { low: lower.low, high: upper.high, ..measure }), end)
        }
        None => (Some(lower), end),
    }
}

/// A number with its unit, and where they end.
fn measured(tokens: &[Token], at: usize) -> Option<(Quantity, usize)> {
    let Some(&Token::Number(number)) = tokens.get(at) else { return None };
    let following = tokens[at + 1..].iter().map_while(|token| match token {
        Token::Word(word) => Some(word.as_str()),
        _ => None,
    });
    let following: Vec<&str> = following.take(3).collect();
    let (unit, length) = units::find(&following).map_or((None, 0), |(unit, length)| (Some(unit), length));
    let scale = match &following[..length] {
        ["K"] => Some(1e3),
        ["M"] => Some(1e6),
        _ => None,
    };
    Some((Quantity { low: number, high: number, unit, scale }, at + 1 + length))
}

fn is_word(token: Option<&Token>, words: &[&str]) -> bool {
    matches!(token, Some(Token::Word(word)) if words.contains(&word.to_lowercase().as_str()))
}
