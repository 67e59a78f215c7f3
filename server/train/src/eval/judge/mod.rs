//! Whether an answer is right, by rule. The rules are those that the paper gives its judges: aliases, ranges that hold the
//! value, rounding, other units, other ways to write the same. What can only be understood is left to a model
//! ([`super::llm`]).
//!
//! - [`fold`]: text without what does not tell answers apart, and its words.
//! - [`sentence`]: which of the things that a sentence names is its answer.
//! - [`numbers`]: numbers in a text, with how exactly they are given.
//! - [`units`]: units of measure and their factors.
//! - [`ranges`]: numbers with units, ranges, and which of them are the same.
//! - [`dates`]: dates in common forms.

mod dates;
pub mod fold;
mod numbers;
mod ranges;
mod sentence;
#[cfg(test)]
mod tests;
mod units;

use std::ops::Range;

use fold::{fold, words};
use sentence::Word;

/// Words that may stand right before the answer in a sentence, and right after it. Anything else changes what is
/// named: "Guinea" is not in "Equatorial Guinea".
const BEFORE: [&str; 16] = [
    "is",
    "are",
    "was",
    "called",
    "named",
    "code",
    "domain",
    "in",
    "answer",
    "use",
    "uses",
    "about",
    "approximately",
    "roughly",
    "speak",
    "name",
];
const AFTER: [&str; 7] = ["is", "are", "was", "in", "for", "on", "at"];
/// Words that take an answer back or leave it open; `t` is what is left of "isn't".
const DOUBT: [&str; 15] = [
    "not", "or", "neither", "nor", "t", "never", "no", "rather", "instead", "than", "doubt", "whether",
    "close", "near", "actually",
];
/// Words that say what something is; an answer says so once.
const LINKS: [&str; 3] = ["is", "are", "was"];
/// What a sentence after "yes" or "no" begins with.
const SUBJECTS: [&str; 7] = ["it", "they", "he", "she", "there", "this", "that"];

/// Whether `answer` says what `gold` or one of its aliases says.
#[must_use]
pub fn is_right(answer: &str, gold: &str, aliases: &[String]) -> bool {
    let golds: Vec<&str> = std::iter::once(gold).chain(aliases.iter().map(String::as_str)).collect();
    let said = sentence::read(answer);
    if golds.iter().any(|gold| is_same(answer, gold) || says(&said, &words(gold)) || decides(answer, gold)) {
        return true;
    }
    if doubts(&said) {
        return false;
    }
    golds.iter().any(|gold| dates::agree(answer, gold)) || ranges::agree(answer, &golds)
}

/// Whether what is right stands in a text, in any of its forms.
#[must_use]
pub fn stands_in(text: &str, gold: &str, aliases: &[String]) -> bool {
    let text = words(text);
    std::iter::once(gold).chain(aliases.iter().map(String::as_str)).any(|gold| {
        let gold = words(gold);
        !gold.is_empty() && text.windows(gold.len()).any(|window| window == gold)
    })
}

/// Whether both are the same text but for case, accents, width, spaces and, in texts without digits, punctuation.
fn is_same(answer: &str, gold: &str) -> bool {
    let (answer, gold) = (fold(answer), fold(gold));
    if gold.trim().is_empty() {
        return false;
    }
    let has_digits = gold.chars().any(|c| c.is_ascii_digit());
    let joined = |text: &str| words(text).concat();
    answer.trim() == gold.trim()
        || (!has_digits && !joined(&gold).is_empty() && joined(&answer) == joined(&gold))
}

/// Whether the wanted words stand in the answer and nothing around them changes their meaning.
fn says(answer: &[Word], gold: &[String]) -> bool {
    if gold.is_empty() {
        return false;
    }
    let is_gold = |words: &[Word]| words.iter().map(|word| &word.text).eq(gold);
    is_gold(answer)
        || answer.windows(gold.len()).enumerate().any(|(start, window)| {
            let place = start..start + gold.len();
            is_gold(window) && frames(answer, &place)
        })
}

/// Whether what stands around the wanted words only puts them into a sentence.
fn frames(answer: &[Word], place: &Range<usize>) -> bool {
    let (before, after) = (&answer[..place.start], &answer[place.end..]);
    let around = || before.iter().chain(after);
    let opens = before.last().is_none_or(|word| word.is_of(&BEFORE));
    let closes = after.first().is_none_or(|word| word.is_of(&AFTER));
    let links = around().filter(|word| word.is_of(&LINKS)).count();
    if !opens || !closes || links > 1 || doubts(before) || doubts(after) {
        return false;
    }
    let is_number = |word: &Word| word.text.bytes().all(|byte| byte.is_ascii_digit());
    if answer[place.clone()].iter().all(is_number) {
        // Beside a number any other number may be the answer, and nothing else.
        return !around().any(is_number);
    }
    sentence::answers(answer, place)
}

fn doubts(words: &[Word]) -> bool {
    words.iter().any(|word| word.is_of(&DOUBT))
}

/// Whether an answer begins with the wanted yes or no.
fn decides(answer: &str, gold: &str) -> bool {
    let gold = words(gold);
    let [wanted] = gold.as_slice() else { return false };
    if wanted != "yes" && wanted != "no" {
        return false;
    }
    let folded = fold(answer);
    let Some(rest) = folded.trim_start().strip_prefix(wanted.as_str()) else { return false };
    let said = words(rest);
    let opens = said.first().is_some_and(|word| SUBJECTS.contains(&word.as_str()));
    let ends = rest.trim_start().starts_with([',', '.', ';', '!', ':']);
    let takes_back = said.iter().any(|word| ["yes", "no", "actually"].contains(&word.as_str()));
    (ends || (opens && rest.starts_with(' '))) && !takes_back
}
