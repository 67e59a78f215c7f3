//! `adapter_config.json`: what PEFT calls `LoraConfig`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::modules;
use crate::checkpoint::Files;
use crate::error::{Error, Result};

/// The configuration's file.
pub(super) const CONFIG: &str = "adapter_config.json";
/// The kind of adapter that is supported.
const KIND: &str = "LORA";
/// Larger ranks are mistakes: no linear map of a model that fits this program has that many numbers.
const MAX_RANK: usize = 1 << 16;

/// Fields that change what an adapter computes, with the values that leave it plain LoRA. Those that do not concern
/// what is computed (dropout, versions, how numbers began) are not looked at.
const PLAIN: [(&str, Plain); 16] = [
    ("use_dora", Plain::Off),
    ("use_qalora", Plain::Off),
    ("use_bdlora", Plain::Off),
    ("lora_bias", Plain::Off),
    ("fan_in_fan_out", Plain::Off),
    ("modules_to_save", Plain::Off),
    ("layer_replication", Plain::Off),
    ("trainable_token_indices", Plain::Off),
    ("alora_invocation_tokens", Plain::Off),
    ("target_parameters", Plain::Off),
    ("arrow_config", Plain::Off),
    ("kasa_config", Plain::Off),
    ("monteclora_config", Plain::Off),
    ("velora_config", Plain::Off),
    ("bias", Plain::Text("none")),
    // These begin by changing the base model's weights, which are not in the adapter.
    ("init_lora_weights", Plain::NotText(&["pissa", "corda", "olora", "mica", "loftq", "lora_ga"])),
];

/// Which values of a field leave an adapter plain.
#[derive(Clone, Copy)]
enum Plain {
    /// Absent, null, false or empty.
    Off,
    /// Absent, or this.
    Text(&'static str),
    /// Anything but a text that begins with one of these.
    NotText(&'static [&'static str]),
}

impl Plain {
    fn holds(self, value: &Value) -> bool {
        match self {
            Self::Off => match value {
                Value::Null | Value::Bool(false) => true,
                Value::Array(values) => values.is_empty(),
                Value::Object(values) => values.is_empty(),
                _ => false,
            },
            Self::Text(text) => value.is_null() || value.as_str() == Some(text),
            Self::NotText(starts) => value.as_str().is_none_or(|text| {
                let text = text.to_lowercase();
                !starts.iter().any(|start| text.starts_with(start))
            }),
        }
    }

    fn expected(self) -> String {
        match self {
            Self::Off => "plain LoRA, without it".into(),
            Self::Text(text) => format!("{text:?}"),
            Self::NotText(_) => "an adapter of the unchanged base model; convert it with PEFT".into(),
        }
    }
}

/// The modules that an adapter was made for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Targets {
    /// Paths, or their last parts.
    Names(Vec<String>),
    /// A regular expression over paths.
    Pattern(String),
}

impl Targets {
    /// Whether a module path is meant; unknown for a regular expression.
    pub(super) fn names(&self, path: &str) -> bool {
        match self {
            Self::Names(names) => names.iter().any(|name| is_end_of(name, path)),
            Self::Pattern(_) => false,
        }
    }
}

/// The numbers that are given for all modules, and those for some.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterConfig {
    rank: usize,
    alpha: f64,
    /// Whether the scale is alpha over the root of the rank instead of over the rank.
    rslora: bool,
    rank_pattern: BTreeMap<String, usize>,
    alpha_pattern: BTreeMap<String, f64>,
    /// None where a file lists no names, or only for some layers.
    targets: Option<Targets>,
    base: Option<String>,
}

#[derive(Deserialize)]
struct Raw {
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    rank_pattern: Option<BTreeMap<String, usize>>,
    alpha_pattern: Option<BTreeMap<String, f64>>,
    target_modules: Option<Targets>,
    #[serde(default)]
    exclude_modules: Value,
    #[serde(default)]
    layers_to_transform: Value,
    base_model_name_or_path: Option<String>,
}

