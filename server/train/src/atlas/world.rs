//! The world as one value: countries, their splits, their flags. Made from the npm packages, kept in a folder that
//! is also a folder of pages and pictures for `loupe index build`.

use std::collections::BTreeMap;
use std::path::Path;

use loupe_shared::pixels::Rgb8;
use serde::{Deserialize, Serialize};

use super::AtlasError;
use super::countries::{self, Country, Dropped};
use super::files;
use super::flags::{self, Texture, Thumb};
use super::pages::pages;
use super::split::{Split, assign};

/// A country's place in the world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its facts.
    pub country: Country,
    /// Who may see it.
    pub split: Split,
    /// Whether questions are asked about its flag: not where another country's looks the same.
    pub asked: bool,
}

/// The Atlas in memory.
#[derive(Debug, Clone)]
pub struct World {
    entries: Vec<Entry>,
    textures: Vec<Texture>,
    pictures: Vec<Rgb8>,
    by_name: BTreeMap<String, usize>,
    record: Record,
}

/// Where the world came from; everything but the entries in `atlas.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The form of this file.
    pub version: u32,
    /// Seed of the splits.
    pub seed: u64,
    /// Names and versions of the packages.
    pub packages: BTreeMap<String, String>,
    /// Countries that take no part.
    pub dropped: Vec<Dropped>,
    /// Seed of its names and facts where they are made up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_up: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct AtlasFile {
    #[serde(flatten)]
    record: Record,
    countries: Vec<Entry>,
}

const VERSION: u32 = 1;
const FILE: &str = "atlas.json";

impl World {
    /// Makes the world from a `node_modules` that holds `world-countries` and `flag-icons`.
    ///
    /// # Errors
    /// [`AtlasError`] when a package is missing or not of the expected shape.
    pub fn from_packages(packages: &Path, seed: u64) -> Result<Self, AtlasError> {
        let json = files::read_text(&packages.join("world-countries/countries.json"))?;
        let (countries, dropped) = countries::parse(&json)?;
        let flag = |code: &str| files::read(&packages.join(format!("flag-icons/flags/4x3/{code}.svg")));
        let versions = ["world-countries", "flag-icons"]
            .into_iter()
            .map(|name| Ok((name.to_owned(), files::package_version(&packages.join(name))?)))
            .collect::<Result<_, AtlasError>>()?;
        let record = Record { version: VERSION, seed, packages: versions, dropped, made_up: None };
        Self::make(countries, flag, record)
    }

    /// Makes the world from countries and a source of flags (SVG by country code).
    ///
    /// # Errors
    /// [`AtlasError`] when a flag is missing or cannot be drawn.
    pub fn make(
        countries: Vec<Country>,
        flag: impl Fn(&str) -> Result<Vec<u8>, AtlasError>,
        mut record: Record,
    ) -> Result<Self, AtlasError> {
        let drawn = countries
            .into_iter()
            .map(|country| {
                let picture = flags::rasterise(&country.code, &flag(&country.code)?)?;
                Ok((country, picture))
            })
            .collect::<Result<Vec<_>, AtlasError>>()?;
        let (drawn, asked) = without_twins(drawn, &mut record.dropped);
        let (mut countries, pictures): (Vec<Country>, Vec<Rgb8>) = drawn.into_iter().unzip();
        countries::keep_known_neighbours(&mut countries);
        let splits = assign(&countries, &asked, record.seed);
        let entries = countries.into_iter().zip(splits).zip(asked);
        let entries = entries.map(|((country, split), asked)| Entry { country, split, asked }).collect();
        Ok(Self::assemble(entries, pictures, record))
    }

    fn assemble(entries: Vec<Entry>, pictures: Vec<Rgb8>, record: Record) -> Self {
        let textures = pictures.iter().map(Texture::new).collect();
        let by_name = entries.iter().enumerate().map(|(i, e)| (e.country.name.clone(), i)).collect();
        Self { entries, textures, pictures, by_name, record }
    }

