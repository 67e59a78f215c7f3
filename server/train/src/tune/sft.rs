//! Supervised fine-tuning: a LoRA adapter learns what the model should have written. What it is told, tool results
//! included, has no weight; the vision tower and the merger stay as they are.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use loupe_mllm::adapter::Adapter;

use super::base::Base;
use super::lora;
use super::recipe::SftRecipe;
use super::records::Records;
use super::stamp::{self, Begun};
use crate::error::{Result, TrainError};
use crate::eval::session::Settings;
use crate::learn::batch::{Batch, Place, groups, pools_of_epoch, short_enough};
use crate::learn::checkpoint::{self, CHECKPOINT, Progress};
use crate::learn::curve;
use crate::learn::log::{Line, Log};
use crate::learn::prefetch::{Ingredients, Prefetch};
use crate::learn::stop::Stop;
use crate::learn::window::Window;

/// The adapter after the last step, in a run's folder.
pub const ADAPTER: &str = "adapter";
/// The adapter that was best on the development set.
pub const BEST: &str = "best";

/// What is drawn of the log.
const CURVES: &curve::Panels = &[
    ("Loss, nats a token", &[("loss", "training"), ("dev", "development")]),
    ("Gradient", &[("grad_norm", "norm before clipping")]),
    ("Rate", &[("rate", "learning rate")]),
];

/// What a run learns from.
pub struct Data {
    /// Rows to learn.
    pub train: Arc<Records>,
    /// Rows to measure by.
    pub dev: Option<Records>,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every epoch is read.
    Complete,
    /// The development set got no better.
    Early,
    /// It was told to.
    Stopped,
}

/// A run.
pub struct Sft<'a> {
    recipe: &'a SftRecipe,
    base: Base,
    out: PathBuf,
    /// Pools of the run.
    pools: f64,
    batches: Prefetch,
    dev: Vec<Batch>,
    progress: Progress,
    log: Log,
}

impl<'a> Sft<'a> {
    /// Sets up a run in the folder `out`; `start` is an adapter to go on from.
    ///
    /// # Errors
    /// When a run is there and is not to be resumed, a checkpoint or the adapter does not fit, or a row of the
    /// development set cannot be read.
    pub fn new(
        recipe: &'a SftRecipe,
        mut base: Base,
        data: Data,
        start: Option<&Adapter>,
        out: &Path,
        resume: bool,
    ) -> Result<Self> {
        base.learner.checkpointing = recipe.checkpointing;
        let (log, progress) = base.begin(out, resume, start, (&recipe.lora, recipe.optimiser))?;
        let besides = &Settings::default();
        let begun = Begun { base: &base, data: &data.train, dev: data.dev.as_ref(), start, besides };
        stamp::check(out, resume, &begun, recipe)?;
        let dev = match &data.dev {
            Some(dev) => measured(dev, &base, recipe)?,
            None => Vec::new(),
        };
        let pools = recipe.epochs * pools_of_epoch(recipe.batch.pool, data.train.len()) as f64;
        let ingredients = Ingredients {
            source: data.train,
            chat: base.chat.clone(),
            recipe: recipe.batch,
            seed: recipe.seed,
        };
        let batches = Prefetch::start(ingredients, progress.place);
        Ok(Self { recipe, base, out: out.to_owned(), pools, batches, dev, progress, log })
    }

