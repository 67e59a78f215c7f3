//! Lines over steps, one panel below the other.

use super::{WIDTH, frame, put, rect, text};

const LEFT: f64 = 60.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 30.0;
/// A panel's title and its room above the lines, the lines, and the room below for the steps.
const HEAD: f64 = 26.0;
const HEIGHT: f64 = 110.0;
const FOOT: f64 = 30.0;

/// Panels with the same steps below each.
pub(crate) struct Curves<'a> {
    pub(crate) title: &'a str,
    pub(crate) panels: Vec<Panel<'a>>,
}

/// Lines of one scale.
pub(crate) struct Panel<'a> {
    pub(crate) title: &'a str,
    pub(crate) series: Vec<Series<'a>>,
}

/// A line through points of step and value.
pub(crate) struct Series<'a> {
    pub(crate) name: &'a str,
    pub(crate) points: Vec<[f64; 2]>,
}

/// From the lowest to the highest of some numbers.
#[derive(Clone, Copy)]
struct Range {
    low: f64,
    high: f64,
}

impl Curves<'_> {
    /// The chart's SVG. Panels without a point are left out.
    pub(crate) fn svg(&self) -> String {
        let shown: Vec<&Panel<'_>> =
            self.panels.iter().filter(|panel| panel.points().next().is_some()).collect();
        let steps = Range::of(shown.iter().flat_map(|panel| panel.points()).map(|point| point[0]));
        let mut body = String::new();
        for (place, panel) in shown.iter().enumerate() {
            panel.draw(TOP + place as f64 * (HEAD + HEIGHT + FOOT), steps, &mut body);
        }
        frame(self.title, TOP + shown.len() as f64 * (HEAD + HEIGHT + FOOT), &body)
    }
}

impl Panel<'_> {
    fn points(&self) -> impl Iterator<Item = [f64; 2]> + '_ {
        self.series.iter().flat_map(|series| series.points.iter().copied())
    }

    fn draw(&self, top: f64, steps: Range, body: &mut String) {
        let values = Range::of(self.points().map(|point| point[1]));
        let (first, last) = (top + HEAD, top + HEAD + HEIGHT);
        body.push_str(&text(0.0, top + 14.0, "start", "", self.title));
        let mut x = LEFT + 6.6 * self.title.chars().count() as f64;
        for (number, series) in self.series.iter().enumerate() {
            body.push_str(&rect(x, top + 5.0, 10.0, 10.0, number));
            body.push_str(&text(x + 15.0, top + 14.0, "start", "", series.name));
            x += 34.0 + 6.6 * series.name.chars().count() as f64;
        }
        for (y, value) in [(last, values.low), (first, values.high)] {
            put(body, format_args!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/>\n", WIDTH - RIGHT));
            body.push_str(&text(LEFT - 8.0, y + 4.0, "end", "faint", &shown(value)));
        }
        for (anchor, x, step) in [("start", LEFT, steps.low), ("end", WIDTH - RIGHT, steps.high)] {
            body.push_str(&text(x, last + 18.0, anchor, "faint", &format!("step {step}")));
        }
        for (number, series) in self.series.iter().enumerate() {
            let place = |[step, value]: [f64; 2]| {
                let x = LEFT + steps.part(step) * (WIDTH - LEFT - RIGHT);
                format!("{x:.1} {:.1}", last - values.part(value) * HEIGHT)
            };
            let places: Vec<String> = series.points.iter().copied().map(place).collect();
            let path = places.join("L");
            put(body, format_args!("<path class=\"l{number}\" stroke-width=\"1.5\" d=\"M{path}\"/>\n"));
        }
    }
}

impl Range {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let none = Self { low: f64::INFINITY, high: f64::NEG_INFINITY };
        values.fold(none, |range, value| Self { low: range.low.min(value), high: range.high.max(value) })
    }

    /// Where a value lies, 0 to 1; in the middle where all are the same.
    fn part(self, value: f64) -> f64 {
        let size = self.high - self.low;
        if size > 0.0 { (value - self.low) / size } else { 0.5 }
    }
}

/// A value in few letters.
fn shown(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 0.001 => format!("{value:.1e}"),
        size if size < 10.0 => format!("{value:.3}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &'static str, points: &[[f64; 2]]) -> Series<'static> {
        Series { name, points: points.to_vec() }
    }

    #[test]
    fn lines_begin_and_end_at_the_corners_of_their_panel() {
        let series =
            vec![line("train", &[[10.0, 4.0], [20.0, 3.0], [30.0, 1.0]]), line("dev", &[[20.0, 2.0]])];
        let panels = vec![Panel { title: "loss", series }, Panel { title: "none", series: vec![] }];
        let svg = Curves { title: "A & B", panels }.svg();
        let tree = resvg::usvg::roxmltree::Document::parse(&svg).unwrap();
        let paths: Vec<_> = tree.descendants().filter_map(|node| node.attribute("d")).collect();
        assert!(paths.contains(&"M60.0 56.0L403.0 92.7L746.0 166.0"), "{paths:?}");
        assert!(!svg.contains(">none<"), "a panel without points is left out");
        assert!(tree.descendants().any(|node| node.text() == Some("step 30")));
    }

    #[test]
    fn a_constant_lies_in_the_middle_and_nothing_at_all_is_an_empty_chart() {
        assert_eq!(Range::of([2.0, 2.0].into_iter()).part(2.0), 0.5);
        let empty = Curves { title: "nothing", panels: vec![] }.svg();
        assert!(!empty.contains("inf") && !empty.contains("NaN"), "{empty}");
    }
}
