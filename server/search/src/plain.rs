//! Plain text out of what others call text.

/// Text without tags, entities, control characters and runs of spaces.
pub(crate) fn plain(html: &str) -> String {
    let decoded = html_escape::decode_html_entities(&without_tags(html)).into_owned();
    let visible: String = decoded.chars().map(|c| if hidden(c) { ' ' } else { c }).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Drops tags and comments, and scripts and styles with their content. A `<` that opens no tag stays.
fn without_tags(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let opens = rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!');
        match (opens, rest.find('>')) {
            (true, Some(end)) => {
                rest = after_element(rest, end);
                text.push(' ');
            }
            _ => {
                text.push('<');
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
    text
}

/// What follows the tag that ends at `end`; for scripts and styles, what follows their end tag.
fn after_element(rest: &str, end: usize) -> &str {
    let after = &rest[end + 1..];
    let name = rest[1..].split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    if !name.eq_ignore_ascii_case("script") && !name.eq_ignore_ascii_case("style") {
        return after;
    }
    let closing = format!("</{}", name.to_ascii_lowercase());
    let Some(at) = after.to_ascii_lowercase().find(&closing) else {
        return "";
    };
    after[at..].split_once('>').map_or("", |(_, rest)| rest)
}

/// Control characters and marks that reorder or hide text.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_go_and_text_stays() {
        assert_eq!(
            plain("<b>Oslo</b> is&nbsp;the&#32;capital<br>of Norway"),
            "Oslo is the capital of Norway"
        );
        assert_eq!(plain("a<script>alert('x')</script>b<STYLE>p{}</STYLE>c<!-- d -->e"), "a b c e");
        assert_eq!(plain("1 < 2 &amp; 3 > 2, <3"), "1 < 2 & 3 > 2, <3");
        assert_eq!(plain("<script>never closed"), "");
        assert_eq!(plain("a\u{202e}b\u{0}c<"), "a b c<");
    }

    proptest::proptest! {
        #[test]
        fn anything_is_taken(html in "\\PC{0,60}|[<>/!a-z&;é ]{0,60}") {
            plain(&html);
        }
    }
}
