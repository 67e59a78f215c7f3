//! Finding a picture again in a crop of a photograph of it.
//!
//! A crop shows the picture somewhere within it: scaled, tilted, lit and blurred, with some of what is around it, or
//! slightly cut. So the question is not "which picture looks like this crop" but "which picture, put where, explains
//! most of this crop". `coarse` tries a grid of placements on a colour layout of 8 x 6 cells, `align` moves the best ones
//! into place by least squares on finer thumbnails, and `score` says how much of the crop that explains.
//!
//! - `codec`: picture files to pixels, within limits.
//! - `planes`: lightness and two opponent colours, as a pyramid to sample from.
//! - `thumbnail`: what is stored of a picture.
//! - `pose`, `state`: where in a crop a picture may lie, and in which light and how bent.
//! - `coarse`, `template`, `align`, `cholesky`: the comparisons.
//! - `gallery`: the search.

mod align;
mod cholesky;
mod coarse;
mod codec;
mod gallery;
mod planes;
mod pose;
mod score;
mod state;
mod template;
mod thumbnail;

pub use codec::{DecodeError, decode};
pub use gallery::{Gallery, Match};
pub use thumbnail::Thumbnail;
