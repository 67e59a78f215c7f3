//! Which hits support which sentences of an answer.
//!
//! A hit supports a sentence when it holds words of it that the question did not already hold: "Oslo" is supported by
//! the page that says so, not by every page on Norway. Deterministic, so that the same run always cites the same.
//!
//! - `words`: the words that carry meaning.

mod words;

use std::collections::HashSet;

use loupe_shared::protocol::Citation;

use crate::dialect::GIVE_UP;
use crate::ledger::Source;
use words::content_words;

/// Most hits that one sentence cites.
const PER_SENTENCE: usize = 3;
/// A word that the question did not hold counts as many as this of the others.
const NEWS: usize = 4;

/// The sources of an answer: sentence by sentence, the hits that cover its words, best first.
pub(crate) fn citations(question: &str, answer: &str, sources: &[Source]) -> Vec<Citation> {
    if answer == GIVE_UP {
        return Vec::new();
    }
    let asked = content_words(question);
    let pages: Vec<Page> = sources.iter().map(Page::of).collect();
    sentences(answer).into_iter().flat_map(|span| of_sentence(answer, span, &asked, &pages)).collect()
}

struct Page<'a> {
    source: &'a Source,
    words: HashSet<String>,
}

impl<'a> Page<'a> {
    fn of(source: &'a Source) -> Self {
        // What was found by picture is evidence of what the picture shows: its title. Its text was not asked for.
        let text = if source.by_picture {
            source.title.clone()
        } else {
            format!("{} {}", source.title, source.snippet)
        };
        Self { source, words: content_words(&text) }
    }
}

fn of_sentence(
    answer: &str,
    (start, end): (usize, usize),
    asked: &HashSet<String>,
    pages: &[Page],
) -> Vec<Citation> {
    let mut open = content_words(&answer[start..end]);
    let has_news = open.iter().any(|word| !asked.contains(word));
    let mut citations = Vec::new();
    let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(end)) else {
        return citations;
    };
    while citations.len() < PER_SENTENCE {
        // An answer that repeats the question ("yes, it is red") is supported by whatever holds all of its words.
        let least = if has_news { NEWS } else { open.len().max(1) };
        let Some(best) = best_page(&open, asked, pages).filter(|(_, score)| *score >= least) else {
            break;
        };
        open.retain(|word| !best.0.words.contains(word));
        citations.push(Citation { hit: best.0.source.hit.clone(), span: [start, end] });
    }
    citations
}

/// The page that covers most of the open words; of equal ones a text hit before a picture's, then the better rank, then
/// the later search.
fn best_page<'a>(
    open: &HashSet<String>,
    asked: &HashSet<String>,
    pages: &'a [Page<'a>],
) -> Option<(&'a Page<'a>, usize)> {
    let score = |page: &Page| -> usize {
        let held = open.iter().filter(|word| page.words.contains(*word));
        held.map(|word| if asked.contains(word) { 1 } else { NEWS }).sum()
    };
    let ranked = pages.iter().enumerate().map(|(at, page)| (page, score(page), at));
    let best = ranked.max_by_key(|(page, score, at)| {
        (*score, !page.source.by_picture, std::cmp::Reverse(page.source.hit.rank), *at)
    });
    best.map(|(page, score, _)| (page, score))
}

/// The sentences of a text as byte ranges without the white space around them.
fn sentences(text: &str) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let closes = match c {
            '。' | '！' | '？' | '\n' => true,
            '.' | '!' | '?' => next.is_none_or(char::is_whitespace),
            _ => false,
        };
        if closes {
            let end = at + c.len_utf8();
            spans.extend(trimmed(text, start, end));
            start = end;
        }
    }
    spans.extend(trimmed(text, start, text.len()));
    spans
}

fn trimmed(text: &str, start: usize, end: usize) -> Option<(usize, usize)> {
    let part = &text[start..end];
    let inner = part.trim();
    let from = start + (part.len() - part.trim_start().len());
    (!inner.is_empty()).then_some((from, from + inner.len()))
}

#[cfg(test)]
mod tests;