    /// How far the run is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// The model under training.
    #[must_use]
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// Trains until every epoch is read, the development set gets no better, or `stop` is reached; `watch` sees every
    /// line of the log. Ends with a checkpoint and the adapter.
    ///
    /// # Errors
    /// When loss or gradients are not finite, or a file fails.
    pub fn train(&mut self, stop: Stop, mut watch: impl FnMut(&Line)) -> Result<Ended> {
        self.log.resume(self.progress.step)?;
        let started = Instant::now();
        let Progress { seconds: earlier, step: first, .. } = self.progress;
        let mut saved = Instant::now();
        let mut window = Window::since(earlier);
        let ended = loop {
            if self.is_worn_out() {
                break Ended::Early;
            }
            if self.done() >= 1.0 {
                break Ended::Complete;
            }
            if window.is_empty() && stop.is_due(started, self.progress.step - first) {
                break Ended::Stopped;
            }
            let rate = self.recipe.schedule.rate(self.progress.step, self.done());
            self.step(rate, &mut window)?;
            self.progress.seconds = earlier + started.elapsed().as_secs_f64();
            let step = self.progress.step;
            let measured =
                if step.is_multiple_of(self.recipe.early_stop.every) { self.measure()? } else { None };
            if step.is_multiple_of(self.recipe.log_steps) || measured.is_some() {
                let line = Line { dev: measured, ..window.line(&self.progress, rate) };
                self.log.write(&line)?;
                watch(&line);
                window = Window::since(self.progress.seconds);
                // Only where a line ends, so that a run that goes on from here has the same lines.
                if saved.elapsed().as_secs_f64() > self.recipe.save_minutes * 60.0 {
                    self.save()?;
                    saved = Instant::now();
                }
            }
        };
        self.save()?;
        Ok(ended)
    }

    fn step(&mut self, rate: f64, window: &mut Window) -> Result<()> {
        let step = self.progress.step;
        let mut batches = Vec::with_capacity(self.recipe.accumulate);
        for _ in 0..self.recipe.accumulate {
            batches.push(self.batches.next()?);
        }
        self.base.dropout.store(self.recipe.seed.wrapping_add(step).max(1), Ordering::Relaxed);
        let report = self.base.learner.step(&batches, rate, step);
        self.base.dropout.store(0, Ordering::Relaxed);
        let tokens = batches.iter().map(|batch| batch.tokens).sum();
        window.add(&report?, tokens);
        self.progress.step += 1;
        self.progress.tokens += tokens;
        self.progress.examples += batches.iter().map(|batch| batch.kinds.len() as u64).sum::<u64>();
        if let Some(last) = batches.last() {
            self.progress.place = last.next;
        }
        Ok(())
    }

    /// The part of the run that is done, 0 to 1.
    fn done(&self) -> f64 {
        self.progress.place.pools() / self.pools
    }

    fn is_worn_out(&self) -> bool {
        self.progress.best.is_some_and(|best| best.worse >= self.recipe.early_stop.patience)
    }

    /// The loss on the development set, where there is one; the best adapter is kept.
    fn measure(&mut self) -> Result<Option<f64>> {
        if self.dev.is_empty() {
            return Ok(None);
        }
        let (mut loss, mut weight) = (0.0, 0.0);
        for batch in &self.dev {
            let found = self.base.learner.model.foretold(batch, 1.0, true)?;
            for (target, surprise) in batch.targets.iter().zip(&found.rows) {
                loss += f64::from(target.weight * surprise);
                weight += f64::from(target.weight);
            }
        }
        let loss = loss / f64::max(weight, 1e-9);
        if self.progress.measured(loss) {
            self.export(BEST)?;
        }
        Ok(Some(loss))
    }

    /// Writes the checkpoint, the adapter and the curves.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self) -> Result<()> {
        let learner = &self.base.learner;
        checkpoint::save(&self.out.join(CHECKPOINT), &learner.params, &learner.optimiser, self.progress)?;
        self.export(ADAPTER)?;
        curve::draw(&self.out, "Fine-tuning", CURVES)
    }

    fn export(&self, name: &str) -> Result<()> {
        let adapter = lora::to_adapter(&self.base, &self.recipe.lora)?;
        lora::save(&adapter, &self.out.join(name))
    }
}

/// The batches of a development set.
pub(super) fn measured(dev: &Records, base: &Base, recipe: &SftRecipe) -> Result<Vec<Batch>> {
    let mut batches = Vec::new();
    let mut sequences = Vec::new();
    for index in 0..dev.len() {
        sequences.extend(short_enough(dev, index, &base.chat, &recipe.batch)?);
    }
    if sequences.is_empty() {
        return Err(TrainError::TooLong { max_length: recipe.batch.max_length });
    }
    sequences.sort_by_key(|sequence| sequence.ids.len());
    for group in groups(sequences, &recipe.batch) {
        batches.push(Batch::new(&group, base.chat.image_token, Place::default())?);
    }
    Ok(batches)
}
