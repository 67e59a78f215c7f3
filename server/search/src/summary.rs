//! Extractive summaries: the sentences that answer a query best, unchanged and in a fixed order.

use std::collections::HashMap;

use loupe_shared::protocol::Hit;

use crate::sentences::{cut, sentences};
use crate::words::{query_words, words};

/// How much a summary may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Most sentences.
    pub sentences: usize,
    /// Most characters, titles included.
    pub chars: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { sentences: 5, chars: 700 }
    }
}

/// A titled text to summarise.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its title.
    pub title: &'a str,
    /// Its text.
    pub text: &'a str,
}

impl<'a> From<&'a Hit> for Source<'a> {
    fn from(hit: &'a Hit) -> Self {
        Self { title: &hit.title, text: &hit.snippet }
    }
}

/// A source's words tell less than a sentence's own, so they weigh less.
const TITLE_WEIGHT: f64 = 0.5;
/// What a sentence loses for each source that was ranked before its own.
const RANK_DECAY: f64 = 0.9;
/// BM25's two constants at their customary values.
const K1: f64 = 1.2;
const B: f64 = 0.75;
/// Only so many words of a query count.
const MOST_QUERY_WORDS: usize = 64;

/// The best sentences of all sources for a query, one line per source as `Title: sentences`, sources in the order given
/// and sentences in their order in the text. Where no sentence has a word of the query, the first ones stand in.
#[must_use]
pub fn summarise(query: &str, sources: &[Source], budget: Budget) -> String {
    let ranked = rank(query, sources);
    lines(sources, &ranked, budget)
}

/// Titles with the first sentence of each, for hits that were found by picture and so have no words to rank by.
#[must_use]
pub fn overview(sources: &[Source], budget: Budget) -> String {
    let firsts: Vec<Sentence> = sources
        .iter()
        .enumerate()
        .map(|(source, s)| Sentence {
            source,
            place: 0,
            text: sentences(s.text).first().copied().unwrap_or_default(),
            score: 0.0,
        })
        .collect();
    lines(sources, &firsts, budget)
}

/// The passage of at most `chars` characters that answers the query best: its best sentence with what follows it.
#[must_use]
pub fn best_passage(query: &str, source: Source, chars: usize) -> String {
    let ranked = rank(query, &[source]);
    let Some(best) = ranked.first() else {
        return String::new();
    };
    let mut passage = String::new();
    for sentence in sentences(source.text).into_iter().skip(best.place) {
        if !passage.is_empty() && passage.chars().count() + 1 + sentence.chars().count() > chars {
            break;
        }
        if !passage.is_empty() {
            passage.push(' ');
        }
        passage.push_str(sentence);
    }
    cut(&passage, chars)
}

struct Sentence<'a> {
    /// Index of its source.
    source: usize,
    /// Index in its source.
    place: usize,
    text: &'a str,
    score: f64,
}

/// All sentences, best first; equal ones in reading order.
fn rank<'a>(query: &str, sources: &[Source<'a>]) -> Vec<Sentence<'a>> {
    let wanted = query_words(query, MOST_QUERY_WORDS);
    let split: Vec<Vec<&str>> = sources.iter().map(|source| sentences(source.text)).collect();
    let bags: Vec<Vec<Vec<String>>> =
        split.iter().map(|of| of.iter().map(|text| words(text)).collect()).collect();
    let statistics = Statistics::of(bags.iter().flatten(), &wanted);
    let mut ranked = Vec::new();
    for (source, texts) in split.iter().enumerate() {
        let title = statistics.title_score(&words(sources[source].title), &wanted) * TITLE_WEIGHT;
        let decay = RANK_DECAY.powi(i32::try_from(source).unwrap_or(i32::MAX));
        for (place, &text) in texts.iter().enumerate() {
            let own = statistics.score(&bags[source][place], &wanted);
            ranked.push(Sentence { source, place, text, score: (own + title) * decay });
        }
    }
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then((a.source, a.place).cmp(&(b.source, b.place))));
    ranked
}

/// What BM25 has to know of all sentences.
struct Statistics {
    rarity: HashMap<String, f64>,
    mean_length: f64,
}

