//! The plots of a report.

use super::group::Group;
use super::markdown::all_groups;
use super::{Part, Report};
use crate::chart::{Bar, Chart};
use crate::eval::cause::Cause;
use crate::eval::scored::ToolUse;
use crate::eval::tally::Tally;

/// Every plot by its file's name.
pub(super) fn plots(report: &Report) -> Vec<(&'static str, String)> {
    vec![("accuracy.svg", accuracy(report)), ("tools.svg", tools(report)), ("causes.svg", causes(report))]
}

fn bar(tally: Tally, with_interval: bool) -> Option<Bar> {
    let interval = with_interval.then(|| tally.interval());
    (tally.all > 0).then(|| Bar { share: tally.share(), interval })
}

fn accuracy(report: &Report) -> String {
    let row = |group: Group| {
        let bars = report.workflows.iter().map(|part| bar(part.summary.group(&group), true)).collect();
        (group.to_string(), bars)
    };
    let rows = all_groups(report).into_iter().map(row).collect();
    let series = report.workflows.iter().map(Part::name).collect();
    Chart { title: "Right answers, with 95 % intervals", series, rows, stacked: false }.svg()
}

fn tools(report: &Report) -> String {
    let row = |part: &Part| {
        let all = part.summary.tool_use.values().sum();
        let share = |kind: &ToolUse| {
            let right = part.summary.tool_use.get(kind).copied().unwrap_or_default();
            bar(Tally { right, all }, false)
        };
        (part.name().to_owned(), ToolUse::ALL.iter().map(share).collect())
    };
    let rows = report.workflows.iter().map(row).collect();
    let series = ToolUse::ALL.map(ToolUse::as_str).to_vec();
    Chart { title: "How tools were used, share of questions", series, rows, stacked: true }.svg()
}

fn causes(report: &Report) -> String {
    let mut causes: Vec<Cause> =
        report.workflows.iter().flat_map(|part| part.summary.causes.keys().copied()).collect();
    causes.sort_unstable();
    causes.dedup();
    let row = |cause: Cause| {
        let share = |part: &Part| {
            let right = part.summary.causes.get(&cause).copied().unwrap_or_default();
            bar(Tally { right, all: part.summary.group(&Group::All).all }, false)
        };
        (cause.as_str().to_owned(), report.workflows.iter().map(share).collect())
    };
    let rows = causes.into_iter().map(row).collect();
    let series = report.workflows.iter().map(Part::name).collect();
    Chart { title: "What went wrong, share of questions", series, rows, stacked: false }.svg()
}
