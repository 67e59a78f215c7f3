//! What a run was begun with. Going on with something else would neither be that run nor a new one.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use loupe_mllm::adapter::Adapter;

use super::base::Base;
use super::lora;
use super::records::Records;
use crate::error::{Result, TrainError};
use crate::eval::session::Settings;
use crate::place::write_json;

/// The file in a run's folder.
const FILE: &str = "settings.json";
/// Fields of a recipe that may change on the way: how long, how often, and when to stop.
const FREE: [&str; 7] = ["epochs", "steps", "log_steps", "save_minutes", "save_steps", "early_stop", "guard"];

/// What a run is begun with.
pub(super) struct Begun<'a> {
    /// The model.
    pub(super) base: &'a Base,
    /// What it learns from.
    pub(super) data: &'a Records,
    /// What it is measured by. What was best on one development set says nothing about another.
    pub(super) dev: Option<&'a Records>,
    /// The adapter that it starts from.
    pub(super) start: Option<&'a Adapter>,
    /// What else decides it.
    pub(super) besides: &'a Settings,
}

/// Compares a run with what its folder says it was begun with; a new run is noted there.
///
/// # Errors
/// [`TrainError::Checkpoint`] with what differs, or when the note cannot be read or written.
pub(super) fn check(out: &Path, resume: bool, begun: &Begun<'_>, recipe: &impl Serialize) -> Result<()> {
    let path = out.join(FILE);
    let now = settings(begun, recipe)?;
    if !resume || !path.exists() {
        return Ok(write_json(&path, &now)?);
    }
    let wrong = |reason: String| TrainError::Checkpoint { path: path.clone(), reason };
    let bytes = std::fs::read(&path).map_err(TrainError::file(&path))?;
    let then: Settings = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    let differences = differences(&then, &now);
    match differences.is_empty() {
        true => Ok(()),
        false => Err(wrong(format!("the run was begun otherwise ({})", differences.join("; ")))),
    }
}

fn settings(begun: &Begun<'_>, recipe: &impl Serialize) -> Result<Settings> {
    let Begun { base, data, dev, start, besides } = begun;
    let recipe = serde_json::to_value(recipe)
        .map_err(|error| TrainError::Adapter { reason: format!("the recipe cannot be noted: {error}") })?;
    let shape = letters(blake3::hash(base.config.to_json().to_string().as_bytes()));
    let weights = base.weights.as_ref().map_or_else(String::new, |weights| format!(", weights {weights}"));
    let mut settings = BTreeMap::from([("model".to_owned(), format!("{} {shape}{weights}", base.name))]);
    let read = [
        ("data", Some(data.hash().to_owned())),
        ("dev", dev.map(|rows| rows.hash().to_owned())),
        ("start", start.map(lora::hash)),
    ];
    settings.extend(read.into_iter().filter_map(|(name, hash)| Some((name.to_owned(), hash?))));
    settings.extend(besides.0.clone());
    // Other arithmetic, another curve.
    if base.learner.model.is_gpu() {
        settings.insert("device".to_owned(), "gpu".to_owned());
    }
    if let Value::Object(fields) = recipe {
        let kept = fields.into_iter().filter(|(name, _)| !FREE.contains(&name.as_str()));
        settings.extend(kept.map(|(name, value)| (format!("recipe.{name}"), value.to_string())));
    }
    Ok(Settings(settings))
}

/// A hash in letters enough to see a change.
pub(super) fn letters(hash: blake3::Hash) -> String {
    hash.to_hex()[..16].to_owned()
}

/// What differs, for people.
fn differences(then: &Settings, now: &Settings) -> Vec<String> {
    let value = |value: Option<&String>| value.map_or("nothing".to_owned(), Clone::clone);
    let told = |(name, then, now)| format!("{name}: {} then, {} now", value(then), value(now));
    then.differing(now).map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_with_both_values() {
        let of = |pairs: &[(&str, &str)]| -> Settings {
            Settings(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        let (then, now) = (of(&[("a", "1"), ("b", "2")]), of(&[("a", "1"), ("b", "3"), ("c", "4")]));
        assert_eq!(differences(&then, &now), ["b: 2 then, 3 now", "c: nothing then, 4 now"]);
        assert!(differences(&then, &then).is_empty());
    }
}
