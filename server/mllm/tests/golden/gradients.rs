//! Gradients of the whole model, from the loss through decoder, splice and vision tower, against PyTorch's.

use std::collections::BTreeMap;
use std::sync::Mutex;

use candle_core::{D, Device, Tensor, Var};
use loupe_mllm::checkpoint::{Files, Store, read_config};
use loupe_mllm::model::{Qwen2_5Vl, splice};
use loupe_mllm::weights::Weights;
use loupe_mllm::{Loaded, Result};

use crate::common::{CHECKPOINTS, conversations, folder, open};

/// Weights of a checkpoint as variables.
struct Variables {
    store: Store,
    given: Mutex<BTreeMap<String, Var>>,
}

impl Weights for Variables {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let variable = Var::from_tensor(&self.store.get(name, shape)?)?;
        let tensor = variable.as_tensor().clone();
        self.given.lock().expect("one thread").insert(name.to_owned(), variable);
        Ok(tensor)
    }
}

/// Mean cross-entropy of every token after the first.
fn loss(
    model: &Qwen2_5Vl,
    loaded: &Loaded,
    case: &[loupe_mllm::engine::Message],
) -> candle_core::Result<Tensor> {
    let encoded = loaded.chat.encode(case, true).expect("a conversation");
    let positions = encoded.positions(loaded.chat.image_token).expect("positions");
    let pixels = encoded.pictures.iter().map(|picture| picture.pixels.as_ref());
    let (patches, grids) = loaded.chat.preprocessor.pixel_values(pixels, &Device::Cpu).expect("patches");
    let ids = Tensor::new(encoded.ids.as_slice(), &Device::Cpu)?;
    let is_image: Vec<bool> = encoded.ids.iter().map(|id| *id == loaded.chat.image_token).collect();
    let embeds = splice(&model.embed(&ids)?, &model.vision(&patches, &grids)?, &is_image)?;
    let rotary = model.rotary(&[positions], encoded.ids.len())?;
    let hidden = model.forward(&embeds.unsqueeze(0)?, &rotary, None)?;
    let count = encoded.ids.len() - 1;
    let logits = model.logits(&hidden.squeeze(0)?.narrow(0, 0, count)?)?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let chosen = shifted.gather(&ids.narrow(0, 1, count)?.unsqueeze(1)?, 1)?.squeeze(1)?;
    (shifted.exp()?.sum(D::Minus1)?.log()? - chosen)?.mean_all()
}

#[test]
fn norms_of_every_weights_gradient_are_those_of_pytorch() {
    for checkpoint in CHECKPOINTS {
        let json = std::fs::read(folder(checkpoint).join("gradients.json")).expect("gradients.json");
        let expected: BTreeMap<String, f64> = serde_json::from_slice(&json).expect("a map of norms");
        let files = Files::folder(&folder(checkpoint));
        let config = read_config(&files).expect("a configuration");
        let store = Store::open(&files, &Device::Cpu).expect("weights");
        let variables = Variables { store, given: Mutex::default() };
        let model = Qwen2_5Vl::load(&config, &variables).expect("a model");
        let loss = loss(&model, &open(checkpoint), &conversations(checkpoint)["several"]).expect("a loss");
        let gradients = loss.backward().expect("gradients");

        let loss = f64::from(loss.to_scalar::<f32>().expect("a number"));
        assert!((loss / expected["loss"] - 1.0).abs() < 1e-5, "{checkpoint}: {loss}");
        let given = variables.given.into_inner().expect("one thread");
        assert_eq!(given.len(), expected.len() - 1, "{checkpoint}: every weight has a gradient to compare");
        for (name, variable) in given {
            let gradient =
                gradients.get(&variable).unwrap_or_else(|| panic!("{checkpoint}: {name} has none"));
            let norm = gradient.sqr().and_then(|g| g.sum_all()?.sqrt()?.to_scalar::<f32>()).expect("a norm");
            let apart = (f64::from(norm) - expected[&name]).abs() / expected[&name].max(1e-3);
            assert!(apart < 1e-3, "{checkpoint} {name}: {norm}, expected {}", expected[&name]);
        }
    }
}
