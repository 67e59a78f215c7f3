//! Horizontal bars.

use super::{WIDTH, frame, put, rect, text};

const LABEL: f64 = 190.0;
const RIGHT: f64 = 60.0;
const BAR: f64 = 13.0;
const GAP: f64 = 9.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 26.0;

/// A bar from 0 to a share of 1, with an interval where there is one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bar {
    pub(crate) share: f64,
    pub(crate) interval: Option<[f64; 2]>,
}

/// A chart of horizontal bars: rows, and in each a bar for every series.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    pub(crate) series: Vec<&'a str>,
    pub(crate) rows: Vec<(String, Vec<Option<Bar>>)>,
    /// Whether the bars of a row follow each other in one line.
    pub(crate) stacked: bool,
}

impl Chart<'_> {
    /// The chart's SVG.
    pub(crate) fn svg(&self) -> String {
        let lines = if self.stacked { 1 } else { self.series.len().max(1) };
        let row_height = lines as f64 * BAR + GAP;
        let height = TOP + self.rows.len() as f64 * row_height + BOTTOM;
        let mut body = self.legend();
        body.push_str(&grid(height));
        for (place, (label, bars)) in self.rows.iter().enumerate() {
            let y = TOP + place as f64 * row_height;
            let middle = y + lines as f64 * BAR / 2.0 + 4.0;
            body.push_str(&text(LABEL - 8.0, middle, "end", "", label));
            body.push_str(&if self.stacked { stack(bars, y) } else { group(bars, y) });
        }
        frame(self.title, height, &body)
    }

    fn legend(&self) -> String {
        let mut svg = String::new();
        let mut x = 0.0;
        for (number, name) in self.series.iter().enumerate() {
            svg.push_str(&rect(x, 28.0, 10.0, 10.0, number));
            svg.push_str(&text(x + 15.0, 37.0, "start", "", name));
            x += 34.0 + 6.6 * name.chars().count() as f64;
        }
        svg
    }
}

/// Bars below each other, with their shares behind them.
fn group(bars: &[Option<Bar>], y: f64) -> String {
    let mut svg = String::new();
    for (number, bar) in bars.iter().enumerate() {
        let Some(bar) = bar else { continue };
        let top = y + number as f64 * BAR;
        svg.push_str(&rect(LABEL, top + 1.0, length(bar.share), BAR - 2.0, number));
        let mut end = bar.share;
        if let Some([low, high]) = bar.interval {
            svg.push_str(&whisker(low, high, top + BAR / 2.0));
            end = end.max(high);
        }
        let shown = format!("{:.1} %", bar.share * 100.0);
        svg.push_str(&text(LABEL + length(end) + 5.0, top + BAR - 3.0, "start", "faint", &shown));
    }
    svg
}

/// Bars behind each other.
fn stack(bars: &[Option<Bar>], y: f64) -> String {
    let (mut svg, mut x) = (String::new(), LABEL);
    for (number, bar) in bars.iter().enumerate() {
        let width = bar.map_or(0.0, |bar| length(bar.share));
        if width > 0.0 {
            svg.push_str(&rect(x, y + 1.0, width, BAR - 2.0, number));
        }
        x += width;
    }
    svg
}

fn length(share: f64) -> f64 {
    share.clamp(0.0, 1.0) * (WIDTH - LABEL - RIGHT)
}

fn grid(height: f64) -> String {
    let mut svg = String::new();
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        let x = LABEL + length(share);
        let (top, bottom) = (TOP - 6.0, height - BOTTOM);
        put(&mut svg, format_args!("<path class=\"grid\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/>\n"));
        svg.push_str(&text(x, height - 8.0, "middle", "faint", &format!("{:.0} %", share * 100.0)));
    }
    svg
}

fn whisker(low: f64, high: f64, y: f64) -> String {
    let [from, to] = [low, high].map(|share| LABEL + length(share));
    let (top, bottom) = (y - 3.0, y + 3.0);
    format!(
        "<path class=\"whisker\" d=\"M{from:.1} {y:.1}H{to:.1}M{from:.1} {top:.1}V{bottom:.1}M{to:.1} {top:.1}V{bottom:.1}\"/>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_well_formed_and_names_its_rows() {
        let bar = Some(Bar { share: 0.5, interval: Some([0.4, 0.6]) });
        for stacked in [false, true] {
            let rows = vec![("a < b".to_owned(), vec![bar, None])];
            let svg = Chart { title: "T & U", series: vec!["one", "two"], rows, stacked }.svg();
            let tree = resvg::usvg::roxmltree::Document::parse(&svg).unwrap();
            assert!(tree.descendants().any(|node| node.text() == Some("a < b")), "{svg}");
            assert_eq!(svg.contains("class=\"whisker\""), !stacked);
        }
    }
}
