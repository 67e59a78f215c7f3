//! Bar charts as SVG, light and dark.

use std::collections::BTreeMap;
use std::fmt::Write;

const ROW: usize = 22;
const NAMES: usize = 190;
const BARS: usize = 420;

/// A chart of counts, a row each: what there was, and of it, filled, what was kept.
pub(super) fn bars(title: &str, before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> String {
    let most = before.values().chain(after.values()).copied().max().unwrap_or(0).max(1);
    let width = |count: u64| (BARS as f64 * count as f64 / most as f64).round();
    let height = ROW * before.len() + 40;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\"><title>{title}</title><style>text{{fill:#222}}.a{{fill:#b9c4d6}}.b{{fill:#2f6fde}}\
         @media(prefers-color-scheme:dark){{text{{fill:#ddd}}.a{{fill:#4a5568}}.b{{fill:#7aa7ff}}}}</style>\
         <text x=\"8\" y=\"20\" font-weight=\"bold\">{title}</text>\n",
        NAMES + BARS + 110,
        title = escaped(title)
    );
    for (row, (name, count)) in before.iter().enumerate() {
        let kept = after.get(name).copied().unwrap_or_default();
        let (top, text) = (32 + row * ROW, 32 + row * ROW + 13);
        let label = if after.is_empty() { count.to_string() } else { format!("{kept} of {count}") };
        // Writing into a String cannot fail.
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text><rect class=\"a\" x=\"{NAMES}\" y=\"{top}\" \
             width=\"{}\" height=\"16\"/><rect class=\"b\" x=\"{NAMES}\" y=\"{top}\" width=\"{}\" height=\"16\"/>\
             <text x=\"{}\" y=\"{text}\">{label}</text>",
            NAMES - 8,
            escaped(name),
            width(*count),
            width(kept),
            NAMES as f64 + width((*count).max(kept)) + 6.0,
        )
        .ok();
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_counts_and_names_are_harmless() {
        let before = BTreeMap::from([("<art>".to_owned(), 10), ("food".to_owned(), 5)]);
        let svg = bars("Categories & kinds", &before, &BTreeMap::from([("food".to_owned(), 5)]));
        assert!(svg.contains("&lt;art&gt;") && svg.contains("Categories &amp; kinds"), "{svg}");
        assert!(
            svg.contains("0 of 10")
                && svg.contains("width=\"420\"")
                && svg.matches("width=\"210\"").count() == 2
        );
    }
}
