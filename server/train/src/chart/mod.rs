//! Small charts as SVG, legible on light and on dark pages.
//!
//! - `bars`: horizontal bars, for shares.
//! - `lines`: lines over steps, for the curves of a training.

mod bars;
mod lines;

use std::fmt::Write;

pub(crate) use self::bars::{Bar, Chart};
pub(crate) use self::lines::{Curves, Panel, Series};

const WIDTH: f64 = 760.0;

/// Colours of series; the second of each is for dark pages.
const COLOURS: [[&str; 2]; 10] = [
    ["#0969da", "#58a6ff"],
    ["#bc4c00", "#f0883e"],
    ["#1a7f37", "#3fb950"],
    ["#8250df", "#bc8cff"],
    ["#bf3989", "#f778ba"],
    ["#9a6700", "#d29922"],
    ["#57606a", "#8b949e"],
    ["#cf222e", "#ff7b72"],
    ["#0550ae", "#79c0ff"],
    ["#116329", "#7ee787"],
];

/// A whole picture around what is drawn in it.
fn frame(title: &str, height: f64, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n\
         <style>{}</style>\n{}{body}</svg>\n",
        escaped(title),
        style(),
        text(0.0, 16.0, "start", "title", title)
    )
}

fn rect(x: f64, y: f64, width: f64, height: f64, series: usize) -> String {
    let class = series % COLOURS.len();
    format!(
        "<rect class=\"s{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>\n"
    )
}

fn text(x: f64, y: f64, anchor: &str, class: &str, content: &str) -> String {
    let content = escaped(content);
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>\n")
}

fn style() -> String {
    let side = |dark: usize, ink: &str, faint: &str, line: &str| {
        let mut css =
            format!("text{{fill:{ink}}}.faint{{fill:{faint}}}.grid{{stroke:{line}}}.whisker{{stroke:{ink}}}");
        for (number, colours) in COLOURS.iter().enumerate() {
            put(&mut css, format_args!(".s{number}{{fill:{0}}}.l{number}{{stroke:{0}}}", colours[dark]));
        }
        css
    };
    format!(
        "text{{font:12px system-ui,sans-serif}}.title{{font-weight:600;font-size:14px}}path{{fill:none}}{}\
         @media(prefers-color-scheme:dark){{{}}}",
        side(0, "#1f2328", "#59636e", "#d1d9e0"),
        side(1, "#e6edf3", "#9198a1", "#3d444d")
    )
}

/// Writing into a string cannot fail.
fn put(svg: &mut String, arguments: std::fmt::Arguments<'_>) {
    svg.write_fmt(arguments).unwrap_or_default();
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
