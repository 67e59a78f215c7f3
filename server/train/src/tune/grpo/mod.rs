//! Group-relative policy optimisation (Shao et al. 2024), online: the agent answers each question several times with the
//! real tools, and what did better than its siblings becomes likelier.
//!
//! - [`recipe`]: how to train.
//! - [`advantage`]: how much better a rollout did than its group.
//! - [`objective`]: the clipped surrogate with the k3 distance to the reference.
//! - [`reward`]: what a rollout is worth.
//! - `witness`: what the model read and wrote in a run of the agent.
//! - [`rollout`]: runs of the agent, as sequences to learn from.
//! - `lesson`: what a group's rollouts teach, each thing once.
//! - [`guard`]: signs of collapse that end a run.
//! - [`log`]: the log of a run, and rollouts to read.
//! - [`run`]: a run.

pub mod advantage;
pub mod guard;
mod lesson;
pub mod log;
pub mod objective;
pub mod recipe;
pub mod reward;
pub mod rollout;
pub mod run;
mod witness;
