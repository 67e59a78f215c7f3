//! Which countries train, tune and test: drawn by seed, within each continent, so that the parts look alike.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::countries::Country;
use super::rng::Rng;

/// A part of the world that only one purpose may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Seen in training.
    Train,
    /// Held out, for choices made along the way.
    Dev,
    /// Held out, for the numbers that are reported.
    Test,
}

impl Split {
    /// Its name in files and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Dev => "dev",
            Self::Test => "test",
        }
    }
}

/// Of 250 countries, how many are held out for development and for testing.
const DEV_OF_250: usize = 30;
const TEST_OF_250: usize = 40;

/// The split of every country, in the order given. Countries that are never asked about (`asked` false) train.
#[must_use]
pub fn assign(countries: &[Country], asked: &[bool], seed: u64) -> Vec<Split> {
    let mut continents: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, country) in countries.iter().enumerate() {
        if asked.get(index).copied().unwrap_or(false) {
            continents.entry(&country.continent).or_default().push(index);
        }
    }
    let mut splits = vec![Split::Train; countries.len()];
    for (continent, mut members) in continents {
        let mut rng = Rng::of(seed, continent, 0);
        rng.shuffle(&mut members);
        let test = share(members.len(), TEST_OF_250);
        let dev = share(members.len(), DEV_OF_250);
        for (place, index) in members.into_iter().enumerate() {
            if place < test {
                splits[index] = Split::Test;
            } else if place < test + dev {
                splits[index] = Split::Dev;
            }
        }
    }
    splits
}

fn share(members: usize, of_250: usize) -> usize {
    (members * of_250 + 125) / 250
}
