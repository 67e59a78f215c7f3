//! What weights are before training.

use serde::{Deserialize, Serialize};

use crate::atlas::rng::Rng;

/// How names of LoRA's two matrices end.
pub(crate) const LORA_A: &str = ".lora_A.weight";
pub(crate) const LORA_B: &str = ".lora_B.weight";

/// How weights begin: norms 1, biases 0, matrices N(0, `deviation`), those that write to the residual stream smaller by
/// `1/sqrt(2 layers)` (GPT-2's rule). Of LoRA's two matrices B is 0 and A uniform within `1/sqrt(inputs)`, as PEFT has
/// it (`kaiming_uniform_(a=sqrt(5))`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Init {
    /// Of the draws.
    pub seed: u64,
    /// Standard deviation of a matrix's entries; 0.02 in GPT-2 and Qwen.
    pub deviation: f64,
    /// Layers of the language model.
    pub layers: usize,
    /// Layers of the vision tower.
    pub vision_layers: usize,
}

impl Init {
    /// The first values of the weight `name`; the same for the same seed, whatever else is drawn.
    #[must_use]
    pub fn values(&self, name: &str, shape: &[usize]) -> Vec<f32> {
        let count = shape.iter().product();
        if name.ends_with(".bias") {
            return vec![0.0; count];
        }
        if shape.len() == 1 {
            return vec![1.0; count];
        }
        if name.ends_with(LORA_B) {
            return vec![0.0; count];
        }
        let mut rng = Rng::of(self.seed, name, 0);
        if let [_, inputs] = shape
            && name.ends_with(LORA_A)
        {
            let bound = 1.0 / (*inputs as f64).sqrt();
            return (0..count).map(|_| rng.uniform(-bound, bound) as f32).collect();
        }
        let deviation = self.deviation * self.residual_scale(name);
        (0..count).map(|_| (normal(&mut rng) * deviation) as f32).collect()
    }

    fn residual_scale(&self, name: &str) -> f64 {
        let writes = ["o_proj.weight", "attn.proj.weight", "down_proj.weight"];
        if !writes.iter().any(|end| name.ends_with(end)) {
            return 1.0;
        }
        let layers = if name.starts_with("visual.") { self.vision_layers } else { self.layers };
        1.0 / ((2 * layers.max(1)) as f64).sqrt()
    }
}

/// A draw from N(0, 1), by Box and Muller; libm gives the same numbers on every machine.
fn normal(rng: &mut Rng) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log(1.0 - rng.unit()));
    radius * libm::cos(std::f64::consts::TAU * rng.unit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_weight_begins_as_it_should() {
        let init = Init { seed: 3, deviation: 0.02, layers: 8, vision_layers: 2 };
        assert_eq!(init.values("model.norm.weight", &[4]), [1.0; 4]);
        assert_eq!(init.values("model.layers.0.mlp.up_proj.lora_B.weight", &[2, 1]), [0.0; 2]);
        let a = init.values("model.layers.0.mlp.up_proj.lora_A.weight", &[8, 100]);
        assert!(a.iter().all(|x| x.abs() <= 0.1) && a.iter().any(|x| x.abs() > 0.09));
        assert_eq!(init.values("model.layers.0.self_attn.q_proj.bias", &[2]), [0.0; 2]);
        let spread = |name: &str| {
            let values = init.values(name, &[100, 100]);
            (values.iter().map(|x| f64::from(x * x)).sum::<f64>() / 10_000.0).sqrt()
        };
        assert!((spread("model.layers.0.mlp.up_proj.weight") - 0.02).abs() < 1e-3);
        assert!((spread("model.layers.0.mlp.down_proj.weight") - 0.005).abs() < 3e-4);
        assert!((spread("visual.blocks.0.attn.proj.weight") - 0.01).abs() < 5e-4);
    }
}
