//! `loupe atlas build`: the world as a folder of pages, pictures and sample scenes.

use std::collections::BTreeMap;
use std::path::Path;

use loupe_shared::protocol::Sample;

use super::AtlasError;
use super::asked::Asker;
use super::countries::Dropped;
use super::facts::listed;
use super::files;
use super::made_up::made_up;
use super::pages::pages;
use super::rng::Rng;
use super::scene::Scene;
use super::split::Split;
use super::world::World;
use crate::place::replace_folder;

/// How many sample scenes there are.
const SAMPLES: u64 = 8;

/// What was built.
#[derive(Debug, Clone)]
pub struct Report {
    /// Countries that take part.
    pub countries: usize,
    /// Pages written.
    pub pages: usize,
    /// Countries asked about in each split.
    pub splits: BTreeMap<Split, usize>,
    /// Countries whose flag looks like another's: they have pages, but nobody is asked about them.
    pub lookalikes: Vec<String>,
    /// Countries that take no part.
    pub dropped: Vec<Dropped>,
}

/// Makes the Atlas from npm packages and puts it at `out`, in the place of an older one if there is one. The same seed
/// and packages give the same bytes. With a seed in `invented`, its countries are made up: [`made_up`].
///
/// # Errors
/// [`AtlasError`] when a package does not fit, a file fails, or `out` holds something else than an Atlas.
pub fn build(packages: &Path, out: &Path, seed: u64, invented: Option<u64>) -> Result<Report, AtlasError> {
    let is_free = !out.exists() || World::is_at(out) || files::is_empty_folder(out)?;
    if !is_free {
        return Err(AtlasError::Occupied { path: out.to_owned() });
    }
    let real = World::from_packages(packages, seed)?;
    let world = match invented {
        Some(seed) => made_up(&real, seed),
        None => real,
    };
    replace_folder(out, |fresh| {
        world.write(fresh)?;
        write_samples(&world, &fresh.join("samples"))
    })?;
    Ok(report(&world))
}

fn report(world: &World) -> Report {
    let lookalikes = world.entries().iter().filter(|entry| !entry.asked);
    Report {
        countries: world.entries().len(),
        pages: world.entries().iter().map(|entry| pages(&entry.country).len()).sum(),
        splits: [Split::Train, Split::Dev, Split::Test].map(|split| (split, world.asked(split).len())).into(),
        lookalikes: lookalikes.map(|entry| entry.country.name.clone()).collect(),
        dropped: world.record().dropped.clone(),
    }
}

/// Scenes to try in the browser: held-out countries, asked about in plain words.
fn write_samples(world: &World, dir: &Path) -> Result<(), AtlasError> {
    let Some(asker) = Asker::new(world, Split::Test) else { return Ok(()) };
    let mut samples = Vec::new();
    for number in 1..=SAMPLES {
        let mut rng = Rng::of(world.record().seed, "samples", number);
        let scene = asker.scene(&mut rng);
        let file = format!("scene-{number}.png");
        files::write_png(&dir.join(&file), &scene.picture)?;
        let questions = asker.sample_questions(&scene, &mut rng);
        samples.push(Sample { url: format!("/samples/{file}"), alt: describe(&scene), questions });
    }
    files::write_json(&dir.join("samples.json"), &samples)
}

/// What is to be seen, in a sentence.
fn describe(scene: &Scene) -> String {
    let flags = match scene.flags.len() {
        1 => "one flag".to_owned(),
        count => format!("{count} flags"),
    };
    let objects = scene.objects.iter().map(|object| {
        let name = object.look.name();
        let article = if name.starts_with('o') { "an" } else { "a" };
        format!("{article} {name}")
    });
    format!("A scene with {}", listed(&std::iter::once(flags).chain(objects).collect::<Vec<_>>()))
}
