//! Training a model from scratch by a recipe.
//!
//! - [`run`]: a run.
//! - [`export`]: a trained model in Hugging Face layout.
//! - [`recipe`]: what to train on what.
//! - `drill`: tokens in any order, and the same again.
//! - `setup`: tokenizer and chat encoding of a run.
//! - [`tokenizer`]: a byte-level BPE tokenizer made for copying names.

mod drill;
pub mod export;
pub mod recipe;
pub mod run;
mod setup;
pub mod tokenizer;
