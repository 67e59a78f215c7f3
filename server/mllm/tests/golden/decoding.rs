//! The language model as it decodes against transformers: scores and forty greedy tokens.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use loupe_mllm::engine::Message;
use loupe_mllm::lm::{BLOCK, Batch, BlockId, KvPool, Lora, Segment};
use loupe_mllm::{Loaded, Served, WeightFormat};

use crate::common::{CHECKPOINTS, conversations, expected, folder, relative_difference, serving, serving_in};

const GENERATED: usize = 40;

/// A conversation in blocks that lie in no order.
pub(crate) struct Run<'a> {
    loaded: &'a Loaded<Served>,
    pool: KvPool,
    blocks: Vec<BlockId>,
    cached: usize,
    pub(crate) adapter: Option<Arc<Lora>>,
}

impl Run<'_> {
    /// Runs tokens; gives the scores after each.
    pub(crate) fn step(&mut self, embeds: Vec<f32>, positions: Vec<[u32; 3]>) -> Vec<f32> {
        let tokens = positions.len();
        let segment = Segment {
            tokens,
            before: self.cached,
            blocks: self.blocks.clone(),
            adapter: self.adapter.clone(),
        };
        let batch = Batch { embeds, positions, segments: vec![segment], wanted: (0..tokens).collect() };
        self.cached += tokens;
        self.loaded.model.language.step(&batch, &mut self.pool).expect("a step")
    }

    /// The embedding of a token.
    pub(crate) fn word(&self, id: u32) -> Vec<f32> {
        let mut row = vec![0.0; self.loaded.model.language.config().hidden_size];
        self.loaded.model.language.embed(id, &mut row).expect("a token");
        row
    }
}

/// Embeddings and positions of a conversation.
pub(crate) fn prompt(loaded: &Loaded<Served>, messages: &[Message]) -> (Vec<f32>, Vec<[u32; 3]>, u32) {
    let encoded = loaded.chat.encode(messages, true).expect("a conversation");
    let positions = encoded.positions(loaded.chat.image_token).expect("positions");
    let hidden = loaded.model.language.config().hidden_size;
    let mut embeds = vec![0.0; encoded.ids.len() * hidden];
    for (id, row) in encoded.ids.iter().zip(embeds.chunks_exact_mut(hidden)) {
        loaded.model.language.embed(*id, row).expect("a token");
    }
    for picture in &encoded.pictures {
        let seen = loaded.see(&picture.pixels).expect("a picture");
        embeds[picture.tokens.start * hidden..picture.tokens.end * hidden].copy_from_slice(&seen);
    }
    let each = (0..positions.len()).map(|at| positions.rows().each_ref().map(|row| row[at])).collect();
    (embeds, each, positions.next())
}

/// The id of the greatest score.
pub(crate) fn greatest(scores: &[f32]) -> u32 {
    let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).expect("scores");
    best.0 as u32
}

/// A pool for a conversation and what it is going to say.
pub(crate) fn run(loaded: &Loaded<Served>, tokens: usize) -> Run<'_> {
    let blocks = (tokens + GENERATED).div_ceil(BLOCK);
    let pool = loaded.model.language.new_pool(blocks);
    Run {
        loaded,
        pool,
        blocks: (0..blocks as u32).rev().map(BlockId::new).collect(),
        cached: 0,
        adapter: None,
    }
}

/// The scores after every token of a conversation, a token a step, so that x is rounded where weights are.
pub(crate) fn scores_token_by_token(loaded: &Loaded<Served>, messages: &[Message]) -> Tensor {
    let config = loaded.model.language.config();
    let (embeds, positions, _) = prompt(loaded, messages);
    let mut run = run(loaded, positions.len());
    let steps = embeds.chunks_exact(config.hidden_size).zip(&positions);
    let scores: Vec<f32> =
        steps.flat_map(|(embed, position)| run.step(embed.to_vec(), vec![*position])).collect();
    Tensor::from_vec(scores, (positions.len(), config.vocab_size), &Device::Cpu).expect("scores")
}

#[test]
fn eight_bits_change_scores_by_their_rounding_only() {
    // The other checkpoint's rows are no multiple of 32 numbers.
    let checkpoint = "tied";
    let loaded = serving_in(&folder(checkpoint), WeightFormat::Q8_0).expect("a valid checkpoint");
    let stored = serving(&folder(checkpoint)).expect("a valid checkpoint").model.language.step_bytes();
    assert!(loaded.model.language.step_bytes() < stored / 2, "weights were not rounded");
    for (case, messages) in conversations(checkpoint) {
        let got = scores_token_by_token(&loaded, &messages);
        let apart = relative_difference(&got, &expected(checkpoint)[&format!("{case}.logits")]);
        assert!(apart < 0.1, "{checkpoint}/{case}: {apart}");
    }
}

#[test]
fn scores_and_forty_tokens_are_those_of_transformers() {
    for checkpoint in CHECKPOINTS {
        let loaded = serving(&folder(checkpoint)).expect("a valid checkpoint");
        let expected = expected(checkpoint);
        for (case, messages) in conversations(checkpoint) {
            let (embeds, positions, next) = prompt(&loaded, &messages);
            let vocab = loaded.model.language.config().vocab_size;
            let tokens = positions.len();
            let mut run = run(&loaded, tokens);
            let mut scores = run.step(embeds, positions);
            let got = Tensor::from_vec(scores.clone(), (tokens, vocab), &Device::Cpu).expect("scores");
            let apart = relative_difference(&got, &expected[&format!("{case}.logits")]);
            assert!(apart < 2e-5, "{checkpoint}/{case}: {apart}");

            let wanted =
                expected[&format!("{case}.generated")].flatten_all().and_then(|t| t.to_vec1::<i64>());
            for (nth, wanted) in wanted.expect("ids").into_iter().enumerate() {
                let id = greatest(&scores[scores.len() - vocab..]);
                assert_eq!(i64::from(id), wanted, "{checkpoint}/{case}, token {nth}");
                scores = run.step(run.word(id), vec![[next + nth as u32; 3]]);
            }
        }
    }
}
