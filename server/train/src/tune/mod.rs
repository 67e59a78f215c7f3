//! Fine-tuning with LoRA: by what was written down (SFT), then by what is found right (GRPO).
//!
//! - [`lora`]: what is trained beside the frozen weights.
//! - [`base`]: the model that is tuned.
//! - [`records`]: a data set as the trainer eats it.
//! - [`recipe`]: how to tune.
//! - [`sft`]: supervised fine-tuning.
//! - [`estimate`]: what a run will need, before it is begun.
//! - [`memory`]: what it keeps in memory, by the model's shape.
//! - [`grpo`]: online reinforcement with real tools.
//! - `stamp`: what a run was begun with.
//! - [`merge`]: what was tuned as part of its model.

pub mod base;
pub mod estimate;
pub mod grpo;
pub mod lora;
pub mod memory;
pub mod merge;
pub mod recipe;
pub mod records;
pub mod sft;
mod stamp;
#[cfg(test)]
mod tests;
