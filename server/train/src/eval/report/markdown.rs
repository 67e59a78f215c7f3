//! The report for people.

use std::collections::BTreeSet;

use super::Report;
use super::group::Group;
use super::summary::Summary;
use crate::eval::cause::Cause;
use crate::eval::compare::Comparison;
use crate::eval::scored::ToolUse;
use crate::eval::stats::Spread;
use crate::eval::tally::Tally;

/// Calls that a recording did not have, of which the report tells.
const MISSED: usize = 10;

/// A table with a row's name in the first column.
pub(crate) fn table<'a>(
    head: impl IntoIterator<Item = &'a str>,
    rows: impl IntoIterator<Item = (String, Vec<String>)>,
) -> String {
    let head: Vec<&str> = head.into_iter().collect();
    let mut text = format!("| | {} |\n|---|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for (name, cells) in rows {
        text.push_str(&format!("| {} | {} |\n", escaped(&name), cells.join(" | ")));
    }
    text
}

/// Text that stays in its cell.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

pub(super) fn markdown(report: &Report) -> String {
    let mut text = format!(
        "# {} on {}\n\nShares with Wilson's 95 % intervals.\n",
        escaped(&report.model),
        escaped(&report.data)
    );
    for (title, plot, body) in [
        ("Right answers", "accuracy.svg", groups(report)),
        ("Tool use", "tools.svg", tools(report)),
        ("What went wrong", "causes.svg", causes(report)),
        ("Cost of a question", "", cost(report)),
        ("Judges", "", judges(report)),
        ("Paired differences", "", differences(report)),
        ("Settings", "", settings(report)),
    ] {
        if body.is_empty() {
            continue;
        }
        text.push_str(&format!("\n## {title}\n\n"));
        if !plot.is_empty() {
            text.push_str(&format!("![{title}]({plot})\n\n"));
        }
        text.push_str(&body);
    }
    text
}

/// One row, a cell for each workflow.
fn row(report: &Report, name: &str, cell: impl Fn(&Summary) -> String) -> (String, Vec<String>) {
    (name.to_owned(), report.workflows.iter().map(|part| cell(&part.summary)).collect())
}

fn head(report: &Report) -> Vec<&'static str> {
    report.workflows.iter().map(super::Part::name).collect()
}

fn shown(tally: Tally) -> String {
    if tally.all == 0 { "–".to_owned() } else { tally.to_string() }
}

/// Every group that some workflow has.
pub(super) fn all_groups(report: &Report) -> Vec<Group> {
    let rows = report.workflows.iter().flat_map(|part| &part.rows);
    rows.flat_map(Group::of).collect::<BTreeSet<_>>().into_iter().collect()
}

fn groups(report: &Report) -> String {
    let rows = all_groups(report).into_iter().map(|group| {
        let cell = |summary: &Summary| shown(summary.group(&group));
        row(report, &group.to_string(), cell)
    });
    let grammar = [
        row(report, "turns of valid grammar", |summary| shown(summary.grammar)),
        row(report, "boxes that can be read", |summary| shown(summary.boxes)),
    ];
    table(head(report), rows.chain(grammar))
}

fn tools(report: &Report) -> String {
    let kinds = ToolUse::ALL.map(|kind| {
        let cell = |summary: &Summary| {
            let right = summary.tool_use.get(&kind).copied().unwrap_or_default();
            shown(Tally { right, all: summary.tool_use.values().sum() })
        };
        row(report, kind.as_str(), cell)
    });
    let more = [
        row(report, "searched where needed", |s| shown(s.used_where_needed)),
        row(report, "searched where not needed", |s| shown(s.used_where_not_needed)),
        row(report, "of all: searched the whole picture", |s| shown(s.tools.whole_image)),
        row(report, "of all: searched a part of it", |s| shown(s.tools.crop)),
        row(report, "of all: searched by words", |s| shown(s.tools.text)),
        row(report, "of all: searched by words several times", |s| shown(s.tools.several_texts)),
    ];
    let count = |n: usize| move |summary: &Summary| summary.searches[n].to_string();
    let mut counts = vec![
        row(report, "searches by picture", count(0)),
        row(report, "searches by words", count(1)),
        row(report, "failed searches", count(2)),
    ];
    if report.workflows.iter().any(|part| part.summary.missed > 0) {
        counts.push(row(report, "calls that the recording did not have", |s| s.missed.to_string()));
    }
    let mut text = table(head(report), kinds.into_iter().chain(more).chain(counts));
    let missed: Vec<&String> =
        report.workflows.iter().flat_map(|part| &part.rows).flat_map(|row| &row.missed).collect();
    for missed in missed.iter().take(MISSED) {
        text.push_str(&format!("\n- {}", escaped(missed)));
    }
    if missed.len() > MISSED {
        text.push_str(&format!("\n- and {} more, in rows.jsonl", missed.len() - MISSED));
    }
    text
}

