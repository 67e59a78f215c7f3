//! Training: the Atlas, data sets, training and evaluation.
//!
//! Layout
//! - [`atlas`]: the embedded world: countries, flags, scenes, questions, and the mixture made of them.
//! - [`dataset`]: questions and trajectories as files.
//! - [`eval`]: the agent over a data set, judged.
//! - [`bench`]: how fast training is.
//! - `carry`: what carries runs of the agent without a browser.
//! - `chart`: charts as SVG.
//! - [`error`]: why a model cannot be trained.
//! - [`learn`]: what every way to train shares: examples, batches, gradients, optimisers, checkpoints.
//! - [`lines`]: files of JSON lines that grow while a process may be killed.
//! - [`place`]: files and folders that are put in their place when they are whole.
//! - [`pretrain`]: training a model from scratch by a recipe.
//! - [`tune`]: LoRA fine-tuning: supervised, and by reinforcement.

pub mod atlas;
pub mod bench;
mod carry;
mod chart;
pub mod dataset;
pub mod error;
pub mod eval;
pub mod learn;
pub mod lines;
pub mod place;
pub mod pretrain;
pub mod tune;
