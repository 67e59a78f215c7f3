//! One workflow's numbers.

use std::collections::BTreeMap;

use loupe_shared::protocol::Tool;
use serde::Serialize;

use super::group::Group;
use crate::eval::cause::Cause;
use crate::eval::scored::{ModelVerdict, Scored, ToolUse};
use crate::eval::stats::Spread;
use crate::eval::tally::Tally;

/// What questions cost, where prices are given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Prices {
    /// Of one search.
    pub per_search: f64,
    /// Of a million tokens, read or written.
    pub per_mtok: f64,
}

/// Right answers of a group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupShare {
    /// Which questions.
    pub group: String,
    /// How many of how many are right.
    #[serde(flatten)]
    pub tally: Tally,
    /// Wilson's 95 % interval of the share.
    pub interval: [f64; 2],
}

/// How often a run used a tool in some way; a run counts for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ToolShares {
    /// Searched the whole picture.
    pub whole_image: Tally,
    /// Searched a part of it.
    pub crop: Tally,
    /// Searched by words.
    pub text: Tally,
    /// Searched by words more than once.
    pub several_texts: Tally,
}

/// How the rule and a model judge the same answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Right for both.
    pub both_right: u64,
    /// Wrong for both.
    pub both_wrong: u64,
    /// Right for the rule alone.
    pub only_rule: u64,
    /// Right for the model alone.
    pub only_model: u64,
    /// The model gave no verdict; the rule's counts.
    pub undecided: u64,
}

impl Agreement {
    /// Answers on which both agree, of those on which both have a verdict.
    #[must_use]
    pub fn agreed(&self) -> Tally {
        let right = self.both_right + self.both_wrong;
        Tally { right, all: right + self.only_rule + self.only_model }
    }

    /// Cohen's kappa: agreement beyond chance, 1 at most; none where one judge always says the same.
    #[must_use]
    pub fn kappa(&self) -> Option<f64> {
        let all = self.agreed().all as f64;
        let rule = (self.both_right + self.only_rule) as f64 / all;
        let model = (self.both_right + self.only_model) as f64 / all;
        let chance = rule * model + (1.0 - rule) * (1.0 - model);
        (chance < 1.0).then(|| (self.agreed().share() - chance) / (1.0 - chance))
    }
}

/// One workflow's numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Right answers by group.
    pub groups: Vec<GroupShare>,
    /// Turns of valid grammar.
    pub grammar: Tally,
    /// Boxes that can be read.
    pub boxes: Tally,
    /// Runs by how they used their tools.
    pub tool_use: BTreeMap<ToolUse, u64>,
    /// Runs that used a tool in some way.
    pub tools: ToolShares,
    /// Runs that searched, of those that had to.
    pub used_where_needed: Tally,
    /// Runs that searched, of those that did not have to.
    pub used_where_not_needed: Tally,
    /// Searches by picture, by words, and failed ones of both.
    pub searches: [u64; 3],
    /// Calls that the recording did not have.
    pub missed: u64,
    /// Turns a question took.
    pub turns: Spread,
    /// Searches a question took.
    pub searches_each: Spread,
    /// Tokens read for a question.
    pub prompt_tokens: Spread,
    /// Share of these that did not have to be computed again.
    pub reused: f64,
    /// Tokens written for a question.
    pub generated_tokens: Spread,
    /// Milliseconds a question took.
    pub millis: Spread,
    /// Most questions that were in flight at the same time.
    pub in_flight: usize,
    /// What a question cost, on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Questions that were not answered rightly, by cause.
    pub causes: BTreeMap<Cause, u64>,
    /// Runs without an answer, by code.
    pub failures: BTreeMap<String, u64>,
    /// How the judges agree, where a model judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
}

