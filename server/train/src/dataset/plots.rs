//! The plots of what came of a source.

use std::collections::BTreeMap;

use super::report::Report;
use crate::chart::{Bar, Chart};

/// Rows by name.
type Counts = BTreeMap<String, u64>;

/// Every plot by its file's name.
pub(super) fn plots(report: &Report) -> [(&'static str, String); 4] {
    let (before, after) = (&report.before, &report.after);
    let left_out = report.reasons();
    let kinds =
        [("could be chosen", &before.categories, before.rows), ("chosen", &after.categories, after.rows)];
    let made = |counts| [("trajectories", counts, report.trajectories)];
    [
        ("categories.svg", chart("Categories, share of rows", &kinds)),
        ("dropped.svg", chart("Left out, share of what was read", &[("left out", &left_out, report.read)])),
        ("turns.svg", chart("Turns, share of trajectories", &made(&report.turns))),
        ("tools.svg", chart("Searches, share of trajectories", &made(&report.tools))),
    ]
}

/// Series with their counts and what these are a part of; a row for every name of the first, with its counts.
fn chart(title: &str, series: &[(&str, &Counts, u64)]) -> String {
    let names = series.first().into_iter().flat_map(|(_, counts, _)| counts.keys());
    let row = |name: &String| {
        let count = |counts: &Counts| counts.get(name).copied().unwrap_or_default();
        let shown: Vec<String> = series.iter().map(|(_, counts, _)| count(counts).to_string()).collect();
        let bar = |(_, counts, all): &(&str, &Counts, u64)| {
            Some(Bar { share: count(counts) as f64 / (*all).max(1) as f64, interval: None })
        };
        (format!("{name} ({})", shown.join(", ")), series.iter().map(bar).collect())
    };
    let rows = names.map(row).collect();
    Chart { title, series: series.iter().map(|(name, ..)| *name).collect(), rows, stacked: false }.svg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::report::Mix;

    #[test]
    fn rows_have_their_counts_and_shares_and_names_are_harmless() {
        let mix = |rows, counts: &[(&str, u64)]| Mix {
            rows,
            categories: counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            ..Mix::default()
        };
        let (before, after) = (mix(20, &[("<art>", 15), ("food", 5)]), mix(5, &[("food", 5)]));
        let report = Report { before, after, ..Report::default() };
        let [(name, svg), ..] = plots(&report);
        assert_eq!(name, "categories.svg");
        for part in ["&lt;art&gt; (15, 0)", "food (5, 5)", "75.0 %", "25.0 %", "100.0 %"] {
            assert!(svg.contains(part), "{part} in {svg}");
        }
    }
}
