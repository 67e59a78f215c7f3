//! Training a model from scratch by a recipe.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use loupe_mllm::Processor;
use loupe_mllm::config::ModelConfig;
use loupe_mllm::ops;

use crate::error::Result;
use crate::learn::checkpoint::{self, CHECKPOINT, Progress};
use crate::learn::curve;
use crate::learn::dense::DenseHead;
use crate::learn::example::{ExampleSource, SeenClasses};
use crate::learn::init::Init;
use crate::learn::log::{Line, Log};
use crate::learn::machine::Machine;
use crate::learn::optim::AdamW;
use crate::learn::params::Params;
use crate::learn::prefetch::{Ingredients, Prefetch};
use crate::learn::step::Learner;
use crate::learn::stop::Stop;
use crate::learn::window::Window;
use crate::pretrain::drill::Drilled;
use crate::pretrain::export::Export;
use crate::pretrain::recipe::{Length, Recipe};
use crate::pretrain::setup::{TOKENIZER, chat, id, tokenizer, vision_tokens};

/// The trained model, in a run's folder.
pub const MODEL: &str = "model";

/// What is drawn of the log.
const CURVES: &curve::Panels = &[
    ("Loss, nats a token", &[("loss", "language model"), ("dense", "dense teacher")]),
    ("Rate", &[("rate", "learning rate")]),
];

/// A run.
pub struct Run<'a> {
    recipe: &'a Recipe,
    out: &'a Path,
    learner: Learner,
    config: ModelConfig,
    tokenizer: Vec<u8>,
    ends: [u32; 2],
    batches: Prefetch,
    progress: Progress,
    log: Log,
}

impl<'a> Run<'a> {
    /// Sets up a run in the folder `out`: tokenizer, model, optimiser, batches.
    ///
    /// # Errors
    /// When the recipe or a checkpoint does not fit, a run is there and is not to be resumed, or a file fails.
    pub fn new(
        recipe: &'a Recipe,
        source: Arc<dyn ExampleSource>,
        out: &'a Path,
        resume: bool,
    ) -> Result<Self> {
        ops::prepare_to_train();
        let saved = checkpoint::of_run(out, resume)?;
        let log = Log::open(out)?;
        let tokenizer = tokenizer(recipe, &*source, out)?;
        let chat = chat(recipe, &tokenizer, &out.join(TOKENIZER))?;
        let vocab = chat.tokenizer.inner().get_vocab_size(true);
        let config = recipe.config(vocab, vision_tokens(&chat.tokenizer)?)?;
        let ends = [id(&chat.tokenizer, "<|im_end|>")?, id(&chat.tokenizer, "<|endoftext|>")?];
        let mut learner = learner(recipe, &config, source.seen_classes())?;
        let mut progress = Progress::default();
        if let Some(saved) = saved {
            (learner.optimiser, progress) = checkpoint::load(&saved, &learner.params, recipe.optimiser)?;
        } else if let Some(start) = &recipe.start_from {
            let taken = checkpoint::take_weights(start, &learner.params)?;
            tracing::info!(weights = taken, from = %start.display(), "weights taken over");
        }
        let source = Arc::new(Drilled::new(source, &chat.tokenizer, recipe.drill, recipe.seed));
        let ingredients = Ingredients { source, chat, recipe: recipe.batch, seed: recipe.seed };
        let batches = Prefetch::start(ingredients, progress.place);
        Ok(Self { recipe, out, learner, config, tokenizer, ends, batches, progress, log })
    }

    /// How far the run is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// The model under training.
    #[must_use]
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// Trains until the recipe's length or `stop` is reached; `watch` sees every line of the log. Ends with a
    /// checkpoint and the exported model.
    ///
    /// # Errors
    /// When loss or gradients are not finite, or a file fails.
    pub fn train(&mut self, stop: Stop, mut watch: impl FnMut(&Line)) -> Result<()> {
        self.log.resume(self.progress.step)?;
        let started = Instant::now();
        let Progress { seconds: earlier, step: first, .. } = self.progress;
        let mut saved = Instant::now();
        let mut window = Window::since(earlier);
        while self.done() < 1.0 {
            if window.is_empty() && stop.is_due(started, self.progress.step - first) {
                break;
            }
            let rate = self.recipe.schedule.rate(self.progress.step, self.done());
            let batch = self.batches.next()?;
            let report = self.learner.step(std::slice::from_ref(&batch), rate, self.progress.step)?;
            self.progress.step += 1;
            self.progress.tokens += batch.tokens;
            self.progress.place = batch.next;
            self.progress.seconds = earlier + started.elapsed().as_secs_f64();
            window.add(&report, batch.tokens);
            if self.progress.step.is_multiple_of(self.recipe.log_steps) {
                let line = window.line(&self.progress, rate);
                self.log.write(&line)?;
                watch(&line);
                window = Window::since(self.progress.seconds);
                // Only where a line ends, so that a run that goes on from here has the same lines.
                if saved.elapsed().as_secs_f64() > self.recipe.save_minutes * 60.0 {
                    self.save()?;
                    saved = Instant::now();
                }
            }
        }
        self.save()
    }

    /// The part of the run that is done, 0 to 1.
    fn done(&self) -> f64 {
        match self.recipe.length {
            Length::Steps(steps) => self.progress.step as f64 / steps as f64,
            Length::Minutes(minutes) => self.progress.seconds / (minutes * 60.0),
        }
    }

    /// Writes the checkpoint, the model and the curves.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self) -> Result<()> {
        checkpoint::save(
            &self.out.join(CHECKPOINT),
            &self.learner.params,
            &self.learner.optimiser,
            self.progress,
        )?;
        let export =
            Export { recipe: self.recipe, config: &self.config, tokenizer: &self.tokenizer, ends: self.ends };
        export.write(&self.learner.params, &self.out.join(MODEL))?;
        curve::draw(self.out, "Pretraining", CURVES)
    }
}

fn learner(recipe: &Recipe, config: &ModelConfig, seen_classes: SeenClasses) -> Result<Learner> {
    let params = Params::new(Init {
        seed: recipe.seed,
        deviation: recipe.init_deviation,
        layers: config.text.layers,
        vision_layers: config.vision.depth,
    });
    let model = Machine::load(Processor::Cpu, config, &params)?;
    let head = DenseHead::new(&params, config.text.hidden_size, seen_classes)?;
    let (dense, optimiser) = (Some((head, recipe.dense_weight)), AdamW::new(recipe.optimiser));
    Ok(Learner { params, model, dense, optimiser, checkpointing: false, temperature: 1.0 })
}
