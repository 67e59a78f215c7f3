//! Data sets: questions with pictures, and the trajectories that answer them, as files.
//!
//! Layout
//! - [`record`]: one line of a data set.
//! - [`file`]: reading and writing them as JSON lines.
//! - [`oracle`]: somebody who knows the way runs the real tools, and says where they fail.
//! - [`build`](mod@build): `loupe dataset build` from the Atlas.
//! - [`source`]: questions as others publish them.
//! - [`intake`]: which of their rows can be used.
//! - [`duplicates`]: rows that teach nothing new or give their answer away.
//! - [`select`]: which rows make the data set.
//! - [`teacher`]: a model that answers questions with the real tools.
//! - [`decisions`]: what was decided about each row, written down at once.
//! - [`collect`](mod@collect): `loupe dataset build` from a source.
//! - [`report`]: what came of it, for programs and for people.
//! - `plots`: what came of a source, as plots.
//! - [`formats`]: the files that LLaMA-Factory and verl read.
//! - `picture`: pictures as a data set keeps them.
//! - [`claim`]: a folder that one build writes into at a time.

pub mod build;
pub mod claim;
pub mod collect;
pub mod decisions;
pub mod duplicates;
mod error;
pub mod file;
pub mod formats;
pub mod intake;
pub mod oracle;
mod picture;
mod plots;
pub mod record;
pub mod report;
pub mod select;
pub mod source;
pub mod teacher;

pub use error::DatasetError;
