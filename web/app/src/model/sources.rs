//! The answer in pieces and its sources, numbered in the order in which the answer uses them.

use loupe_shared::protocol::{Citation, Hit, RunState};

/// A piece of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Words.
    Text(&'a str),
    /// The number of a source, counted from 1.
    Note(usize),
}

/// A source of the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Source<'a> {
    /// Its number, counted from 1.
    pub number: usize,
    /// The hit.
    pub hit: &'a Hit,
    /// Where it leads; `None` for an address that is not a web page's.
    pub href: Option<String>,
    /// The site's name, or that the page is this server's own.
    pub site: String,
    /// The passage before, of and after the sentence that supports the answer.
    pub passage: [&'a str; 3],
}

/// Takes an answer apart. Citations that name no hit of this run are left out: only what a tool returned is a source.
#[must_use]
pub fn cite(run: &RunState) -> (Vec<Piece<'_>>, Vec<Source<'_>>) {
    let mut sources: Vec<Source> = Vec::new();
    let mut notes: Vec<(usize, usize)> = Vec::new();
    for citation in by_end(&run.citations) {
        let Some(hit) = run.hit(citation) else { continue };
        let known = sources.iter().position(|source| source.hit.url == hit.url);
        let index = known.unwrap_or_else(|| {
            sources.push(source(sources.len() + 1, hit, cited(&run.answer, citation)));
            sources.len() - 1
        });
        let note = (boundary(&run.answer, citation.span[1]), index + 1);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    (pieces(&run.answer, &notes), sources)
}

/// Citations in the order of their ends. There are a handful, so placing each is enough; a sort would cost the bundle
/// ten kilobytes.
fn by_end(citations: &[Citation]) -> Vec<&Citation> {
    let mut ordered: Vec<&Citation> = Vec::new();
    for citation in citations {
        let after = ordered.iter().take_while(|other| other.span[1] <= citation.span[1]).count();
        ordered.insert(after, citation);
    }
    ordered
}

/// An address that may be opened: a web page's, or a path on this server.
#[must_use]
pub fn safe_href(url: &str) -> Option<&str> {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    let is_path = url.starts_with('/') && !url.starts_with("//") && !url.contains('\\');
    (is_web || is_path).then_some(url)
}

/// The host of an address without `www.`; what is on this server is called the local index.
#[must_use]
pub fn site(url: &str) -> String {
    let Some((_, rest)) = url.split_once("://") else { return "local index".to_owned() };
    let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    host.strip_prefix("www.").unwrap_or(host).to_owned()
}

fn source<'a>(number: usize, hit: &'a Hit, cited: &str) -> Source<'a> {
    let passage = passage(&hit.snippet, cited);
    let href = safe_href(&hit.url).map(|url| with_fragment(url, passage[1]));
    Source { number, hit, href, site: site(&hit.url), passage }
}

fn pieces<'a>(answer: &'a str, notes: &[(usize, usize)]) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for &(at, number) in notes {
        if at > from {
            pieces.push(Piece::Text(&answer[from..at]));
            from = at;
        }
        pieces.push(Piece::Note(number));
    }
    if from < answer.len() {
        pieces.push(Piece::Text(&answer[from..]));
    }
    pieces
}

/// The words of the answer that a citation supports.
fn cited<'a>(answer: &'a str, citation: &Citation) -> &'a str {
    let (start, end) = (boundary(answer, citation.span[0]), boundary(answer, citation.span[1]));
    answer.get(start..end).unwrap_or_default()
}

/// The nearest place at or after `at` where a character begins.
fn boundary(text: &str, at: u32) -> usize {
    let at = at as usize;
    (at..text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len())
}

/// Splits a snippet around the sentence that shares the most words with the cited ones.
fn passage<'a>(snippet: &'a str, cited: &str) -> [&'a str; 3] {
    let wanted = words(cited);
    let mut best = (0, 0..0);
    for range in sentences(snippet) {
        let shared = words(&snippet[range.clone()]).iter().filter(|word| wanted.contains(word)).count();
        if shared > best.0 || best.1.is_empty() {
            best = (shared, range);
        }
    }
    let range = best.1;
    [&snippet[..range.start], &snippet[range.clone()], &snippet[range.end..]]
}

/// Byte ranges of the sentences of a text: up to and with a full stop that a space follows, or to the line's end.
fn sentences(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    let mut stop = false;
    for (i, c) in text.char_indices() {
        let ends = (stop && c.is_whitespace()) || c == '\n';
        stop = matches!(c, '.' | '!' | '?' | '。');
        if ends {
            let next = i + c.len_utf8();
            ranges.push(start..next);
            start = next;
        }
    }
    if start < text.len() {
        ranges.push(start..text.len());
    }
    ranges
}

