//! Whether an answer is right, by rule: the same words after folding, in a short sentence or alone.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Words that may stand right before the answer in a sentence, and right after it. Anything else changes what is
/// named: "Guinea" is not in "Equatorial Guinea".
const BEFORE: [&str; 17] = [
    "is",
    "are",
    "was",
    "called",
    "code",
    "domain",
    "in",
    "to",
    "as",
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
const ARTICLES: [&str; 3] = ["the", "a", "an"];
/// What may stand beside the number of an area.
const SQUARE_KILOMETRES: [&str; 8] =
    ["square", "kilometres", "kilometers", "kilometre", "kilometer", "km2", "sq", "km"];
/// A rounded number is right: 324,000 for 323,802.
const ROUNDING: f64 = 0.005;

/// Whether `answer` says what `gold` or one of its aliases says.
#[must_use]
pub fn is_right(answer: &str, gold: &str, aliases: &[String]) -> bool {
    let answer = words(answer);
    std::iter::once(gold).chain(aliases.iter().map(String::as_str)).any(|gold| {
        let gold = words(gold);
        !gold.is_empty() && (says(&answer, &gold) || measures(&answer, &gold))
    })
}

/// Whether the wanted words stand in the answer and nothing around them changes their meaning.
fn says(answer: &[String], gold: &[String]) -> bool {
    answer.windows(gold.len()).enumerate().any(|(start, window)| {
        let before = start.checked_sub(1).map(|at| answer[at].as_str());
        let after = answer.get(start + gold.len()).map(String::as_str);
        window == gold
            && before.is_none_or(|word| BEFORE.contains(&word))
            && after.is_none_or(|word| AFTER.contains(&word))
            && !answer.iter().any(|word| word == "not" || word == "or")
    })
}

/// Whether the answer gives the same area but for rounding.
fn measures(answer: &[String], gold: &[String]) -> bool {
    let unit = |words: &[String]| words.iter().any(|word| SQUARE_KILOMETRES.contains(&word.as_str()));
    let Some(wanted) = number(gold).filter(|_| unit(gold)) else { return false };
    let only_known = answer.iter().all(|word| {
        word.parse::<f64>().is_ok()
            || SQUARE_KILOMETRES.contains(&word.as_str())
            || BEFORE.contains(&word.as_str())
            || word == "area"
    });
    only_known && number(answer).is_some_and(|given| (given - wanted).abs() <= ROUNDING * wanted)
}

/// The only number among some words.
fn number(words: &[String]) -> Option<f64> {
    let mut numbers = words.iter().filter_map(|word| word.parse::<f64>().ok());
    numbers.next().filter(|_| numbers.next().is_none())
}

/// Folded words: compatibility forms resolved, accents and letter case dropped, thousands joined, articles left out. A
/// full stop stays inside a number and before an internet domain, so that ".no" is not "no".
pub(crate) fn words(text: &str) -> Vec<String> {
    let folded: Vec<char> = text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(fold).collect();
    let is_digit = |at: Option<&char>| at.is_some_and(char::is_ascii_digit);
    let mut words = vec![String::new()];
    for (at, &c) in folded.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| folded.get(before));
        let after = folded.get(at + 1);
        let in_number = is_digit(before) && is_digit(after);
        let opens_domain =
            c == '.' && before.is_none_or(|c| c.is_whitespace()) && after.is_some_and(|c| c.is_alphabetic());
        match c {
            ',' | '\'' if in_number => {}
            '.' if in_number => push(&mut words, c),
            _ if opens_domain || c.is_alphanumeric() => push(&mut words, c),
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

/// Lower case; letters that have no decomposition go to their neighbours.
fn fold(c: char) -> impl Iterator<Item = char> {
    let text: String = match c {
        'ø' | 'Ø' => "o".to_owned(),
        'ł' | 'Ł' => "l".to_owned(),
        'đ' | 'Đ' => "d".to_owned(),
        'ı' => "i".to_owned(),
        'ß' => "ss".to_owned(),
        'æ' | 'Æ' => "ae".to_owned(),
        'œ' | 'Œ' => "oe".to_owned(),
        _ => c.to_lowercase().collect(),
    };
    text.chars().collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(answer: &str, gold: &str) -> bool {
        is_right(answer, gold, &[])
    }

    #[test]
    fn the_same_words_are_right_however_they_are_written() {
        assert!(right("oslo", "Oslo") && right(" Oslo. ", "Oslo") && right("OSLO!", "Oslo"));
        assert!(right("Sao Tome", "São Tomé") && right("Bogotá", "Bogota") && right("Tórshavn", "Torshavn"));
        assert!(right("Lødingen", "Lodingen") && right("東京。", "東京"));
        assert!(right("the Norwegian krone", "Norwegian krone") && right("The Gambia", "Gambia"));
        assert!(right("Washington, D.C.", "Washington D.C."));
        assert!(is_right("0047", "+47", &["47".to_owned(), "0047".to_owned()]));
    }

    #[test]
    fn a_short_sentence_around_it_is_right() {
        assert!(right("The capital is Oslo.", "Oslo") && right("Oslo is the capital of Norway.", "Oslo"));
        assert!(right("It lies in Northern Europe", "Northern Europe"));
    }

    #[test]
    fn what_only_contains_it_is_wrong() {
        assert!(!right("Norway", "no") && !right("no", ".no") && right(".no", ".no"));
        assert!(!right("Equatorial Guinea", "Guinea") && !right("Guinea-Bissau", "Guinea"));
        assert!(!right("South Sudan", "Sudan") && !right("It is not Oslo", "Oslo"));
        assert!(!right("Oslo or Bergen", "Oslo") && !right("", "Oslo") && !right("Oslo", ""));
    }

    #[test]
    fn areas_may_be_rounded_and_counts_may_not() {
        let gold = "323,802 square kilometres";
        assert!(right("323802", gold) && right("323,802 km²", gold) && right("about 324,000 sq km", gold));
        assert!(!right("323802 square miles", gold) && !right("330,000", gold));
        assert!(right("0.44 km2", "0.44 square kilometres"));
        assert!(!right("598", "+597") && !right("2", "3") && right("three", "three"));
    }
}