fn causes(report: &Report) -> String {
    let causes: BTreeSet<Cause> =
        report.workflows.iter().flat_map(|part| part.summary.causes.keys().copied()).collect();
    let rows = causes.into_iter().map(|cause| {
        let cell = |summary: &Summary| {
            let right = summary.causes.get(&cause).copied().unwrap_or_default();
            shown(Tally { right, all: summary.group(&Group::All).all })
        };
        row(report, cause.as_str(), cell)
    });
    let codes: BTreeSet<&String> =
        report.workflows.iter().flat_map(|part| part.summary.failures.keys()).collect();
    let codes = codes.into_iter().map(|code| {
        let cell = |summary: &Summary| summary.failures.get(code).copied().unwrap_or_default().to_string();
        row(report, &format!("no answer: {code}"), cell)
    });
    let rows: Vec<_> = rows.chain(codes).collect();
    if rows.is_empty() { String::new() } else { table(head(report), rows) }
}

fn cost(report: &Report) -> String {
    fn spread(spread: Spread, unit: f64, digits: usize) -> String {
        let [mean, median, p95] = [spread.mean, spread.median, spread.p95].map(|value| value / unit);
        format!("{median:.digits$}, {p95:.digits$}, {mean:.digits$}")
    }
    let mut rows = vec![
        row(report, "turns", |s| spread(s.turns, 1.0, 1)),
        row(report, "searches", |s| spread(s.searches_each, 1.0, 1)),
        row(report, "tokens read", |s| spread(s.prompt_tokens, 1.0, 0)),
        row(report, "of these not computed again", |s| format!("{:.1} %", s.reused * 100.0)),
        row(report, "tokens written", |s| spread(s.generated_tokens, 1.0, 0)),
        row(report, "seconds", |s| spread(s.millis, 1_000.0, 2)),
        row(report, "questions in flight", |s| s.in_flight.to_string()),
    ];
    if report.prices.is_some() {
        rows.push(row(report, "price, mean", |s| s.cost.map_or_else(String::new, |c| format!("{c:.6}"))));
    }
    let mut text = "Median, 95th percentile and mean. Seconds count from the question to its answer, with the wait for the \
                    others that were in flight.\n\n"
        .to_owned();
    text.push_str(&table(head(report), rows));
    text
}

fn judges(report: &Report) -> String {
    if report.workflows.iter().all(|part| part.summary.agreement.is_none()) {
        return String::new();
    }
    let cell = |name: &str, of: &dyn Fn(&super::summary::Agreement) -> String| {
        row(report, name, |summary| summary.agreement.as_ref().map_or_else(String::new, of))
    };
    let rows = [
        cell("rule and model agree", &|a| shown(a.agreed())),
        cell("Cohen's kappa", &|a| a.kappa().map_or_else(|| "–".to_owned(), |kappa| format!("{kappa:.3}"))),
        cell("both: right", &|a| a.both_right.to_string()),
        cell("both: wrong", &|a| a.both_wrong.to_string()),
        cell("only the rule: right", &|a| a.only_rule.to_string()),
        cell("only the model: right", &|a| a.only_model.to_string()),
        cell("undecided (the rule counts)", &|a| a.undecided.to_string()),
    ];
    let about =
        "The model's verdict counts where it gave one. Runs without an answer are wrong unjudged.\n\n";
    format!("{about}{}", table(head(report), rows))
}

/// Each workflow against the one before it.
fn differences(report: &Report) -> String {
    let mut text = String::new();
    for pair in report.workflows.windows(2) {
        let [first, second] = pair else { continue };
        let comparison = Comparison::of(&first.rows, &second.rows);
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&comparison.table(first.name(), second.name()));
    }
    text
}

fn settings(report: &Report) -> String {
    let cell = |(name, value): (&String, &String)| (name.clone(), vec![escaped(value)]);
    table(["value"], report.settings.0.iter().map(cell))
}