fn words(text: &str) -> Vec<String> {
    let ends = |c: char| c.is_whitespace() || c.is_ascii_punctuation();
    text.split(ends).filter(|word| word.len() > 2).map(str::to_ascii_lowercase).collect()
}

/// Words of a passage that a text fragment carries; a longer one would miss where the page breaks a line.
const FRAGMENT_WORDS: usize = 6;

/// The address with a text fragment, so that the page opens at the passage.
fn with_fragment(url: &str, sentence: &str) -> String {
    let first: Vec<_> = sentence.split_whitespace().take(FRAGMENT_WORDS).collect();
    if first.is_empty() || url.contains('#') {
        return url.to_owned();
    }
    let mut out = format!("{url}#:~:text=");
    for byte in first.join(" ").bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use loupe_shared::ids::CallId;
    use loupe_shared::protocol::{Done, Event, HitRef, Tool, ToolCall, ToolResult, ToolTarget, Usage};

    use super::*;

    fn hit(rank: u32, url: &str, snippet: &str) -> Hit {
        Hit { rank, title: "Page".into(), url: url.into(), snippet: snippet.into(), thumb: None }
    }

    fn citation(rank: u32, span: [u32; 2]) -> Citation {
        Citation { hit: HitRef { call_id: CallId::nth(1), rank }, span }
    }

    fn run(answer: &str, hits: Vec<Hit>, citations: Vec<Citation>) -> RunState {
        let call_id = CallId::nth(1);
        let target = ToolTarget::Query("q".into());
        let mut run = RunState::default();
        run.apply(1, &Event::ToolCall(ToolCall { call_id: call_id.clone(), tool: Tool::TextSearch, target }));
        let (summary, provider) = (String::new(), "local".into());
        run.apply(
            2,
            &Event::ToolResult(ToolResult { call_id, hits, summary, took_ms: 1, cached: false, provider }),
        );
        run.apply(3, &Event::Done(Done { answer: answer.into(), citations, usage: Usage::default() }));
        run
    }

    #[test]
    fn numbers_follow_the_answer_not_the_ranking() {
        let hits = vec![hit(1, "/pages/a", ""), hit(2, "https://www.b.example/x?y", "")];
        let state =
            run("Paris is big.", hits, vec![citation(1, [6, 13]), citation(2, [0, 5]), citation(2, [0, 5])]);
        let (pieces, sources) = cite(&state);
        assert_eq!(pieces, [Piece::Text("Paris"), Piece::Note(1), Piece::Text(" is big."), Piece::Note(2)]);
        assert_eq!(sources.iter().map(|s| &*s.site).collect::<Vec<_>>(), ["b.example", "local index"]);
    }

    #[test]
    fn a_citation_of_nothing_is_no_source() {
        let state = run("Paris", vec![hit(1, "/pages/a", "")], vec![citation(7, [0, 5])]);
        assert_eq!(cite(&state), (vec![Piece::Text("Paris")], vec![]));
    }

    #[test]
    fn a_span_inside_a_character_or_past_the_end_is_moved() {
        let state =
            run("Łódź", vec![hit(1, "/pages/a", "")], vec![citation(1, [0, 1]), citation(1, [0, 900])]);
        let (pieces, _) = cite(&state);
        assert_eq!(pieces, [Piece::Text("Ł"), Piece::Note(1), Piece::Text("ódź"), Piece::Note(1)]);
    }

    #[test]
    fn the_passage_is_the_sentence_that_supports_the_answer() {
        let snippet = "France is in Europe. Its capital is Paris. It has many rivers.";
        let state =
            run("The capital is Paris.", vec![hit(1, "/pages/fr", snippet)], vec![citation(1, [0, 21])]);
        let (_, sources) = cite(&state);
        assert_eq!(sources[0].passage[1], "Its capital is Paris. ");
        assert_eq!(sources[0].passage.concat(), snippet);
        assert_eq!(sources[0].href.as_deref(), Some("/pages/fr#:~:text=Its%20capital%20is%20Paris%2E"));
    }

    #[test]
    fn only_pages_are_opened() {
        for bad in ["javascript:alert(1)", "data:text/html,x", "//evil.example", "/\\evil.example", "ftp://x"]
        {
            assert_eq!(safe_href(bad), None, "{bad}");
        }
        assert_eq!(safe_href("/pages/fr"), Some("/pages/fr"));
    }
}
