//! The whole language model and vision tower on the kernels, against the CPU's.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use loupe_mllm::adapter::Adapter;
use loupe_mllm::checkpoint::{Files, Store, read_config};
use loupe_mllm::config::ModelConfig;
use loupe_mllm::cuda::gpu::Gpu;
use loupe_mllm::cuda::language::Language as OnGpu;
use loupe_mllm::cuda::vision::Vision as EyeOnGpu;
use loupe_mllm::device::{Eye, Language};
use loupe_mllm::lm::{
    Batch, BlockId, Choice, Draw, Executor, Input, Lora, Next, Segment, TokenSet, Wanted, What,
};
use loupe_mllm::model::Vision;
use loupe_mllm::weights::Weights;
use loupe_mllm::{Device, Formats, Loaded, Processor, Result, Served};

use super::bench::on_each_gpu;
use crate::common::{conversations, folder, serving};
use crate::decoding::{Prompt, Run, greatest};

on_each_gpu!(
    the_language_model_scores_like_the_cpus,
    adapters_change_the_rows_that_use_them_as_on_the_cpu,
    the_vision_tower_sees_like_the_cpus,
);

/// The checkpoint whose shape the kernels take.
const CHECKPOINT: &str = "tied";
/// How far values may be apart as a part of the largest, because what lies between the layers is rounded to bf16. On
/// these conversations, transformers in bf16 is 0.025 to 0.077 apart from itself in f32 with the same weights.
const BF16: f32 = 0.025;
/// Blocks of each of three sequences that are run together.
const MIXED_BLOCKS: usize = 5;
/// Words that are run after each conversation; of the later ones only the likeliest next is asked for.
const WORDS: u32 = 4;

/// The checkpoint's weights with matrices rounded to bf16, as a GPU has them, so that both compute with the same.
pub(super) struct Rounded(Store);

impl Rounded {
    pub(super) fn open() -> Self {
        Self(Store::open(&Files::folder(&folder(CHECKPOINT)), &Device::Cpu).expect("weights"))
    }
}

impl Weights for Rounded {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let weight = self.0.get(name, shape)?;
        if shape.len() < 2 {
            return Ok(weight);
        }
        Ok(weight.to_dtype(DType::BF16)?.to_dtype(DType::F32)?)
    }
}

fn config() -> ModelConfig {
    read_config(&Files::folder(&folder(CHECKPOINT))).expect("a configuration")
}

/// The checkpoint on the CPU.
fn rounded() -> Loaded<Served> {
    let (config, weights) = (config(), Rounded::open());
    let mut loaded = serving(&folder(CHECKPOINT)).expect("a checkpoint");
    loaded.model = Served {
        language: Language::load(Processor::Cpu, &config.text, config.tied, &weights, Formats::default())
            .expect("a model"),
        vision: Eye::Cpu(Box::new(Vision::load(&config.vision, &weights).expect("a tower"))),
        ..loaded.model
    };
    loaded
}

struct Steps<G: Gpu>(OnGpu<G>);

impl<G: Gpu> Executor for Steps<G> {
    fn step(&mut self, batch: &Batch) -> Result<Vec<Next>> {
        self.0.step(batch)
    }
}

/// The largest difference as a part of the largest magnitude.
fn apart(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    let greatest = |numbers: &mut dyn Iterator<Item = f32>| numbers.fold(0.0, |a: f32, b| a.max(b.abs()));
    greatest(&mut got.iter().zip(expected).map(|(a, b)| a - b)) / greatest(&mut expected.iter().copied())
}

/// Runs every conversation on both, then a few words, the same ones.
fn the_language_model_scores_like_the_cpus<G: Gpu + 'static>(open: impl Fn() -> G) {
    let (loaded, config, weights) = (rounded(), config(), Rounded::open());
    let vocab = config.text.vocab_size;
    // Pictures between words, and words alone.
    for case in ["several", "words"] {
        let messages = &conversations(CHECKPOINT)[case];
        let mut gpu = OnGpu::load(open(), &config.text, config.tied, &weights).expect("a model");
        let prompt = Prompt::new(&loaded, messages);
        let tokens = prompt.positions.len();
        let blocks = Run::blocks_for(tokens);
        gpu.make_room(blocks).expect("memory");
        let mut gpu = Run::new(Box::new(Steps(gpu)), tokens);
        let mut cpu = Run::new(loaded.model.language.executor(blocks), tokens);
        let mut expected = cpu.scores(&prompt);
        let difference = apart(&gpu.scores(&prompt), &expected);
        assert!(difference < BF16, "{case}: {difference}");
        for nth in 0..WORDS {
            let word = Prompt::word(greatest(&expected[expected.len() - vocab..]), prompt.next + nth);
            expected = cpu.scores(&word);
            if nth < WORDS / 2 {
                let difference = apart(&gpu.scores(&word), &expected);
                assert!(difference < BF16, "{case}, word {nth}: {difference}");
                continue;
            }
            // The recorded step is the same one, whatever is chosen among and however.
            let among: TokenSet = (0..vocab as u32).filter(|id| id % 5 == nth).collect();
            let may = |id: usize| nth == WORDS / 2 || among.has(id as u32);
            let among = (nth > WORDS / 2).then(|| among.clone());
            let draw = (nth > WORDS / 2).then_some(Draw { temperature: 1.0, top_p: 0.0, uniform: 0.5 });
            let next = gpu.step(&word, &What::Token(Choice { among, draw }));
            let [Next::Token(Some(id))] = next[..] else { panic!("no token") };
            assert!(may(id as usize), "{case}, word {nth}: token {id} may not be taken");
            // It may be another where two are nearly as likely.
            let most = expected.iter().fold(0.0f32, |most, score| most.max(score.abs()));
            let likely = (0..vocab).filter(|id| may(*id)).map(|id| expected[id]).fold(f32::MIN, f32::max);
            let short = likely - expected[id as usize];
            assert!(short <= BF16 * most, "{case}, word {nth}: {short} below the likeliest");
        }
    }
}

