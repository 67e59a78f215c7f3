//! What tuning keeps in memory, by the model's shape.

use loupe_mllm::config::ModelConfig;
use loupe_mllm::cuda;
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
        let weights = 4 * (parameters(config) + 4 * trained);
        Self { weights, activations: activations(config, tokens, checkpointing) }
    }

    /// The same on a GPU, where weights are bf16 and the optimiser stays with the CPU: for batches of so many tokens in
    /// sequences of up to `longest`.
    #[must_use]
    pub fn on_gpu(
        config: &ModelConfig,
        rank: usize,
        trained: u64,
        [tokens, longest]: [usize; 2],
    ) -> Self {
        let [weights, activations] = cuda::tune::memory(config, rank, trained, [tokens, longest]);
        Self { weights, activations }
    }
}

/// Numbers of the model itself.
#[must_use]
pub fn parameters(config: &ModelConfig) -> u64 {
    let (text, vision) = (&config.text, &config.vision);
    let attention = 2 * text.hidden_size * (text.hidden_size + text.kv_size());
    let layer = attention + 3 * text.hidden_size * text.intermediate_size;
    let tables = text.vocab_size * text.hidden_size * if config.tied { 1 } else { 2 };
    let block =
        4 * vision.hidden_size * vision.hidden_size + 3 * vision.hidden_size * vision.intermediate_size;
    let merged = 4 * vision.hidden_size;
    let merger = merged * merged + merged * vision.out_hidden_size;
    (text.layers * layer + tables + vision.depth * block + merger) as u64
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
