//! Text for pages, addresses and people.

/// Escapes text for HTML, inside elements and quoted attributes.
#[must_use]
pub fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// Writes text as one segment of a path (RFC 3986).
#[must_use]
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// An error with what caused it, where that is not said already: many of our errors end with it.
#[must_use]
pub fn with_causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// The first `most` characters, with an ellipsis where something was cut.
#[must_use]
pub fn shorten(text: &str, most: usize) -> String {
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(most).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

/// Text for a terminal: what would steer it becomes a space, line breaks and tabs stay.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let cause = || std::io::Error::other("no such file");
        let plain = anyhow::Error::new(cause()).context("a data set needs the Atlas");
        assert_eq!(with_causes(&plain), "a data set needs the Atlas: no such file");
        let said = anyhow::Error::new(cause()).context("a.json: no such file").context("the Atlas");
        assert_eq!(with_causes(&said), "the Atlas: a.json: no such file");
    }

    #[test]
    fn nothing_closes_an_attribute_or_opens_a_tag() {
        assert_eq!(escape_html("<b a=\"x\" c='y'>&"), "&lt;b a=&quot;x&quot; c=&#39;y&#39;&gt;&amp;");
    }

    #[test]
    fn a_segment_stays_one_segment() {
        assert_eq!(percent_encode("a b/c?é.png"), "a%20b%2Fc%3F%C3%A9.png");
    }

    #[test]
    fn cutting_counts_characters() {
        assert_eq!(shorten("été", 2), "ét…");
        assert_eq!(shorten("été", 3), "été");
    }
}
