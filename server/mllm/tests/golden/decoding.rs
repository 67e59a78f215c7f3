//! The language model as it decodes against transformers: scores and forty greedy tokens.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use loupe_mllm::engine::Message;
use loupe_mllm::lm::{BLOCK, Batch, BlockId, Executor, Input, Lora, Next, Segment, Wanted, What};
use loupe_mllm::{Loaded, Served, WeightFormat};

use crate::common::{CHECKPOINTS, conversations, expected, folder, relative_difference, serving, serving_in};

const GENERATED: usize = 40;

/// A sequence in blocks that lie in no order.
pub(crate) struct Run<'a> {
    executor: Box<dyn Executor + 'a>,
    blocks: Vec<BlockId>,
    cached: usize,
    pub(crate) adapter: Option<Arc<Lora>>,
}

impl<'a> Run<'a> {
    /// How many blocks a conversation and what it is going to say take.
    pub(crate) fn blocks_for(tokens: usize) -> usize {
        (tokens + GENERATED).div_ceil(BLOCK)
    }

    pub(crate) fn new(executor: Box<dyn Executor + 'a>, tokens: usize) -> Self {
        let blocks = (0..Self::blocks_for(tokens) as u32).rev().map(BlockId::new).collect();
        Self { executor, blocks, cached: 0, adapter: None }
    }

    /// Runs tokens; gives what is wanted of those that come after each.
    pub(crate) fn step(&mut self, prompt: &Prompt, what: &What) -> Vec<Next> {
        let tokens = prompt.positions.len();
        let (blocks, adapter) = (self.blocks.clone(), self.adapter.clone());
        let segment = Segment { tokens, before: self.cached, blocks, adapter };
        self.cached += tokens;
        let batch = Batch {
            inputs: prompt.inputs.clone(),
            embeds: prompt.embeds.clone(),
            positions: prompt.positions.clone(),
            segments: vec![segment],
            wanted: (0..tokens).map(|token| Wanted { token, what: what.clone() }).collect(),
            ..Batch::default()
        };
        self.executor.step(&batch).expect("a step")
    }

    /// Runs tokens; gives the scores after each, one after the other.
    pub(crate) fn scores(&mut self, prompt: &Prompt) -> Vec<f32> {
        let rows = self.step(prompt, &What::Scores);
        let whole = rows.into_iter().flat_map(|next| match next {
            Next::Scores(scores) => scores,
            Next::Token(_) => panic!("all scores were wanted"),
        });
        whole.collect()
    }
}

/// Tokens as they are run.
#[derive(Clone, Default)]
pub(crate) struct Prompt {
    pub(crate) inputs: Vec<Input>,
    pub(crate) embeds: Vec<f32>,
    pub(crate) positions: Vec<[u32; 3]>,
    /// The position after them.
    pub(crate) next: u32,
}

impl Prompt {
    /// Of a conversation.
    pub(crate) fn new(loaded: &Loaded<Served>, messages: &[Message]) -> Self {
        let encoded = loaded.chat.encode(messages, true).expect("a conversation");
        let positions = encoded.positions(loaded.chat.image_token).expect("positions");
        let each = (0..positions.len()).map(|at| positions.rows().each_ref().map(|row| row[at])).collect();
        let mut inputs: Vec<Input> = encoded.ids.iter().copied().map(Input::Token).collect();
        let mut embeds = Vec::new();
        for picture in &encoded.pictures {
            inputs[picture.tokens.clone()].fill(Input::Embedding);
            embeds.extend(loaded.see(&picture.pixels).expect("a picture"));
        }
        Self { inputs, embeds, positions: each, next: positions.next() }
    }

    /// One token of text.
    pub(crate) fn word(id: u32, position: u32) -> Self {
        let (inputs, positions) = (vec![Input::Token(id)], vec![[position; 3]]);
        Self { inputs, embeds: Vec::new(), positions, next: position + 1 }
    }

    /// Its tokens one by one.
    fn each(&self, hidden: usize) -> impl Iterator<Item = Self> {
        let mut embeds = self.embeds.chunks_exact(hidden);
        self.inputs.iter().zip(&self.positions).map(move |(input, position)| Self {
            inputs: vec![*input],
            embeds: if *input == Input::Embedding {
                embeds.next().expect("one").to_vec()
            } else {
                Vec::new()
            },
            positions: vec![*position],
            next: self.next,
        })
    }
}

/// The id of the greatest score.
pub(crate) fn greatest(scores: &[f32]) -> u32 {
    let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).expect("scores");
    best.0 as u32
}

/// A sequence of a model, with room for a conversation and what it is going to say.
pub(crate) fn run(loaded: &Loaded<Served>, tokens: usize) -> Run<'_> {
    Run::new(loaded.model.language.executor(Run::blocks_for(tokens)), tokens)
}

/// The scores after every token of a conversation, a token a step, so that x is rounded where weights are.
pub(crate) fn scores_token_by_token(loaded: &Loaded<Served>, messages: &[Message]) -> Tensor {
    let config = loaded.model.language.config();
    let prompt = Prompt::new(loaded, messages);
    let tokens = prompt.positions.len();
    let mut run = run(loaded, tokens);
    let scores: Vec<f32> = prompt.each(config.hidden_size).flat_map(|token| run.scores(&token)).collect();
    Tensor::from_vec(scores, (tokens, config.vocab_size), &Device::Cpu).expect("scores")
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
            let prompt = Prompt::new(&loaded, &messages);
            let vocab = loaded.model.language.config().vocab_size;
            let tokens = prompt.positions.len();
            let mut run = run(&loaded, tokens);
            let mut scores = run.scores(&prompt);
            let got = Tensor::from_vec(scores.clone(), (tokens, vocab), &Device::Cpu).expect("scores");
            let apart = relative_difference(&got, &expected[&format!("{case}.logits")]);
            assert!(apart < 2e-5, "{checkpoint}/{case}: {apart}");

            let wanted =
                expected[&format!("{case}.generated")].flatten_all().and_then(|t| t.to_vec1::<i64>());
            for (nth, wanted) in wanted.expect("ids").into_iter().enumerate() {
                let id = greatest(&scores[scores.len() - vocab..]);
                assert_eq!(i64::from(id), wanted, "{checkpoint}/{case}, token {nth}");
                scores = run.scores(&Prompt::word(id, prompt.next + nth as u32));
            }
        }
    }
}
