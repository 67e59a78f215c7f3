//! Learning: examples become batches, batches gradients, gradients moves of the weights. What every way to train shares.
//!
//! - [`batch`]: sequences sorted by length, cut by a budget of tokens, padded.
//! - [`checkpoint`]: a run on disk.
//! - `curve`: the log of a run as a picture.
//! - [`dense`]: the dense teacher of the vision tower.
//! - [`example`]: what the trainer eats.
//! - [`grads`]: gradients by name.
//! - `halves`: a batch as two.
//! - [`init`]: what weights are before training.
//! - `lanes`: what is computed side by side.
//! - [`log`]: the log of a run.
//! - [`machine`]: where passes are computed.
//! - [`muon`]: orthogonalised steps for hidden matrices.
//! - [`optim`]: AdamW, with clipping by the global norm.
//! - [`params`]: the weights under training.
//! - [`pass`]: forward and backward over a batch.
//! - [`prefetch`]: batches made ahead on a thread of their own.
//! - [`schedule`]: the learning rate over a run.
//! - [`sequence`]: one example as the model reads it.
//! - [`step`]: one step: passes and an update.
//! - [`stop`]: when a session ends before its run does.
//! - `window`: steps gathered between two lines of the log.

pub mod batch;
pub mod checkpoint;
pub(crate) mod curve;
pub mod dense;
pub mod example;
pub mod grads;
mod halves;
pub mod init;
mod lanes;
pub mod log;
pub mod machine;
pub mod muon;
pub mod optim;
pub mod params;
pub mod pass;
pub mod prefetch;
pub mod schedule;
pub mod sequence;
pub mod step;
pub mod stop;
pub(crate) mod window;