/// Three sequences that go on by `tokens` of their own after `before`, each with its adapter; all scores are wanted.
fn mixed(adapters: &[Option<Arc<Lora>>; 3], before: usize, tokens: usize) -> Batch {
    let mut batch = Batch::default();
    for (nth, adapter) in adapters.iter().enumerate() {
        let blocks = (0..MIXED_BLOCKS).map(|block| BlockId::new((3 * block + nth) as u32)).collect();
        batch.segments.push(Segment { tokens, before, blocks, adapter: adapter.clone() });
        let places = before..before + tokens;
        batch.inputs.extend(places.clone().map(|place| Input::Token((7 * place + 31 * nth) as u32 % 200)));
        batch.positions.extend(places.map(|place| [place as u32; 3]));
    }
    batch.wanted = (0..batch.len()).map(|token| Wanted { token, what: What::Scores }).collect();
    batch
}

/// The scores of a step, row after row.
fn all_scores(next: Result<Vec<Next>>) -> Vec<f32> {
    let scores = next.expect("a step").into_iter().flat_map(|next| match next {
        Next::Scores(scores) => scores,
        Next::Token(_) => panic!("all scores were wanted"),
    });
    scores.collect()
}

fn adapters_change_the_rows_that_use_them_as_on_the_cpu<G: Gpu>(open: impl Fn() -> G) {
    let (loaded, config, weights) = (rounded(), config(), Rounded::open());
    let mut gpu = OnGpu::load(open(), &config.text, config.tied, &weights).expect("a model");
    gpu.make_room(3 * MIXED_BLOCKS).expect("memory");
    let [mut cpu, mut plain] = [0; 2].map(|_| loaded.model.language.executor(3 * MIXED_BLOCKS));
    let lora = |name: &str| {
        let files = Files::folder(&folder(CHECKPOINT).join("adapters").join(name));
        let adapter = Adapter::open(&files, &config).expect("an adapter");
        Some(Arc::new(Lora::new(&adapter, &config.text).expect("an adapter that fits")))
    };
    let mut adapters = [lora("all"), None, lora("rslora")];
    let mut before = 0;
    // A prompt in tiles, then single tokens: the first is recorded, the others replay it with other rows' adapters.
    for tokens in [70, 1, 1, 1] {
        let batch = mixed(&adapters, before, tokens);
        let expected = all_scores(cpu.step(&batch));
        let difference = apart(&all_scores(gpu.step(&batch)), &expected);
        assert!(difference < BF16, "{tokens} tokens after {before}: {difference}");
        let without = all_scores(plain.step(&mixed(&[None, None, None], before, tokens)));
        assert!(apart(&without, &expected) > 3.0 * BF16, "adapters change little");
        before += tokens;
        adapters.rotate_left(1);
    }
    // One that nobody holds any more makes room for another.
    adapters = [None, lora("rslora"), None];
    let batch = mixed(&adapters, before, 1);
    let difference = apart(&all_scores(gpu.step(&batch)), &all_scores(cpu.step(&batch)));
    assert!(difference < BF16, "a new adapter: {difference}");
}

fn the_vision_tower_sees_like_the_cpus<G: Gpu>(open: impl Fn() -> G) {
    let (loaded, config) = (rounded(), config());
    let vision = EyeOnGpu::load(open(), &config.vision, &Rounded::open()).expect("a tower");
    for messages in conversations(CHECKPOINT).into_values() {
        let encoded = loaded.chat.encode(&messages, true).expect("a conversation");
        for picture in encoded.pictures {
            let pixels = loaded.chat.preprocessor.pixel_values([picture.pixels.as_ref()], &Device::Cpu);
            let (patches, grids) = pixels.expect("patches");
            let patches: Vec<f32> = patches.flatten_all().and_then(|t| t.to_vec1()).expect("numbers");
            let got = vision.see(&patches, &grids).expect("an embedding");
            let difference = apart(&got, &loaded.see(&picture.pixels).expect("an embedding"));
            assert!(difference < BF16, "{difference}");
        }
    }
}
