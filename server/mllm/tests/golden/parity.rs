//! Every value of the pipeline against transformers, on two tiny random checkpoints.

use crate::common::{CHECKPOINTS, conversations, expected, open, relative_difference};
use candle_core::Tensor;
use loupe_mllm::Loaded;
use loupe_mllm::decode::greedy;
use loupe_mllm::engine::Message;
use loupe_mllm::model::splice;
use loupe_mllm::probe::{self, Probe};

const GENERATED: usize = 40;

/// Runs `check` on every conversation of every checkpoint; `value` gives what transformers computed.
fn for_every_case(check: impl Fn(&str, &Loaded, &[Message], &dyn Fn(&str) -> Option<Tensor>)) {
    for checkpoint in CHECKPOINTS {
        let (loaded, expected) = (open(checkpoint), expected(checkpoint));
        for (case, messages) in conversations(checkpoint) {
            let value = |name: &str| expected.get(&format!("{case}.{name}")).cloned();
            check(&format!("{checkpoint}/{case}"), &loaded, &messages, &value);
        }
    }
}

fn probe(loaded: &Loaded, messages: &[Message]) -> Probe {
    probe::of_messages(loaded, messages, 0).expect("a probe")
}

fn integers(tensor: &Tensor) -> Vec<i64> {
    tensor.flatten_all().and_then(|t| t.to_vec1()).expect("integers")
}

#[test]
fn ids_positions_and_grids_are_identical() {
    for_every_case(|case, loaded, messages, value| {
        let probe = probe(loaded, messages);
        for (name, got) in [("input_ids", &probe.input_ids), ("position_ids", &probe.position_ids)] {
            let expected = value(name).expect("every conversation has it");
            assert_eq!(got.dims(), expected.dims(), "{case} {name}");
            assert_eq!(integers(got), integers(&expected), "{case} {name}");
        }
        let grids = value("image_grid_thw").map(|grids| integers(&grids)).unwrap_or_default();
        assert_eq!(integers(&probe.image_grid_thw), grids, "{case}");
    });
}

#[test]
fn pixel_values_are_within_a_millionth() {
    for_every_case(|case, loaded, messages, value| {
        let Some(expected) = value("pixel_values") else { return };
        let probe = probe(loaded, messages);
        let frames = probe.pixel_values.reshape(((), 3, 2, 196)).expect("patches of two frames");
        for frame in 0..2 {
            let got = frames.narrow(2, frame, 1).and_then(|t| t.reshape(((), 588))).expect("a frame");
            let apart = (got - &expected).and_then(|t| t.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>());
            let apart = apart.expect("equal shapes");
            assert!(apart <= 1e-6, "{case}: {apart}");
        }
    });
}

#[test]
fn vision_embeds_and_logits_are_within_a_thousandth() {
    for_every_case(|case, loaded, messages, value| {
        let probe = probe(loaded, messages);
        if let Some(expected) = value("vision_embeds") {
            let apart = relative_difference(&probe.vision_embeds, &expected);
            assert!(apart < 1e-3, "{case} vision_embeds: {apart}");
            // Far within the contract: a difference above this is a mistake, not rounding.
            assert!(apart < 2e-5, "{case} vision_embeds: {apart}");
        }
        let apart = relative_difference(&probe.logits, &value("logits").expect("every conversation has it"));
        assert!(apart < 1e-3, "{case} logits: {apart}");
        assert!(apart < 2e-5, "{case} logits: {apart}");
    });
}

#[test]
fn forty_greedy_tokens_are_identical_with_and_without_the_cache() {
    for_every_case(|case, loaded, messages, value| {
        let expected = integers(&value("generated").expect("every conversation has it"));
        assert_eq!(expected.len(), GENERATED, "{case}");
        let (embeds, positions) = embeds(loaded, messages);
        for (how, generate) in
            [("with", greedy::with_cache as fn(_, &Tensor, _, _) -> _), ("without", greedy::without_cache)]
        {
            let ids: Vec<u32> = generate(&loaded.model, &embeds, &positions, GENERATED).expect("tokens");
            let ids: Vec<i64> = ids.into_iter().map(i64::from).collect();
            assert_eq!(ids, expected, "{case} {how} the cache");
        }
    });
}

fn embeds(loaded: &Loaded, messages: &[Message]) -> (Tensor, loupe_mllm::model::Positions) {
    let encoded = loaded.chat.encode(messages, true).expect("a conversation");
    let positions = encoded.positions(loaded.chat.image_token).expect("positions");
    let ids = Tensor::new(encoded.ids.as_slice(), loaded.model.device()).expect("ids");
    let words = loaded.model.embed(&ids).expect("embeddings");
    let pixels = encoded.pictures.iter().map(|picture| picture.pixels.as_ref());
    let (patches, grids) =
        loaded.chat.preprocessor.pixel_values(pixels, loaded.model.device()).expect("patches");
    if grids.is_empty() {
        return (words, positions);
    }
    let pictures = loaded.model.vision(&patches, &grids).expect("picture embeddings");
    let is_image: Vec<bool> = encoded.ids.iter().map(|id| *id == loaded.chat.image_token).collect();
    (splice(&words, &pictures, &is_image).expect("places for all"), positions)
}
