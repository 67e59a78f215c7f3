//! What tuning keeps in memory, by the model's shape.

use loupe_mllm::config::ModelConfig;
use loupe_mllm::cuda::tune::{Load, memory};
use serde::Serialize;

/// Bytes that a run needs; on the CPU all of it is f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Weights, gradients and optimiser state.
    pub weights: u64,
    /// What a batch keeps for its gradients.
    pub activations: u64,
}

impl Memory {
    /// Of a model with so many numbers under training beside it, for batches of so many tokens.
    #[must_use]
    pub fn of(config: &ModelConfig, trained: u64, tokens: u64, checkpointing: bool) -> Self {
        // For what is trained there is a gradient and two moments beside the numbers.
        let weights = 4 * (config.parameters() + 4 * trained);
        Self { weights, activations: activations(config, tokens, checkpointing) }
    }

    /// The same on a GPU, where weights are bf16 and the optimiser stays with the CPU.
    #[must_use]
    pub fn on_gpu(config: &ModelConfig, load: &Load) -> Self {
        let [weights, activations] = memory(config, load);
        Self { weights, activations }
    }
}

/// What one decoder layer keeps of a token: its input, the norms, queries, keys, values and what attention mixed of them,
/// and of the feed-forward layer its two halves and their product; with the halves of the pairs beside them.
fn activations(config: &ModelConfig, tokens: u64, checkpointing: bool) -> u64 {
    let text = &config.text;
    let kept = 7 * text.hidden_size + 2 * text.kv_size() + 4 * text.intermediate_size;
    let layers = text.layers as u64;
    let whole = match checkpointing {
        false => layers * kept as u64,
        true => layers * text.hidden_size as u64 + kept as u64,
    };
    4 * tokens * whole
}

#[cfg(test)]
mod tests {
    use loupe_mllm::bench;

    use super::*;

    /// What one GPU of 80 GB has.
    const ALL: u64 = 80_000_000_000;

    #[test]
    fn seven_billion_are_tuned_on_one_gpu_of_80_gb() {
        let config = bench::config("7b", None).unwrap();
        // The paper's adapter; a picture of 1,280 tokens in each of two sequences.
        let load = |tokens| Load {
            trained: 20_185_088,
            rank: 8,
            drops: false,
            tokens,
            longest: 8_192,
            patches: 2 * 4 * 1_280,
        };
        let [sft, grpo] = [8_192, 16_384].map(|tokens| Memory::on_gpu(&config, &load(tokens)));
        eprintln!("{sft:?} {grpo:?}");
        assert!(sft.weights > 16_000_000_000 && sft.weights < 17_000_000_000);
        assert!(sft.weights + sft.activations < ALL / 2);
        // The engine that GRPO has beside it has the weights once more.
        assert!(2 * grpo.weights + grpo.activations < ALL * 2 / 3);
    }
}
