//! Training: the Atlas, data sets, training and evaluation.
//!
//! Layout
//! - [`example`]: what the trainer eats.

pub mod example;
