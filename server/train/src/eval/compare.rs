//! Two evaluations of the same questions, question by question.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use loupe_shared::protocol::Workflow;
use serde::{Deserialize, Serialize};

use super::error::{EvalError, at};
use super::report::group::Group;
use super::report::markdown_table;
use super::report::name;
use super::scored::Scored;
use super::stats::{Paired, Spread};

/// One side of a comparison: the rows of one workflow of a report.
#[derive(Debug, Clone)]
pub struct Side {
    /// What to call it.
    pub name: String,
    /// Its rows.
    pub rows: Vec<Scored>,
}

/// What is read of report.json.
#[derive(Deserialize)]
struct Read {
    model: String,
    workflows: Vec<ReadPart>,
}

#[derive(Deserialize)]
struct ReadPart {
    workflow: Workflow,
    rows: Vec<Scored>,
}

impl Side {
    /// Reads `report.json`, or `report.json#workflow` where it has several.
    ///
    /// # Errors
    /// [`EvalError::Report`] when it is none, or does not have the workflow; [`EvalError::File`].
    pub fn read(text: &str) -> Result<Self, EvalError> {
        let (path, wanted) = match text.rsplit_once('#') {
            Some((path, workflow)) => (Path::new(path), Some(workflow)),
            None => (Path::new(text), None),
        };
        let refuse = |reason: String| EvalError::Report { path: path.to_owned(), reason };
        let file = if path.is_dir() { path.join("report.json") } else { PathBuf::from(path) };
        let bytes = std::fs::read(&file).map_err(at(&file))?;
        let read: Read = serde_json::from_slice(&bytes).map_err(|error| {
            refuse(format!("{error}; give a report.json as this version of `loupe eval` writes it"))
        })?;
        let names: Vec<&str> = read.workflows.iter().map(|part| name(part.workflow)).collect();
        let ways = format!("it has {}; write FILE#WORKFLOW", names.join(", "));
        let mut parts = read.workflows.into_iter();
        let part = match wanted {
            Some(wanted) => parts.find(|part| name(part.workflow) == wanted),
            None => parts.next().filter(|_| parts.next().is_none()),
        };
        let part = part.ok_or_else(|| refuse(ways))?;
        let folder = file.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let place = folder.map_or_else(String::new, |folder| format!(" ({folder})"));
        Ok(Self { name: format!("{} {}{place}", read.model, name(part.workflow)), rows: part.rows })
    }
}

/// Two evaluations of the same questions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// By group.
    pub groups: Vec<GroupDifference>,
    /// What a question took in the first and in the second.
    pub costs: BTreeMap<&'static str, [Spread; 2]>,
    /// Questions that only one of them has.
    pub unpaired: usize,
}

/// How right answers of a group differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupDifference {
    /// Which questions.
    pub group: String,
    /// The counts.
    #[serde(flatten)]
    pub paired: Paired,
    /// The second's share minus the first's.
    pub difference: f64,
    /// Its 95 % interval.
    pub interval: [f64; 2],
    /// McNemar's exact p-value.
    pub p_value: f64,
}

/// What tells questions apart. Names alone do not: two data sets may count theirs alike.
fn question(row: &Scored) -> (&str, &str) {
    (&row.id, &row.gold)
}

impl Comparison {
    /// Compares the questions that both have.
    #[must_use]
    pub fn of(first: &[Scored], second: &[Scored]) -> Self {
        let others: HashMap<_, &Scored> = second.iter().map(|row| (question(row), row)).collect();
        let pairs: Vec<(&Scored, &Scored)> =
            first.iter().filter_map(|row| Some((row, *others.get(&question(row))?))).collect();
        let unpaired = first.len() + second.len() - 2 * pairs.len();
        let mut groups: BTreeMap<Group, Paired> = BTreeMap::new();
        for (first, second) in &pairs {
            for group in Group::of(first) {
                groups.entry(group).or_default().add(first.right, second.right);
            }
        }
        let difference = |(group, paired): (Group, Paired)| GroupDifference {
            group: group.to_string(),
            paired,
            difference: paired.difference(),
            interval: paired.interval(),
            p_value: paired.p_value(),
        };
        Self { groups: groups.into_iter().map(difference).collect(), costs: costs(&pairs), unpaired }
    }

    /// As a table for people.
    #[must_use]
    pub fn table(&self, first: &str, second: &str) -> String {
        let points = |share: f64| format!("{:+.1}", share * 100.0);
        let rows = self.groups.iter().map(|row| {
            let [a, b] = row.paired.shares().map(|share| format!("{:.1} %", share * 100.0));
            let [low, high] = row.interval.map(points);
            let difference = format!("{} ({low} to {high})", points(row.difference));
            (
                row.group.clone(),
                vec![row.paired.questions.to_string(), a, b, difference, p_shown(row.p_value)],
            )
        });
        let mut text = format!(
            "{second} minus {first}, in points, the same questions: 95 % interval of a paired bootstrap, p of McNemar's \
             exact test.\n\n"
        );
        text.push_str(&markdown_table(["questions", first, second, "difference", "p"], rows));
        let costs = self.costs.iter().map(|(name, [a, b])| {
            let shown =
                |spread: &Spread| format!("{:.1}, {:.1}, {:.1}", spread.median, spread.p95, spread.mean);
            ((*name).to_owned(), vec![shown(a), shown(b)])
        });
        text.push_str("\nMedian, 95th percentile and mean of a question:\n\n");
        text.push_str(&markdown_table([first, second], costs));
        if self.unpaired > 0 {
            text.push_str(&format!("\n{} rows have no partner and are left out.\n", self.unpaired));
        }
        text
    }
}

fn costs(pairs: &[(&Scored, &Scored)]) -> BTreeMap<&'static str, [Spread; 2]> {
    let of = |value: fn(&Scored) -> u64| {
        [
            Spread::of(pairs.iter().map(|(first, _)| value(first))),
            Spread::of(pairs.iter().map(|(_, second)| value(second))),
        ]
    };
    BTreeMap::from([
        ("milliseconds", of(|row| row.millis)),
        ("searches", of(|row| row.steps.len() as u64)),
        ("tokens read", of(|row| row.tokens.prompt)),
        ("tokens written", of(|row| row.tokens.generated)),
        ("turns", of(|row| row.turns.all)),
    ])
}

fn p_shown(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}
