//! The Atlas: a small world that the program carries with it. Countries as pages, their flags as pictures, scenes to
//! ask about. Everything is made by seed, with the same bytes on every machine.
//!
//! Layout
//! - the world: [`countries`], [`facts`], [`split`], [`pages`], [`flags`], and all of it as one value: [`world`]
//! - pictures: [`rng`], [`bounds`], [`canvas`], [`background`], [`banner`], [`objects`], [`scene`]
//! - questions: [`crop`], [`refer`], [`wording`], [`questions`], [`visual`], [`asked`]
//! - training: [`invent`], [`made_up`], [`episode`], [`mixture`]
//! - `loupe atlas build`: [`build`](mod@build)

pub mod asked;
pub mod background;
pub mod banner;
pub mod bounds;
pub mod build;
pub mod canvas;
pub mod countries;
pub mod crop;
pub mod episode;
mod error;
pub mod facts;
pub(crate) mod files;
pub mod flags;
pub mod invent;
pub mod made_up;
pub mod mixture;
pub mod objects;
pub mod pages;
pub mod questions;
pub mod refer;
pub mod rng;
pub mod scene;
pub mod split;
pub mod visual;
pub mod wording;
pub mod world;

pub use error::AtlasError;
pub use split::Split;
pub use world::World;
