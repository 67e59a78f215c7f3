//! A world to train in: the flags that training may see, flown by made-up countries. A model that has read all pages of
//! the real ones answers from memory and learns nothing by searching for them; here it has to read.

use super::countries::Country;
use super::mixture::real::RealCountries;
use super::rng::Rng;
use super::split::Split;
use super::world::{Entry, World};

/// The flags of `world`'s training split under names and facts drawn by `seed`. All of it is for training: nothing of a
/// held-out country is in it, neither its flag nor its name.
#[must_use]
pub fn made_up(world: &World, seed: u64) -> World {
    let inventor = RealCountries::new(world).inventor();
    let flags: Vec<usize> =
        (0..world.entries().len()).filter(|&i| world.entries()[i].split == Split::Train).collect();
    let invented = inventor.continent(flags.len(), &mut Rng::of(seed, "made up", 0));
    // Files are named by code, so that of the flag stays.
    let entry = |(&flag, invented): (&usize, Country)| {
        let Entry { country, asked, .. } = &world.entries()[flag];
        Entry {
            country: Country { code: country.code.clone(), ..invented },
            split: Split::Train,
            asked: *asked,
        }
    };
    world.with(flags.iter().zip(invented).map(entry).collect(), &flags, seed)
}
