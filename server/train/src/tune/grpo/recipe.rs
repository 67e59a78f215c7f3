//! How to train by reinforcement, as a file says it.

use std::path::Path;

use loupe_agent::Budgets;
use serde::{Deserialize, Serialize};

use super::advantage::ScaleBy;
use super::guard::GuardConfig;
use super::reward::RewardConfig;
use crate::error::Result;
use crate::eval::run::patient;
use crate::learn::batch::BatchRecipe;
use crate::learn::optim::AdamWConfig;
use crate::learn::schedule::Schedule;
use crate::tune::lora::LoraConfig;
use crate::tune::recipe::read;

/// A recipe of GRPO. The defaults are the paper's where it says one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpoRecipe {
    /// Seed of the order of the questions and of what is sampled.
    pub seed: u64,
    /// The adapter; that of the run it starts from.
    #[serde(default)]
    pub lora: LoraConfig,
    /// The optimiser.
    #[serde(default)]
    pub optimiser: AdamWConfig,
    /// The learning rate. The paper: 2e-6 for 7B after 45 steps of warm-up.
    pub schedule: Schedule,
    /// Steps of the run; in each the agent answers new questions.
    pub steps: u64,
    /// Questions of a step.
    pub questions: u64,
    /// Rollouts of a question.
    #[serde(default = "eight")]
    pub group: u64,
    /// How many times questions may be drawn in a step, until `questions` groups of it have something to teach: those
    /// whose rollouts all did equally well have not (the dynamic sampling of DAPO, Yu et al. 2025).
    #[serde(default = "one")]
    pub draws: u64,
    /// Times that the weights move in a step, each by a part of its rollouts.
    #[serde(default = "one")]
    pub updates: usize,
    /// How many times a step learns from its rollouts; from the second time on, the clip bounds how far it goes.
    #[serde(default = "one")]
    pub epochs: u64,
    /// What logits are divided by where rollouts are sampled, and in all likelihoods of the loss. Below 1, samples are
    /// nearer to the greedy answers that the policy is measured by.
    #[serde(default = "even")]
    pub temperature: f32,
    /// Most tokens of a turn.
    #[serde(default = "turn_tokens")]
    pub turn_tokens: u32,
    /// Most searches of a rollout.
    #[serde(default = "ten")]
    pub tool_calls: u32,
    /// How far a probability may move in a step.
    #[serde(default = "fifth")]
    pub clip: f32,
    /// Weight of the distance to the reference.
    #[serde(default = "thousandth")]
    pub kl: f32,
    /// What advantages are divided by.
    #[serde(default)]
    pub scale: ScaleBy,
    /// What rollouts are worth.
    #[serde(default)]
    pub reward: RewardConfig,
    /// Whether boxes, too, are drawn from the policy and learnt from. Without it they are greedy and left alone.
    #[serde(default)]
    pub boxes: bool,
    /// Whether what is written after a tool has failed is not learnt from: the model is not to blame for it.
    #[serde(default)]
    pub mask_after_failure: bool,
    /// How rollouts are put together to learn from.
    pub batch: BatchRecipe,
    /// Whether layers are computed again for their gradients, to save memory.
    #[serde(default)]
    pub checkpointing: bool,
    /// When to stop because the policy collapses.
    #[serde(default)]
    pub guard: GuardConfig,
    /// Steps between two checkpoints; each is measured on the development set, where there is one.
    pub save_steps: u64,
}

fn eight() -> u64 {
    8
}

fn one<T: From<u8>>() -> T {
    T::from(1)
}

fn even() -> f32 {
    1.0
}

fn turn_tokens() -> u32 {
    1_024
}

fn ten() -> u32 {
    10
}

fn fifth() -> f32 {
    0.2
}

fn thousandth() -> f32 {
    1e-3
}

impl GrpoRecipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// When the file cannot be read or a field does not fit.
    pub fn read(path: &Path) -> Result<Self> {
        read(path, Self::check)
    }

    /// What a rollout may spend.
    #[must_use]
    pub fn budgets(&self) -> Budgets {
        Budgets { turn_tokens: self.turn_tokens, tool_calls: self.tool_calls, ..patient() }
    }

    fn check(&self) -> Result<(), String> {
        self.lora.check()?;
        self.optimiser.check()?;
        self.schedule.check()?;
        self.batch.check()?;
        self.reward.check()?;
        let Self { steps, questions, draws, epochs, save_steps, .. } = *self;
        let counts = [steps, questions, draws, self.updates as u64, epochs, save_steps];
        if counts.contains(&0) {
            return Err("steps, questions, draws, updates, epochs and save_steps have to be above 0".into());
        }
        if self.group < 2 {
            return Err("group has to be 2 or more: a rollout is compared with its group".into());
        }
        if !(self.temperature > 0.0 && self.temperature <= 2.0) {
            return Err(
                "temperature has to be above 0 and at most 2: greedy rollouts of a question are all the same"
                    .into(),
            );
        }
        if self.lora.dropout > 0.0 {
            return Err(
                "lora.dropout has to be 0: what was sampled and what is learnt must be the same model".into(),
            );
        }
        let fits = self.clip > 0.0 && self.clip < 1.0 && self.kl >= 0.0;
        if fits { Ok(()) } else { Err("clip has to be above 0 and below 1, kl 0 or more".into()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn recipe(field: &str, value: Value) -> GrpoRecipe {
        let mut recipe = json!({
            "seed": 1,
            "schedule": { "peak": 0.001, "warmup_steps": 1, "decay": "cosine" },
            "steps": 1,
            "questions": 1,
            "batch": { "tokens": 2048, "pictures": 8, "max_length": 1536, "pool": 8 },
            "save_steps": 1,
        });
        recipe[field] = value;
        serde_json::from_value(recipe).unwrap()
    }

    #[test]
    fn what_cannot_be_trained_by_is_refused_with_its_field() {
        assert_eq!(recipe("temperature", json!(0.7)).check(), Ok(()));
        for (field, value) in [
            ("steps", json!(0)),
            ("epochs", json!(0)),
            ("group", json!(1)),
            ("temperature", json!(0.0)),
            ("temperature", json!(-1.0)),
            ("temperature", json!(2.5)),
            ("clip", json!(1.0)),
            ("kl", json!(-0.1)),
            ("lora", json!({ "dropout": 0.1 })),
            ("optimiser", json!({ "beta1": 1.0 })),
            ("optimiser", json!({ "eps": 0.0 })),
            ("optimiser", json!({ "weight_decay": -1.0 })),
            ("optimiser", json!({ "clip": 0.0 })),
            ("schedule", json!({ "peak": -0.1, "warmup_steps": 1, "decay": "cosine" })),
            ("schedule", json!({ "peak": 0.1, "warmup_steps": 1, "decay": "cosine", "floor": 2.0 })),
        ] {
            let refused = recipe(field, value.clone()).check().unwrap_err();
            assert!(refused.contains(field), "{field} {value}: {refused}");
        }
    }
}