impl AdapterConfig {
    /// One rank for all modules, and a scale of `alpha` over it; `base` names the base model, for people and for PEFT.
    #[must_use]
    pub fn new(rank: usize, alpha: f64, base: Option<String>) -> Self {
        let (rank_pattern, alpha_pattern) = (BTreeMap::new(), BTreeMap::new());
        Self { rank, alpha, rslora: false, rank_pattern, alpha_pattern, targets: None, base }
    }

    /// Reads and checks `adapter_config.json`.
    ///
    /// # Errors
    /// When it is missing, no LoRA adapter's, or asks for what is not supported.
    pub fn read(files: &Files) -> Result<Self> {
        let bad = |problem: String, expected: &str| Error::BadFile {
            file: files.path(CONFIG),
            problem,
            expected: expected.to_owned(),
        };
        let json = files.read(CONFIG, "it says how a LoRA adapter in PEFT's format is applied")?;
        let form = "an adapter_config.json as PEFT writes it";
        let value: Value = serde_json::from_slice(&json).map_err(|error| bad(error.to_string(), form))?;
        check_plain(&value).map_err(|(problem, expected)| bad(problem, &expected))?;
        let raw: Raw = serde_json::from_value(value).map_err(|error| bad(error.to_string(), form))?;
        Self::checked(raw).map_err(|(problem, expected)| bad(problem, &expected))
    }

    fn checked(raw: Raw) -> Result<Self, (String, String)> {
        let config = Self {
            rank: raw.r,
            alpha: raw.lora_alpha,
            rslora: raw.use_rslora,
            rank_pattern: raw.rank_pattern.unwrap_or_default(),
            alpha_pattern: raw.alpha_pattern.unwrap_or_default(),
            targets: raw.target_modules.filter(|_| {
                let everywhere = |value| Plain::Off.holds(value);
                everywhere(&raw.layers_to_transform) && everywhere(&raw.exclude_modules)
            }),
            base: raw.base_model_name_or_path.filter(|name| !name.is_empty()),
        };
        config.check()?;
        Ok(config)
    }

    /// What is wrong, and what was expected.
    fn check(&self) -> Result<(), (String, String)> {
        let mut ranks = self.rank_pattern.values().chain([&self.rank]);
        if let Some(rank) = ranks.find(|rank| !(1..=MAX_RANK).contains(*rank)) {
            return Err((format!("a rank is {rank}"), format!("1 to {MAX_RANK}")));
        }
        let mut alphas = self.alpha_pattern.values().chain([&self.alpha]);
        if let Some(alpha) = alphas.find(|alpha| !(**alpha as f32).is_finite()) {
            return Err((format!("an alpha is {alpha}"), "a number that f32 holds".into()));
        }
        let mut patterns = self.rank_pattern.keys().chain(self.alpha_pattern.keys());
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.^".contains(c);
        if let Some(pattern) = patterns.find(|pattern| !pattern.chars().all(plain)) {
            let problem = format!("rank_pattern or alpha_pattern has the regular expression {pattern:?}");
            return Err((problem, "module paths or their last parts".into()));
        }
        Ok(())
    }

    /// The base model's name, where the file gives one.
    #[must_use]
    pub fn base(&self) -> Option<&str> {
        self.base.as_deref()
    }

    /// The rank for a map.
    #[must_use]
    pub fn rank(&self, module: &str) -> usize {
        of_pattern(&self.rank_pattern, module).unwrap_or(self.rank)
    }

    /// What the product of a map's two matrices is multiplied by.
    #[must_use]
    pub fn scale(&self, module: &str) -> f32 {
        let (rank, alpha) =
            (self.rank(module) as f64, of_pattern(&self.alpha_pattern, module).unwrap_or(self.alpha));
        (if self.rslora { alpha / rank.sqrt() } else { alpha / rank }) as f32
    }

    /// Whether the file lists a map of the decoder for all layers, so that it has to hold it.
    pub(super) fn lists(&self, module: &str) -> bool {
        self.targets.as_ref().is_some_and(|targets| targets.names(&modules::path(module)))
    }