impl Statistics {
    fn of<'a>(bags: impl Iterator<Item = &'a Vec<String>>, wanted: &[String]) -> Self {
        let (mut count, mut length) = (0usize, 0usize);
        let mut containing: HashMap<&str, usize> = HashMap::new();
        for bag in bags {
            count += 1;
            length += bag.len();
            for word in wanted.iter().filter(|word| bag.contains(word)) {
                *containing.entry(word).or_default() += 1;
            }
        }
        let rarity = |word: &String| {
            let n = containing.get(word.as_str()).copied().unwrap_or(0) as f64;
            (1.0 + (count as f64 - n + 0.5) / (n + 0.5)).ln()
        };
        Self {
            rarity: wanted.iter().map(|word| (word.clone(), rarity(word))).collect(),
            mean_length: (length as f64 / count.max(1) as f64).max(1.0),
        }
    }

    fn score(&self, bag: &[String], wanted: &[String]) -> f64 {
        let norm = K1 * (1.0 - B + B * bag.len() as f64 / self.mean_length);
        let of_word = |word: &String| {
            let n = bag.iter().filter(|other| *other == word).count() as f64;
            self.rarity.get(word).copied().unwrap_or(0.0) * n * (K1 + 1.0) / (n + norm)
        };
        wanted.iter().map(of_word).sum()
    }

    fn title_score(&self, title: &[String], wanted: &[String]) -> f64 {
        wanted.iter().filter(|word| title.contains(word)).filter_map(|word| self.rarity.get(word)).sum()
    }
}

/// Takes sentences in the order given while the budget lasts, and writes them out by source.
fn lines(sources: &[Source], ranked: &[Sentence], budget: Budget) -> String {
    let mut taken: Vec<&Sentence> = Vec::new();
    let mut left = budget.chars;
    for sentence in ranked {
        if taken.len() == budget.sentences {
            break;
        }
        let opens_line = taken.iter().all(|other| other.source != sentence.source);
        let prefix = if opens_line { sources[sentence.source].title.chars().count() + 2 } else { 0 };
        let cost = prefix + sentence.text.chars().count() + 1;
        // The first sentence is cut to fit rather than left out.
        if cost > left && !taken.is_empty() {
            continue;
        }
        left = left.saturating_sub(cost);
        taken.push(sentence);
    }
    taken.sort_by_key(|sentence| (sentence.source, sentence.place));
    let written: Vec<String> = taken
        .chunk_by(|a, b| a.source == b.source)
        .map(|of| {
            let texts: Vec<&str> = of.iter().map(|sentence| sentence.text).collect();
            format!("{}: {}", sources[of[0].source].title, texts.join(" "))
                .trim_end_matches([':', ' '])
                .to_owned()
        })
        .collect();
    cut(&written.join("\n"), budget.chars)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OSLO: Source = Source {
        title: "Oslo",
        text: "Oslo lies at a fjord. It is the capital of Norway. Its trams are blue. Many people ski near the city.",
    };
    const BERGEN: Source = Source {
        title: "Bergen",
        text: "Bergen is a city in Norway. It rains often. The fish market is famous.",
    };

    #[test]
    fn the_answering_sentence_comes_out() {
        let one = Budget { sentences: 1, chars: 200 };
        assert_eq!(
            summarise("capital of Norway", &[BERGEN, OSLO], one),
            "Oslo: It is the capital of Norway."
        );
    }

    #[test]
    fn sentences_keep_reading_order_and_their_source() {
        let two = Budget { sentences: 3, chars: 400 };
        assert_eq!(
            summarise("blue trams of the capital, fish market", &[OSLO, BERGEN], two),
            "Oslo: It is the capital of Norway. Its trams are blue.\nBergen: The fish market is famous."
        );
    }

    #[test]
    fn budgets_hold_and_nothing_gives_nothing() {
        let summary = summarise("ski", &[OSLO, BERGEN], Budget { sentences: 9, chars: 40 });
        assert!(summary.chars().count() <= 40, "{summary}");
        assert_eq!(summarise("ski", &[], Budget::default()), "");
        assert_eq!(summarise("ski", &[Source { title: "Empty", text: "" }], Budget::default()), "");
    }

    #[test]
    fn without_a_matching_word_the_first_sentences_stand_in() {
        let one = Budget { sentences: 1, chars: 200 };
        assert_eq!(summarise("quasar", &[OSLO], one), "Oslo: Oslo lies at a fjord.");
    }

    #[test]
    fn a_passage_starts_at_its_best_sentence() {
        assert_eq!(
            best_passage("colour of trams", OSLO, 60),
            "Its trams are blue. Many people ski near the city."
        );
        assert_eq!(best_passage("colour of trams", OSLO, 30), "Its trams are blue.");
    }

    #[test]
    fn an_overview_has_titles_and_first_sentences() {
        let text = overview(&[OSLO, Source { title: "Bare", text: "" }], Budget::default());
        assert_eq!(text, "Oslo: Oslo lies at a fjord.\nBare");
    }
}
