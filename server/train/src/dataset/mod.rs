//! Data sets: questions with pictures, and the trajectories that answer them, as files.
//!
//! Layout
//! - [`record`]: one line of a data set.
//! - [`file`]: reading and writing them as JSON lines.
//! - [`oracle`]: somebody who knows the way runs the real tools, and says where they fail.
//! - [`build`](mod@build): `loupe dataset build`.

pub mod build;
mod error;
pub mod file;
pub mod oracle;
pub mod record;

pub use error::DatasetError;
