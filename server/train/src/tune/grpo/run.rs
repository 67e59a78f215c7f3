//! A run: rollouts, advantages, updates; until its steps are done or the policy collapses.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use loupe_mllm::Engine;
use loupe_mllm::adapter::Adapter;
use loupe_mllm::engine::Sampling;
use loupe_mllm::ops;

use super::advantage::advantages;
use super::guard::{Guard, Signs};
use super::lesson::{Lesson, gather};
use super::log::{StepLine, samples};
use super::objective::{Objective, Token};
use super::recipe::GrpoRecipe;
use super::rollout::{POLICY, Player, Rollout, Task};
use crate::dataset::record::Record;
use crate::error::{Result, TrainError};
use crate::eval::session::Settings;
use crate::learn::batch::{Batch, Place, groups};
use crate::learn::checkpoint::{self, CHECKPOINT, Progress};
use crate::learn::curve;
use crate::learn::grads::Grads;
use crate::learn::log::Log;
use crate::learn::sequence::Sequence;
use crate::tune::base::Base;
use crate::tune::lora;
use crate::tune::records::Records;
use crate::tune::sft::{ADAPTER, BEST};
use crate::tune::stamp::{self, Begun};

/// Rollouts to read, in a run's folder.
const SAMPLES: &str = "samples";

/// What is drawn of the log.
const CURVES: &curve::Panels = &[
    ("Share of right answers", &[("right", "rollouts"), ("dev", "development, greedy")]),
    ("Share of groups that teach", &[("mixed", "mixed")]),
    ("Nats a token", &[("kl", "distance to the reference"), ("entropy", "entropy")]),
    ("Tokens of a rollout", &[("length", "written")]),
];

/// What a run works with.
pub struct Parts {
    /// The model under training.
    pub base: Base,
    /// The same model as it decodes, with an adapter [`POLICY`] beside it.
    pub engine: Arc<Engine>,
    /// The agent over it.
    pub player: Player,
    /// Questions to learn by.
    pub train: Records,
    /// Questions to measure by.
    pub dev: Option<Records>,
    /// Which tools and which judge the player has, so that a run goes on with the same.
    pub played_with: Settings,
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Its steps are done.
    Complete,
    /// The policy was collapsing, and how.
    Collapsing(String),
}

/// A run.
pub struct Grpo<'a> {
    recipe: &'a GrpoRecipe,
    parts: Parts,
    out: PathBuf,
    progress: Progress,
    guard: Guard,
    log: Log,
}

/// A question with its rollouts.
struct Group {
    row: Arc<Record>,
    rollouts: Vec<Rollout>,
    rewards: Vec<f64>,
    advantages: Vec<f64>,
}

/// A batch with what its tokens' losses are made of.
struct Prepared {
    batch: Batch,
    /// Advantage of each of its sequences, and how many rollouts it stands for.
    taught: Vec<(f32, u16)>,
    /// Surprise of each target under the reference, and before the step where the weights move more than once.
    reference: Vec<f32>,
    before: Option<Vec<f32>>,
}

/// Sums over tokens.
#[derive(Default)]
struct Sums {
    tokens: f64,
    kl: f64,
    surprise: f64,
    clipped: f64,
}

impl<'a> Grpo<'a> {
    /// Sets up a run in the folder `out` that starts from the adapter `start`, or from one that changes nothing.
    ///
    /// # Errors
    /// When a run is there and is not to be resumed, or a checkpoint or the adapter does not fit.
    pub fn new(
        recipe: &'a GrpoRecipe,
        mut parts: Parts,
        start: Option<&Adapter>,
        out: &Path,
        resume: bool,
    ) -> Result<Self> {
        parts.base.learner.checkpointing = recipe.checkpointing;
        parts.base.learner.temperature = recipe.temperature.into();
        let (log, progress) = parts.base.begin(out, resume, start, (&recipe.lora, recipe.optimiser))?;
        let Parts { base, train: data, played_with: besides, .. } = &parts;
        let begun = Begun { base, data, dev: parts.dev.as_ref(), start, besides };
        stamp::check(out, resume, &begun, recipe)?;
        let guard = Guard::new(recipe.guard);
        let run = Self { recipe, parts, out: out.to_owned(), progress, guard, log };
        run.serve()?;
        Ok(run)
    }

