//! Which maps are tuned, and which adapters are gone on from.

use loupe_mllm::adapter::Adapter;
use serde_json::{Value, json};

use super::{SOME, adapter, base, only, recipe, shape};
use crate::learn::optim::AdamWConfig;
use crate::tune::lora::{self, LoraConfig};
use crate::tune::recipe::SftRecipe;

#[test]
fn only_the_named_maps_of_the_decoder_get_pairs() {
    let base = base(&only(&["q_proj", "gate_proj"]), AdamWConfig::default());
    let names: Vec<String> = base.learner.params.all().into_iter().map(|(name, _)| name).collect();
    let pair = |module: &str| ["lora_A", "lora_B"].map(|side| format!("{module}.{side}.weight"));
    assert_eq!(names, SOME.into_iter().flat_map(pair).collect::<Vec<_>>());
}

/// What is said of a recipe with such a field.
fn recipe_refused(field: &str, value: Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.json");
    let mut recipe = serde_json::to_value(recipe()).unwrap();
    recipe[field] = value;
    std::fs::write(&path, recipe.to_string()).unwrap();
    SftRecipe::read(&path).unwrap_err().to_string()
}

#[test]
fn a_recipe_with_an_unknown_target_is_refused_with_the_names_that_there_are() {
    let said = recipe_refused("lora", json!({ "targets": ["q_proj", "qkv_proj"] }));
    assert!(said.contains("recipe.json") && said.contains("lora.targets has \"qkv_proj\""), "{said}");
    assert!(said.contains("q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"), "{said}");
}

#[test]
fn an_adapter_that_cannot_be_made_is_refused_by_its_field() {
    for (lora, field) in [
        (json!({ "targets": [] }), "lora.targets is empty"),
        (json!({ "rank": 0 }), "lora.rank"),
        (json!({ "alpha": 0.0 }), "lora.alpha"),
        (json!({ "dropout": 1.0 }), "lora.dropout"),
        (json!({ "target": ["q_proj"] }), "unknown field `target`"),
    ] {
        let said = recipe_refused("lora", lora);
        assert!(said.contains("recipe.json") && said.contains(field), "{field}: {said}");
    }
}

#[test]
fn a_run_that_would_end_at_its_first_measurement_is_refused() {
    let said = recipe_refused("early_stop", json!({ "every": 1, "patience": 0 }));
    assert!(said.contains("early_stop.patience has to be above 0"), "{said}");
}

/// Why an adapter is not gone on from.
fn refused(adapter: &Adapter, config: &LoraConfig) -> String {
    let base = base(config, AdamWConfig::default());
    lora::take(adapter, &base.learner.params, config).unwrap_err().to_string()
}

#[test]
fn an_adapter_of_another_rank_is_refused_with_its_first_map_and_both_shapes() {
    let said = refused(&adapter("tied", "all"), &LoraConfig { rank: 8, ..shape() });
    assert!(said.contains("model.layers.0.mlp.down_proj.lora_A.weight has the shape [4, "), "{said}");
    assert!(said.contains("the recipe's rank 8 want [8, "), "{said}");
}

#[test]
fn an_adapter_of_a_map_that_the_recipe_does_not_tune_is_refused_with_that_map() {
    let said = refused(&adapter("tied", "all"), &only(&["q_proj", "v_proj"]));
    assert!(said.contains("model.layers.0.mlp.down_proj"), "{said}");
    assert!(said.contains("the recipe tunes only q_proj, v_proj"), "{said}");
}

#[test]
fn an_adapter_that_lacks_maps_of_the_recipe_is_refused_with_the_first_of_them() {
    // It changes q_proj and v_proj in two layers.
    let said = refused(&adapter("tied", "rslora"), &shape());
    assert!(said.contains("it lacks model.layers.0.mlp.down_proj.lora_A.weight"), "{said}");
}

#[test]
fn an_adapter_of_a_model_of_another_width_is_refused_with_its_first_map() {
    let said = refused(&adapter("untied", "all"), &shape());
    assert!(said.contains("model.layers.0.mlp.down_proj"), "{said}");
}

#[test]
fn an_adapter_of_another_scale_changes_the_model_as_before() {
    // Stabilised by its rank: 6 / sqrt(4); the recipe's scale is 6 / 4.
    let was = adapter("tied", "rslora");
    let config = LoraConfig { alpha: 6.0, ..only(&["q_proj", "v_proj"]) };
    let base = base(&config, AdamWConfig::default());
    lora::take(&was, &base.learner.params, &config).unwrap();
    let is = lora::to_adapter(&base, &config).unwrap();
    assert!(was.modules().eq(is.modules()));
    for module in was.modules() {
        let (was, is) = (was.pair(module).unwrap(), is.pair(module).unwrap());
        assert_eq!((was.scale, is.scale), (3.0, 1.5));
        let twice: Vec<f32> = was.b.iter().map(|value| value * 2.0).collect();
        assert!(is.a == was.a && is.b == twice, "{module}");
    }
}