    /// Other countries under some of these flags.
    pub(super) fn with(&self, entries: Vec<Entry>, flags: &[usize], made_up: u64) -> Self {
        let pictures = flags.iter().map(|&flag| self.pictures[flag].clone()).collect();
        let record = Record { dropped: Vec::new(), made_up: Some(made_up), ..self.record.clone() };
        Self::assemble(entries, pictures, record)
    }

    /// Reads the world from a folder that [`World::write`] made.
    ///
    /// # Errors
    /// [`AtlasError`] when the folder is not an Atlas of this version.
    pub fn open(dir: &Path) -> Result<Self, AtlasError> {
        let path = dir.join(FILE);
        let file: AtlasFile = serde_json::from_str(&files::read_text(&path)?)
            .map_err(|error| AtlasError::NotAnAtlas { path: path.clone(), reason: error.to_string() })?;
        if file.record.version != VERSION {
            let reason = format!("its version is {}, this program reads {VERSION}", file.record.version);
            return Err(AtlasError::NotAnAtlas { path, reason });
        }
        let pictures = file
            .countries
            .iter()
            .map(|entry| files::read_png(&dir.join("pictures").join(format!("{}.png", entry.country.code))))
            .collect::<Result<_, _>>()?;
        Ok(Self::assemble(file.countries, pictures, file.record))
    }

    /// Writes pages, pictures and `atlas.json` into a folder that exists.
    ///
    /// # Errors
    /// [`AtlasError::File`].
    pub fn write(&self, dir: &Path) -> Result<(), AtlasError> {
        for (entry, picture) in self.entries.iter().zip(&self.pictures) {
            for page in pages(&entry.country) {
                files::write(
                    &dir.join("pages").join(format!("{}.md", page.stem)),
                    page.markdown().as_bytes(),
                )?;
            }
            files::write_png(&dir.join("pictures").join(format!("{}.png", entry.country.code)), picture)?;
        }
        let file = AtlasFile { record: self.record.clone(), countries: self.entries.clone() };
        files::write_json(&dir.join(FILE), &file)
    }

    /// Whether a folder holds an Atlas of any version.
    #[must_use]
    pub fn is_at(dir: &Path) -> bool {
        dir.join(FILE).is_file()
    }

    /// Countries, ordered by code.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What a country's flag looks like.
    #[must_use]
    pub fn texture(&self, country: usize) -> &Texture {
        &self.textures[country]
    }

    /// The country of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Countries of a split whose flags are asked about.
    #[must_use]
    pub fn asked(&self, split: Split) -> Vec<usize> {
        let of_split = |entry: &Entry| entry.asked && entry.split == split;
        (0..self.entries.len()).filter(|&index| of_split(&self.entries[index])).collect()
    }

    /// Where the world came from.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }
}

/// Some territories fly the flag of their state: they are dropped, the state stays. Where two states' flags look the
/// same both stay, but nobody is asked whose flag it is. Returns who is left and who may be asked about.
fn without_twins(
    drawn: Vec<(Country, Rgb8)>,
    dropped: &mut Vec<Dropped>,
) -> (Vec<(Country, Rgb8)>, Vec<bool>) {
    let thumbs: Vec<Thumb> = drawn.iter().map(|(_, picture)| Thumb::new(picture)).collect();
    let twins = |index: usize, of_state: bool| {
        (0..drawn.len()).find(|&other| {
            other != index
                && drawn[other].0.independent == of_state
                && thumbs[index].looks_like(&thumbs[other])
        })
    };
    let state: Vec<Option<usize>> =
        (0..drawn.len()).map(|i| twins(i, true).filter(|_| !drawn[i].0.independent)).collect();
    let asked: Vec<bool> = (0..drawn.len()).map(|i| twins(i, drawn[i].0.independent).is_none()).collect();
    for (index, twin) in state.iter().enumerate() {
        if let Some(twin) = twin {
            let reason = format!("it flies the flag of {}", drawn[*twin].0.name);
            dropped.push(Dropped { name: drawn[index].0.name.clone(), reason });
        }
    }
    let kept = drawn.into_iter().zip(asked).zip(state).filter(|(_, twin)| twin.is_none());
    kept.map(|(country, _)| country).unzip()
}