    /// How far the run is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Trains until the steps are done, `steps` more were taken, or the policy collapses; `watch` sees every line of the
    /// log. Ends with a checkpoint and the adapter.
    ///
    /// # Errors
    /// When loss or gradients are not finite, a question's picture cannot be read, or a file fails.
    pub async fn train(&mut self, steps: Option<u64>, mut watch: impl FnMut(&StepLine)) -> Result<Ended> {
        let before = self.log.resume(self.progress.step)?;
        // A run that goes on is watched from where it began.
        for line in before.into_iter().filter_map(|line| serde_json::from_value(line).ok()) {
            self.guard.look(signs(&line));
        }
        let started = Instant::now();
        let Progress { seconds: earlier, step: first, .. } = self.progress;
        let last = steps.map_or(self.recipe.steps, |steps| self.recipe.steps.min(first + steps));
        let mut ended = Ended::Complete;
        while self.progress.step < last {
            let mut line = self.step().await?;
            self.progress.seconds = earlier + started.elapsed().as_secs_f64();
            let step = self.progress.step;
            // Not where only the session ends: a run without a break would not be measured there.
            let saves = step.is_multiple_of(self.recipe.save_steps) || step == self.recipe.steps;
            if saves {
                line.dev = self.measure().await?;
            }
            (line.step, line.seconds) = (step, self.progress.seconds);
            // Before the checkpoint: of a step that is not in it the line is cut off again, one that is in it stays.
            self.log.write(&line)?;
            watch(&line);
            if let Some(reason) = self.guard.look(signs(&line)) {
                ended = Ended::Collapsing(reason);
                break;
            }
            if saves {
                self.save()?;
            }
        }
        match &ended {
            Ended::Complete => self.save()?,
            // The adapter for whoever wants to look at it; the checkpoint stays where the policy was sound.
            Ended::Collapsing(_) => lora::save(&self.adapter()?, &self.out.join(ADAPTER))?,
        }
        Ok(ended)
    }

    async fn step(&mut self) -> Result<StepLine> {
        let began = Instant::now();
        let groups = self.play().await?;
        let mut line = described(&groups);
        line.rollout_seconds = began.elapsed().as_secs_f64();
        if let Some(group) = groups.iter().find(|group| group.is_mixed()).or(groups.first()) {
            let Group { row, rollouts, rewards, advantages } = group;
            let folder = self.out.join(SAMPLES);
            // Under the number that the step has in the log.
            samples(&folder, self.progress.step + 1, row, rollouts, rewards, advantages)?;
        }
        let done = self.progress.step as f64 / self.recipe.steps as f64;
        line.rate = self.recipe.schedule.rate(self.progress.step, done);
        let began = Instant::now();
        self.learn(&groups, &mut line)?;
        self.serve()?;
        line.learn_seconds = began.elapsed().as_secs_f64();
        self.progress.step += 1;
        self.progress.tokens += line.tokens;
        Ok(line)
    }

    /// Draws questions and has them answered until the step has enough to learn from.
    async fn play(&mut self) -> Result<Vec<Group>> {
        let mut groups = Vec::new();
        for _ in 0..self.recipe.draws {
            groups.extend(self.draw().await?);
            self.progress.examples += self.recipe.questions;
            let mixed = groups.iter().filter(|group: &&Group| group.is_mixed()).count() as u64;
            if mixed >= self.recipe.questions {
                break;
            }
        }
        Ok(groups)
    }

