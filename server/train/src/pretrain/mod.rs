//! Training a model from scratch by a recipe.
//!
//! - [`run`]: a run.
//! - [`export`]: a trained model in Hugging Face layout.
//! - [`recipe`]: what to train on what.
//! - `setup`: tokenizer and chat encoding of a run.
//! - [`tokenizer`]: a byte-level BPE tokenizer made for copying names.

pub mod export;
pub mod recipe;
pub mod run;
mod setup;
pub mod tokenizer;
