//! Text as sentences.

/// Words before a full stop that does not end a sentence.
const ABBREVIATIONS: [&str; 16] = [
    "mr", "mrs", "ms", "dr", "st", "mt", "ft", "no", "vs", "approx", "ca", "cf", "e.g", "i.e", "etc", "prof",
];

/// The sentences of a text, trimmed, in order; a line break always ends one.
pub(crate) fn sentences(text: &str) -> Vec<&str> {
    text.lines().flat_map(of_line).collect()
}

fn of_line(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    for (at, c) in line.char_indices() {
        let end = at + c.len_utf8();
        if end > start && ends_sentence(&line[start..end], &line[end..], c) {
            found.push(line[start..end].trim());
            start = end;
        }
    }
    found.push(line[start..].trim());
    found.retain(|sentence| !sentence.is_empty());
    found
}

fn ends_sentence(so_far: &str, rest: &str, mark: char) -> bool {
    match mark {
        '。' | '！' | '？' => true,
        '!' | '?' | '…' => rest.starts_with(char::is_whitespace),
        '.' => rest.starts_with(char::is_whitespace) && !continues(rest) && !abbreviated(so_far),
        _ => false,
    }
}

/// A sentence does not begin with a small letter.
fn continues(rest: &str) -> bool {
    rest.trim_start().starts_with(char::is_lowercase)
}

fn abbreviated(so_far: &str) -> bool {
    let word = so_far
        .trim_end_matches('.')
        .rsplit(|c: char| c.is_whitespace() || c == '(')
        .next()
        .unwrap_or_default();
    let initial = word.chars().count() == 1 && word.starts_with(char::is_uppercase);
    initial || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

/// At most `most` characters of a text, cut at a word, with an ellipsis where something was cut.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    let whole_words = match kept.rfind(char::is_whitespace) {
        Some(at) if at * 2 > kept.len() => &kept[..at],
        _ => &kept,
    };
    format!("{}…", whole_words.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_stops_within_a_sentence_do_not_end_it() {
        let text = "St. Helena has 4.5 thousand people, i.e. few. J. Smith lives there! Does he? Yes";
        assert_eq!(
            sentences(text),
            ["St. Helena has 4.5 thousand people, i.e. few.", "J. Smith lives there!", "Does he?", "Yes"]
        );
    }

    #[test]
    fn lines_and_full_width_marks_end_sentences() {
        assert_eq!(
            sentences("One\n\n two\n東京は首都。人口は多い。"),
            ["One", "two", "東京は首都。", "人口は多い。"]
        );
        assert_eq!(sentences(" \n"), Vec::<&str>::new());
    }

    #[test]
    fn a_cut_falls_between_words() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("a rather long sentence", 12), "a rather…");
        assert_eq!(cut("日本日本日本", 4), "日本日…");
    }
}