    /// The next questions with their rollouts.
    async fn draw(&self) -> Result<Vec<Group>> {
        let recipe = self.recipe;
        let rows = (0..recipe.questions).filter_map(|nth| self.parts.train.row(self.progress.examples + nth));
        let rows: Vec<Arc<Record>> = rows.cloned().map(Arc::new).collect();
        let mut tasks = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            for nth in 0..recipe.group {
                let draw = (self.progress.examples + at as u64) * recipe.group + nth;
                let seed = recipe.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(draw);
                let sampling = Sampling::Random { temperature: recipe.temperature, top_p: 1.0, seed };
                tasks.push(Task { row: row.clone(), sampling });
            }
        }
        let rollouts = self.parts.player.play(tasks, self.parts.train.folder()).await?;
        let mut rollouts = rollouts.into_iter();
        let group = |row| {
            let rollouts: Vec<Rollout> = rollouts.by_ref().take(recipe.group as usize).collect();
            let rewards: Vec<f64> =
                rollouts.iter().map(|rollout| recipe.reward.of(rollout.outcome)).collect();
            let advantages = advantages(&rewards, recipe.scale);
            Group { row, rollouts, rewards, advantages }
        };
        Ok(rows.into_iter().map(group).collect())
    }

    /// Moves the weights by what the groups teach. Groups whose rollouts did equally well teach nothing and are left out.
    fn learn(&mut self, groups: &[Group], line: &mut StepLine) -> Result<()> {
        let mut lessons = Vec::new();
        for group in groups.iter().filter(|group| group.is_mixed()) {
            lessons.extend(gather(self.sequences(group, line)?));
        }
        if lessons.is_empty() {
            return Ok(());
        }
        let updates = self.recipe.updates.min(lessons.len());
        let share = lessons.len().div_ceil(updates);
        let mut parts = Vec::new();
        for lessons in lessons.chunks(share) {
            parts.push(self.prepare(lessons, updates > 1 || self.recipe.epochs > 1)?);
        }
        let mut sums = Sums::default();
        let moves = parts.len() as f64 * self.recipe.epochs as f64;
        for _ in 0..self.recipe.epochs {
            for prepared in &parts {
                line.grad_norm += self.update(prepared, line.rate, &mut sums)? / moves;
            }
        }
        line.tokens = parts.iter().flatten().map(|prepared| prepared.batch.tokens).sum();
        let tokens = sums.tokens.max(1.0);
        (line.kl, line.entropy, line.clipped) =
            (sums.kl / tokens, sums.surprise / tokens, sums.clipped / tokens);
        Ok(())
    }

    /// The sequences of a group's rollouts with their advantages, but for those that are too long to learn from.
    fn sequences(&self, group: &Group, line: &mut StepLine) -> Result<Vec<(Sequence, f32)>> {
        let mut all = Vec::new();
        for (rollout, advantage) in group.rollouts.iter().zip(&group.advantages) {
            let sequences = rollout.sequences(&self.parts.base.chat, self.recipe.mask_after_failure)?;
            all.extend(sequences.into_iter().map(|sequence| (sequence, *advantage as f32)));
        }
        let before = all.len();
        all.retain(|(sequence, _)| sequence.ids.len() <= self.recipe.batch.max_length);
        line.too_long += before - all.len();
        Ok(all)
    }

    fn prepare(&self, lessons: &[Lesson], moves_again: bool) -> Result<Vec<Prepared>> {
        let mut lessons: Vec<&Lesson> = lessons.iter().collect();
        lessons.sort_by_key(|lesson| lesson.sequence.ids.len());
        let sequences = lessons.iter().map(|lesson| lesson.sequence.clone()).collect();
        let mut taught = lessons.iter().map(|lesson| (lesson.advantage, lesson.times));
        let Base { learner, chat, .. } = &self.parts.base;
        let said = |batch: &Batch, with_pairs| {
            let foretold = learner.model.foretold(batch, learner.temperature, with_pairs);
            foretold.map(|foretold| foretold.rows)
        };
        let mut prepared = Vec::new();
        for group in groups(sequences, &self.recipe.batch) {
            let mut batch = Batch::new(&group, chat.image_token, Place::default())?;
            learner.model.see(&mut batch)?;
            let reference = said(&batch, false)?;
            let before = if moves_again { Some(said(&batch, true)?) } else { None };
            let taught = taught.by_ref().take(group.len()).collect();
            prepared.push(Prepared { batch, taught, reference, before });
        }
        Ok(prepared)
    }

    /// One move of the weights; the loss is the mean over all tokens that were generated.
    fn update(&mut self, prepared: &[Prepared], rate: f64, sums: &mut Sums) -> Result<f64> {
        let objective = Objective { clip: self.recipe.clip, kl: self.recipe.kl };
        let tokens: f32 = prepared.iter().map(Prepared::written).sum();
        let scale = 1.0 / tokens.max(1.0);
        let learner = &mut self.parts.base.learner;
        let mut grads = Grads::default();
        for part in prepared {
            let pass = learner.pass(&part.batch, 1.0, |row, surprise| {
                let ops::Term { value, slope } = objective.part(&part.token(row), surprise).term;
                let scale = scale * part.times(row);
                ops::Term { value: value * scale, slope: slope * scale }
            })?;
            if !pass.loss.is_finite() {
                return Err(TrainError::NotFinite { step: self.progress.step, what: "loss" });
            }
            for (row, surprise) in pass.words.rows.iter().enumerate() {
                let found = objective.part(&part.token(row), *surprise);
                let times = f64::from(part.times(row));
                sums.tokens += times;
                sums.kl += times * f64::from(found.kl);
                sums.surprise += times * f64::from(*surprise);
                sums.clipped += times * f64::from(u8::from(found.clipped));
            }
            grads.add(pass.grads)?;
        }
        learner.update(&grads, rate, self.progress.step)
    }

    /// The share of right answers on the development set, greedy; the best adapter is kept.
    async fn measure(&mut self) -> Result<Option<f64>> {
        let Some(dev) = &self.parts.dev else { return Ok(None) };
        let rows = (0..dev.len()).filter_map(|index| dev.row(index));
        let tasks = rows.map(|row| Task { row: Arc::new(row.clone()), sampling: Sampling::Greedy }).collect();
        let rollouts = self.parts.player.play(tasks, dev.folder()).await?;
        let right = rollouts.iter().filter(|rollout| rollout.outcome.right).count() as f64;
        let share = right / rollouts.len().max(1) as f64;
        if self.progress.measured(1.0 - share) {
            lora::save(&self.adapter()?, &self.out.join(BEST))?;
        }
        Ok(Some(share))
    }

    fn adapter(&self) -> Result<Adapter> {
        lora::to_adapter(&self.parts.base, &self.recipe.lora)
    }

    /// Lets the agent answer with the weights as they are now.
    fn serve(&self) -> Result<()> {
        Ok(self.parts.engine.replace_adapter(POLICY, &self.adapter()?)?)
    }

    /// Writes the checkpoint, the adapter and the curves.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self) -> Result<()> {
        let learner = &self.parts.base.learner;
        checkpoint::save(&self.out.join(CHECKPOINT), &learner.params, &learner.optimiser, self.progress)?;
        lora::save(&self.adapter()?, &self.out.join(ADAPTER))?;
        curve::draw(&self.out, "Reinforcement", CURVES)
    }
}