    /// Whether patterns contradict each other on a map.
    pub(super) fn is_torn(&self, module: &str) -> bool {
        is_torn(&self.rank_pattern, module) || is_torn(&self.alpha_pattern, module)
    }

    /// As PEFT reads it, for an adapter of these maps. Each is listed with its whole path below the model: names alone
    /// would also mean maps of the vision tower.
    pub(super) fn to_json<'a>(&'a self, modules: impl Iterator<Item = &'a str>) -> Value {
        let below = |module: &str| module.strip_prefix("model.").unwrap_or(module).to_owned();
        json!({
            "peft_type": KIND,
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": self.base(),
            "r": self.rank,
            "lora_alpha": self.alpha,
            "use_rslora": self.rslora,
            "rank_pattern": renewed(&self.rank_pattern),
            "alpha_pattern": renewed(&self.alpha_pattern),
            "target_modules": modules.map(below).collect::<Vec<_>>(),
            "bias": "none",
            "lora_dropout": 0.0,
            "fan_in_fan_out": false,
            "inference_mode": true,
        })
    }
}

/// What is wrong with a configuration that is not plain LoRA's, and what was expected.
fn check_plain(value: &Value) -> Result<(), (String, String)> {
    match value.get("peft_type").and_then(Value::as_str) {
        Some(KIND) => {}
        Some(other) => return Err((format!("peft_type is {other:?}"), format!("{KIND:?}"))),
        None => return Err(("peft_type is missing".into(), format!("{KIND:?}"))),
    }
    for (name, plain) in PLAIN {
        let Some(found) = value.get(name).filter(|found| !plain.holds(found)) else { continue };
        return Err((format!("{name} is {found}"), plain.expected()));
    }
    Ok(())
}

/// The value for a module of the first pattern that names it.
fn of_pattern<T: Copy>(patterns: &BTreeMap<String, T>, module: &str) -> Option<T> {
    patterns.iter().find(|(pattern, _)| names(pattern, module)).map(|(_, value)| *value)
}

/// Whether patterns give a module two values. PEFT takes the one that was written first, and that order is not kept.
fn is_torn<T: PartialEq>(patterns: &BTreeMap<String, T>, module: &str) -> bool {
    let mut values = patterns.iter().filter(|(pattern, _)| names(pattern, module)).map(|(_, value)| value);
    values.next().is_some_and(|first| values.any(|other| other != first))
}

/// Whether a pattern is the end of a module's path, or, after `^`, the whole of it. In transformers before 4.52 the path
/// was the name on the hub; its ends are those of today's path, but for the whole of it.
fn names(pattern: &str, module: &str) -> bool {
    let path = modules::path(module);
    match pattern.strip_prefix('^') {
        Some(whole) => whole == path || whole == module,
        None => is_end_of(pattern, &path) || pattern == module,
    }
}

/// Patterns for the module paths of transformers 4.52 and later, under which adapters are written: PEFT would pass over
/// a whole path of an earlier one.
fn renewed<T: Copy>(patterns: &BTreeMap<String, T>) -> BTreeMap<String, T> {
    let renew = |pattern: &str| {
        let (start, path) = pattern.split_at(usize::from(pattern.starts_with('^')));
        let is_whole = path.starts_with("model.") || path.starts_with("visual.");
        if is_whole {
            format!("{start}{}", modules::path(&modules::module(path)))
        } else {
            pattern.to_owned()
        }
    };
    patterns.iter().map(|(pattern, value)| (renew(pattern), *value)).collect()
}

