//! Which of the two things that a sentence names is its answer.
//!
//! `A is B` and `A in B` name two things, and the judge does not know which of them was asked for. The way the sentence is
//! built decides, and what is right has no say in it: whoever names two things can be right about one of them at most.

use std::ops::Range;

use super::fold::{fold, is_article, written};
use super::{BEFORE, LINKS, SUBJECTS};

/// Words that put one thing into another.
const PLACES: [&str; 4] = ["in", "on", "at", "for"];
/// Words before those that are no thing, also where an answer begins with them and writes them with a capital.
const PLACED: [&str; 10] =
    ["located", "situated", "found", "based", "held", "born", "built", "made", "used", "lies"];

/// A word of an answer.
#[derive(Debug)]
pub(super) struct Word {
    /// Folded.
    pub(super) text: String,
    /// Whether it begins with a capital that is not that of all words.
    is_name: bool,
    has_article: bool,
}

impl Word {
    pub(super) fn is_of(&self, list: &[&str]) -> bool {
        list.contains(&self.text.as_str())
    }

    /// Whether it begins a description: "the capital", not "the Gambia".
    fn describes(&self) -> bool {
        self.has_article && !self.is_name
    }

    /// Whether it may end the name of a thing.
    fn is_thing(&self) -> bool {
        (self.is_name && !self.is_of(&PLACED)) || self.text.starts_with(|c: char| c.is_ascii_digit())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The words of a text with what their letter case and articles tell.
pub(super) fn read(text: &str) -> Vec<Word> {
    let written = written(text);
    let tells = text.chars().any(char::is_lowercase);
    let last = written.len().saturating_sub(1);
    let mut has_article = false;
    let mut read = Vec::new();
    for (place, word) in written.iter().enumerate() {
        let text = fold(word);
        if place != last && is_article(&text) {
            has_article = true;
            continue;
        }
        read.push(Word { text, is_name: tells && word.starts_with(char::is_uppercase), has_article });
        has_article = false;
    }
    read
}

/// Whether what stands at `place` is the answer of a sentence.
pub(super) fn answers(sentence: &[Word], place: &Range<usize>) -> bool {
    let verb = sentence.iter().enumerate().position(|(at, word)| !place.contains(&at) && word.is_of(&LINKS));
    let Some(verb) = verb else { return leads(sentence, place) };
    let (left, right) = (&sentence[..verb], &sentence[verb + 1..]);
    match side(left, right) {
        Some(Side::Left) => place.start < verb && leads(left, place),
        Some(Side::Right) if place.start > verb => {
            leads(right, &(place.start - verb - 1..place.end - verb - 1))
        }
        _ => false,
    }
}

/// The side of `is` on which the answer stands; none where names stand on both.
fn side(left: &[Word], right: &[Word]) -> Option<Side> {
    let Some(subject) = left.first() else { return Some(Side::Right) };
    let Some(object) = right.first() else { return Some(Side::Left) };
    if subject.is_of(&SUBJECTS) || subject.is_of(&BEFORE) {
        return Some(Side::Right);
    }
    // "The euro is the currency of Norway", but "the currency is the euro".
    let says_of_what = right.iter().any(|word| word.text == "of");
    if object.describes() && (!subject.describes() || says_of_what) {
        return Some(Side::Left);
    }
    let are_names = object.is_name && left.iter().all(|word| word.is_name);
    (!are_names).then_some(Side::Right)
}

/// Whether what stands at `place` is what a part of a sentence without `is` comes down to: A of "A in B" and "in A in B",
/// B of "lies in B".
fn leads(part: &[Word], place: &Range<usize>) -> bool {
    let opens = part.first().is_some_and(|word| word.is_of(&PLACES));
    let belongs_to_thing = |at: &usize| opens || part[at - 1].is_thing();
    let links = (1..part.len()).filter(|at| !place.contains(at) && part[*at].is_of(&PLACES));
    let (before, after): (Vec<usize>, Vec<usize>) = links.partition(|at| *at < place.start);
    !before.iter().any(belongs_to_thing) && after.len() < 2 && after.iter().all(belongs_to_thing)
}
