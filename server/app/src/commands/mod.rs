//! One file per command: its arguments and what it does with them. The work itself is done by the other crates.

pub mod ask;
pub mod atlas;
pub mod bench;
pub mod dataset;
pub mod doctor;
pub mod eval;
pub mod index;
mod layout;
pub mod probe;
pub mod serve;
mod stamp;
mod tools;
pub mod train;
pub mod workflow;