/// Whether `end` is the path, or its last parts.
fn is_end_of(end: &str, path: &str) -> bool {
    path.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(changes: &Value) -> Result<AdapterConfig, Error> {
        let mut json = json!({ "peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "bias": "none" });
        for (name, value) in changes.as_object().unwrap() {
            json[name] = value.clone();
        }
        let bytes = json.to_string().into_bytes();
        AdapterConfig::read(&Files::embedded("adapter", BTreeMap::from([(CONFIG.to_owned(), bytes.into())])))
    }

    #[test]
    fn scales_and_ranks_follow_patterns() {
        let config = parse(&json!({
            "rank_pattern": { "down_proj": 2, "^model.language_model.layers.1.self_attn.q_proj": 16 },
            "alpha_pattern": { "layers.0.self_attn.q_proj": 2 },
        }))
        .unwrap();
        let module = |name: &str| (config.rank(name), config.scale(name));
        assert_eq!(module("model.layers.0.self_attn.q_proj"), (4, 0.5));
        assert_eq!(module("model.layers.1.self_attn.q_proj"), (16, 0.5));
        assert_eq!(module("model.layers.10.self_attn.q_proj"), (4, 2.0));
        assert_eq!(module("visual.blocks.1.mlp.down_proj"), (2, 4.0));
        assert_eq!(parse(&json!({ "use_rslora": true })).unwrap().scale("model.layers.0.mlp.up_proj"), 4.0);
    }

    #[test]
    fn patterns_with_whole_paths_of_earlier_transformers_are_not_passed_over() {
        let config = parse(&json!({
            "rank_pattern": { "model.layers.0.self_attn.q_proj": 2, "visual.blocks.0.attn.qkv": 16 },
            "alpha_pattern": { "model.layers.0.self_attn.q_proj": 64, "^model.layers.1.mlp.up_proj": 2 },
        }))
        .unwrap();
        let module = |name: &str| (config.rank(name), config.scale(name));
        assert_eq!(module("model.layers.0.self_attn.q_proj"), (2, 32.0));
        assert_eq!(module("model.layers.1.mlp.up_proj"), (4, 0.5));
        assert_eq!(module("visual.blocks.0.attn.qkv"), (16, 0.5));
        for other in ["model.layers.10.self_attn.q_proj", "model.layers.0.self_attn.k_proj"] {
            assert_eq!(module(other), (4, 2.0), "{other}");
        }
        let written = config.to_json(std::iter::empty());
        let ranks = json!({ "model.language_model.layers.0.self_attn.q_proj": 2, "model.visual.blocks.0.attn.qkv": 16 });
        assert_eq!(written["rank_pattern"], ranks);
        let again = parse(&written).unwrap();
        for name in
            ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.up_proj", "visual.blocks.0.attn.qkv"]
        {
            assert_eq!((again.rank(name), again.scale(name)), module(name), "{name}");
        }

        let torn =
            json!({ "alpha_pattern": { "model.layers.0.self_attn.q_proj": 2, "q_proj": 4, "down_proj": 4 } });
        let torn = parse(&torn).unwrap();
        let of_layer = |layer| torn.is_torn(&format!("model.layers.{layer}.self_attn.q_proj"));
        assert!(of_layer(0) && !of_layer(1));
    }

    #[test]
    fn what_is_not_plain_lora_is_refused_by_its_name() {
        for (changes, named) in [
            (json!({ "peft_type": "IA3" }), "IA3"),
            (json!({ "peft_type": null }), "peft_type"),
            (json!({ "r": 0 }), "rank"),
            (json!({ "r": -1 }), "-1"),
            (json!({ "lora_alpha": null }), "null"),
            (json!({ "lora_alpha": 1e300 }), "alpha"),
            (json!({ "use_dora": true }), "use_dora"),
            (json!({ "bias": "all" }), "bias"),
            (json!({ "modules_to_save": ["lm_head"] }), "modules_to_save"),
            (json!({ "init_lora_weights": "pissa_niter_4" }), "init_lora_weights"),
            (json!({ "rank_pattern": { "layers\\.\\d+": 2 } }), "regular expression"),
            (json!({ "rank_pattern": { "q_proj": 0 } }), "rank"),
        ] {
            let error = parse(&changes).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains(CONFIG), "{changes}: {error}");
        }
        for changes in [json!({ "init_lora_weights": "gaussian" }), json!({ "modules_to_save": [] })] {
            parse(&changes).unwrap();
        }
    }
}