impl Group {
    /// Whether some rollouts did better than others.
    fn is_mixed(&self) -> bool {
        self.advantages.iter().any(|advantage| advantage.abs() > 1e-9)
    }
}

impl Prepared {
    fn token(&self, row: usize) -> Token {
        Token {
            advantage: self.taught(row).0,
            before: self.before.as_ref().map(|before| before[row]),
            reference: self.reference[row],
        }
    }

    /// How many rollouts wrote this token.
    fn times(&self, row: usize) -> f32 {
        f32::from(self.taught(row).1)
    }

    fn taught(&self, row: usize) -> (f32, u16) {
        self.taught[self.batch.targets[row].sequence as usize]
    }

    /// Tokens that the rollouts wrote.
    fn written(&self) -> f32 {
        (0..self.batch.targets.len()).map(|row| self.times(row)).sum()
    }
}

/// What the guard looks at.
fn signs(line: &StepLine) -> Signs {
    let learnt = |value: f64| (line.tokens > 0).then_some(value);
    let (kl, entropy) = (learnt(line.kl), learnt(line.entropy));
    Signs { reward: line.reward, kl, length: line.length, entropy }
}

fn described(groups: &[Group]) -> StepLine {
    let mut line = StepLine::default();
    let rollouts = || groups.iter().flat_map(|group| &group.rollouts);
    let count = rollouts().count().max(1) as f64;
    let mean = |of: &dyn Fn(&Rollout) -> f64| rollouts().map(of).sum::<f64>() / count;
    line.reward = groups.iter().flat_map(|group| &group.rewards).sum::<f64>() / count;
    line.right = mean(&|rollout| f64::from(u8::from(rollout.outcome.right)));
    line.valid = mean(&|rollout| f64::from(u8::from(rollout.outcome.valid)));
    line.searches = mean(&|rollout| f64::from(rollout.searches));
    line.missed = rollouts().map(|rollout| rollout.missed).sum();
    line.length = mean(&|rollout| f64::from(rollout.tokens));
    let mixed = groups.iter().filter(|group| group.is_mixed()).count() as f64;
    line.mixed = mixed / groups.len().max(1) as f64;
    line
}
