//! Training: the Atlas, data sets, training and evaluation.
//!
//! Layout
//! - [`atlas`]: the embedded world: countries, flags, scenes, questions, and the mixture made of them.
//! - [`dataset`]: questions and trajectories as files.
//! - [`eval`]: the agent over a data set, judged.
//! - [`example`]: what the trainer eats.
//! - [`batch`]: sequences sorted by length, cut by a budget of tokens, padded.
//! - [`bench`]: how fast training is.
//! - `carry`: what carries runs of the agent without a browser.
//! - `chart`: bar charts as SVG.
//! - [`checkpoint`]: a run on disk.
//! - [`dense`]: the dense teacher of the vision tower.
//! - [`error`]: why a model cannot be trained.
//! - [`export`]: a trained model in Hugging Face layout.
//! - [`grads`]: gradients by name.
//! - [`init`]: what weights are before training.
//! - [`lines`]: files of JSON lines that grow while a process may be killed.
//! - [`log`]: the log of a run.
//! - [`muon`]: orthogonalised steps for hidden matrices.
//! - [`optim`]: AdamW, with clipping by the global norm.
//! - [`params`]: the weights under training.
//! - [`place`]: files and folders that are put in their place when they are whole.
//! - [`prefetch`]: batches made ahead on a thread of their own.
//! - [`pretrain`]: training a model from scratch by a recipe.
//! - [`recipe`]: what to train on what.
//! - [`schedule`]: the learning rate over a run.
//! - [`sequence`]: one example as the model reads it.
//! - `setup`: tokenizer and chat encoding of a run.
//! - [`step`]: one step: forward, loss, backward, update.
//! - [`tokenizer`]: a byte-level BPE tokenizer made for copying names.
//! - [`tune`]: LoRA fine-tuning: supervised, and by reinforcement.
//! - `window`: steps gathered between two lines of the log.

pub mod atlas;
pub mod batch;
pub mod bench;
mod carry;
mod chart;
pub mod checkpoint;
pub mod dataset;
pub mod dense;
pub mod error;
pub mod eval;
pub mod example;
pub mod export;
pub mod grads;
pub mod init;
pub mod lines;
pub mod log;
pub mod muon;
pub mod optim;
pub mod params;
pub mod place;
pub mod prefetch;
pub mod pretrain;
pub mod recipe;
pub mod schedule;
pub mod sequence;
mod setup;
pub mod step;
pub mod tokenizer;
pub mod tune;
mod window;