impl Summary {
    /// Of all rows of a workflow.
    #[must_use]
    pub fn of(rows: &[Scored], prices: Option<Prices>) -> Self {
        let mut summary = Self { groups: groups(rows), ..Self::default() };
        for row in rows {
            summary.add(row);
        }
        let spread = |value: fn(&Scored) -> u64| Spread::of(rows.iter().map(value));
        summary.turns = spread(|row| row.turns.all);
        summary.searches_each = spread(|row| row.steps.len() as u64);
        summary.prompt_tokens = spread(|row| row.tokens.prompt);
        summary.generated_tokens = spread(|row| row.tokens.generated);
        summary.millis = spread(|row| row.millis);
        let sum = |value: fn(&Scored) -> u64| rows.iter().map(value).sum::<u64>() as f64;
        summary.reused = sum(|row| row.tokens.reused) / sum(|row| row.tokens.prompt).max(1.0);
        summary.cost = prices.map(|prices| {
            let tokens = summary.prompt_tokens.mean + summary.generated_tokens.mean;
            summary.searches_each.mean * prices.per_search + tokens / 1e6 * prices.per_mtok
        });
        summary
    }

    /// Right answers of a group; none of a group without questions.
    #[must_use]
    pub fn group(&self, group: &Group) -> Tally {
        let name = group.to_string();
        self.groups.iter().find(|share| share.group == name).map(|share| share.tally).unwrap_or_default()
    }

    fn add(&mut self, row: &Scored) {
        let searched = !row.steps.is_empty();
        match row.search {
            true => self.used_where_needed.add(searched),
            false => self.used_where_not_needed.add(searched),
        }
        self.add_tools(row);
        for (sum, more) in [(&mut self.grammar, row.turns), (&mut self.boxes, row.boxes)] {
            sum.right += more.right;
            sum.all += more.all;
        }
        self.missed += row.missed.len() as u64;
        self.in_flight = self.in_flight.max(row.in_flight);
        if let Some(cause) = row.cause {
            *self.causes.entry(cause).or_default() += 1;
        }
        if let Some(failure) = &row.failure {
            *self.failures.entry(failure.clone()).or_default() += 1;
        }
        self.add_verdicts(row);
    }

    fn add_tools(&mut self, row: &Scored) {
        *self.tool_use.entry(row.tool_use()).or_default() += 1;
        let texts = row.searches(Tool::TextSearch).count();
        let part = |part: bool| row.searches(Tool::ImageSearch).any(|step| step.part == part);
        self.tools.whole_image.add(part(false));
        self.tools.crop.add(part(true));
        self.tools.text.add(texts > 0);
        self.tools.several_texts.add(texts > 1);
        let failed = row.steps.iter().filter(|step| step.failed.is_some()).count();
        for (sum, more) in self.searches.iter_mut().zip([row.steps.len() - texts, texts, failed]) {
            *sum += more as u64;
        }
    }

    fn add_verdicts(&mut self, row: &Scored) {
        let Some(verdicts) = &row.verdicts else { return };
        let Some(model) = verdicts.model else { return };
        let agreement = self.agreement.get_or_insert_default();
        let count = match (verdicts.rule, model) {
            (_, ModelVerdict::Undecided) => &mut agreement.undecided,
            (true, ModelVerdict::Right) => &mut agreement.both_right,
            (false, ModelVerdict::Wrong) => &mut agreement.both_wrong,
            (true, ModelVerdict::Wrong) => &mut agreement.only_rule,
            (false, ModelVerdict::Right) => &mut agreement.only_model,
        };
        *count += 1;
    }
}

fn groups(rows: &[Scored]) -> Vec<GroupShare> {
    let mut tallies: BTreeMap<Group, Tally> = BTreeMap::new();
    for row in rows {
        for group in Group::of(row) {
            tallies.entry(group).or_default().add(row.right);
        }
    }
    let share = |(group, tally): (Group, Tally)| GroupShare {
        group: group.to_string(),
        tally,
        interval: tally.interval(),
    };
    tallies.into_iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kappa_is_cohens() {
        // Cohen 1960's form of the table: 0.7 agree, 0.5 · 0.6 + 0.5 · 0.4 would by chance.
        let agreement =
            Agreement { both_right: 20, only_rule: 5, only_model: 10, both_wrong: 15, undecided: 3 };
        assert!((agreement.kappa().unwrap() - 0.4).abs() < 1e-12);
        assert_eq!(agreement.agreed(), Tally { right: 35, all: 50 });
        assert_eq!(Agreement { both_right: 4, ..Agreement::default() }.kappa(), None);
    }
}
