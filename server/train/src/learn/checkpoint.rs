//! A run on disk: weights, optimiser state and counters in one safetensors file, replaced whole or not at all.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use half::bf16;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, View};
use serde::{Deserialize, Serialize};

use crate::error::{Result, TrainError};
use crate::learn::batch::Place;
use crate::learn::optim::{AdamW, AdamWConfig, Moments};
use crate::learn::params::Params;
use crate::place::write;

/// The name of the counters in the file's metadata.
const STATE: &str = "state";
/// The file in a run's folder.
pub(crate) const CHECKPOINT: &str = "checkpoint.safetensors";
/// What stands before the name of a weight in it.
const WEIGHT: &str = "weight.";

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps taken.
    pub step: u64,
    /// Tokens read.
    pub tokens: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// The place in the stream of batches.
    pub place: Place,
    /// Examples read, where a run is as long as its data.
    #[serde(default)]
    pub examples: u64,
    /// The best that was found on the development set.
    #[serde(default)]
    pub best: Option<Best>,
}

/// The best of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The step after which it was measured.
    pub step: u64,
    /// Its loss on the development set.
    pub loss: f64,
    /// Measurements since that were no better.
    pub worse: u32,
}

impl Progress {
    /// Notes what was found on the development set, where less is better; says whether it is the best so far.
    pub(crate) fn measured(&mut self, loss: f64) -> bool {
        match &mut self.best {
            Some(best) if best.loss <= loss => {
                best.worse += 1;
                false
            }
            _ => {
                self.best = Some(Best { step: self.step, loss, worse: 0 });
                true
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct State {
    progress: Progress,
    optimiser_steps: u64,
}

/// f32 values for the safetensors writer.
struct Values {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl View for Values {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        bytemuck::cast_slice(&self.values).into()
    }

    fn data_len(&self) -> usize {
        self.values.len() * size_of::<f32>()
    }
}

/// The checkpoint in a run's folder; none where the run is a new one.
///
/// # Errors
/// When there is one and the run is not to be resumed.
pub(crate) fn of_run(out: &Path, resume: bool) -> Result<Option<PathBuf>> {
    let saved = out.join(CHECKPOINT);
    match (saved.exists(), resume) {
        (false, true) => {
            tracing::warn!(out = %out.display(), "there is no checkpoint to go on from; the run starts from its beginning");
            Ok(None)
        }
        (false, false) => Ok(None),
        (true, true) => Ok(Some(saved)),
        (true, false) => Err(TrainError::RunIsThere(out.to_owned())),
    }
}

/// Says what does not fit in the minutes between two checkpoints, if anything.
pub(crate) fn check_minutes(save_minutes: f64) -> Result<(), String> {
    match save_minutes.is_nan() || save_minutes < 0.0 {
        true => Err("save_minutes has to be 0 or more".into()),
        false => Ok(()),
    }
}

/// Writes a checkpoint: beside its place first, then renamed over the one before.
///
/// # Errors
/// When it cannot be written.
pub fn save(path: &Path, params: &Params, optimiser: &AdamW, progress: Progress) -> Result<()> {
    let mut tensors = Vec::new();
    for (name, var) in params.all() {
        let values = var.flatten_all()?.to_vec1::<f32>()?;
        tensors.push((format!("{WEIGHT}{name}"), Values { shape: var.dims().to_vec(), values }));
    }
    for (name, Moments { mean, square }) in optimiser.moments() {
        for (kind, values) in [("mean", mean), ("square", square)] {
            tensors.push((
                format!("{kind}.{name}"),
                Values { shape: vec![values.len()], values: values.clone() },
            ));
        }
    }
    let state = State { progress, optimiser_steps: optimiser.steps() };
    let state = serde_json::to_string(&state).map_err(|error| damaged(path, &error))?;
    let metadata = HashMap::from([(STATE.to_owned(), state)]);
    let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|error| damaged(path, &error))?;
    Ok(write(path, &bytes)?)
}

/// Takes over a checkpoint's weights and gives its optimiser and counters.
///
/// # Errors
/// When the file cannot be read, or does not hold exactly the weights of `params`.
pub fn load(path: &Path, params: &Params, config: AdamWConfig) -> Result<(AdamW, Progress)> {
    let bytes = std::fs::read(path).map_err(TrainError::file(path))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| damaged(path, &error))?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(path, &error))?;
    let state = metadata.metadata().as_ref().and_then(|map| map.get(STATE));
    let state = state.ok_or_else(|| damaged(path, &"it has no counters"))?;
    let state: State = serde_json::from_str(state).map_err(|error| damaged(path, &error))?;

    let names: Vec<String> = params.all().into_iter().map(|(name, _)| name).collect();
    let mut moments: BTreeMap<String, Moments> = BTreeMap::new();
    for name in &names {
        let weight = tensors.tensor(&format!("{WEIGHT}{name}")).map_err(|error| damaged(path, &error))?;
        let shape = weight.shape().to_vec();
        let count: usize = shape.iter().product();
        let weight = Tensor::from_vec(floats(&weight, path)?, shape, &Device::Cpu)?;
        if !params.set(name, &weight)? {
            return Err(damaged(path, &format!("{name} has the shape {:?} there", weight.dims())));
        }
        let moment = |kind: &str| match tensors.tensor(&format!("{kind}.{name}")) {
            // Muon keeps no squares.
            Ok(view) if view.shape() == [count] || view.shape() == [0] => floats(&view, path).map(Some),
            Ok(_) => Err(damaged(path, &format!("the {kind} of {name} has another size"))),
            // The optimiser had not met it yet.
            Err(_) => Ok(None),
        };
        if let (Some(mean), Some(square)) = (moment("mean")?, moment("square")?) {
            moments.insert(name.clone(), Moments { mean, square });
        }
    }
    let surplus = |name: &&str| !names.iter().any(|known| known == name);
    if let Some(name) = tensors.names().into_iter().filter_map(|name| name.strip_prefix(WEIGHT)).find(surplus)
    {
        return Err(damaged(path, &format!("it has {name}, which this run does not train")));
    }
    Ok((AdamW::resumed(config, state.optimiser_steps, moments), state.progress))
}

/// Takes over those weights of another run's folder, or of an exported model's, that have the same name and shape;
/// gives how many.
///
/// # Errors
/// When neither is there, or the file cannot be read.
pub fn take_weights(folder: &Path, params: &Params) -> Result<usize> {
    let (run, model) = (folder.join(CHECKPOINT), folder.join("model.safetensors"));
    let (path, prefix) = if run.exists() { (run, WEIGHT) } else { (model, "") };
    let bytes = std::fs::read(&path).map_err(TrainError::file(&path))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| damaged(&path, &error))?;
    let mut taken = 0;
    for (name, view) in tensors.tensors() {
        if let Some(name) = name.strip_prefix(prefix) {
            let weight = Tensor::from_vec(floats(&view, &path)?, view.shape(), &Device::Cpu)?;
            taken += usize::from(params.set(name, &weight)?);
        }
    }
    Ok(taken)
}

fn floats(view: &TensorView, path: &Path) -> Result<Vec<f32>> {
    match view.dtype() {
        Dtype::F32 => {
            Ok(view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        }
        Dtype::BF16 => {
            Ok(view.data().chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect())
        }
        other => Err(damaged(path, &format!("it holds {other:?} where f32 or bf16 is expected"))),
    }
}

fn damaged(path: &Path, reason: &dyn std::fmt::Display) -> TrainError {
    TrainError::Checkpoint { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::init::Init;

    const NAME: &str = "model.layers.0.mlp.up_proj.lora_A.weight";

    /// One weight, drawn by `seed`.
    fn params(seed: u64, name: &str, shape: [usize; 2]) -> Params {
        let params = Params::new(Init { seed, deviation: 0.02, layers: 1, vision_layers: 1 });
        params.var(name, &shape).unwrap();
        params
    }

    fn values(params: &Params) -> Vec<Vec<f32>> {
        params.all()[0].1.to_vec2().unwrap()
    }

    /// An optimiser that has met the weight and keeps so many numbers of it.
    fn optimiser(count: usize) -> AdamW {
        let moments = Moments { mean: vec![0.25; count], square: vec![0.5; count] };
        AdamW::resumed(AdamWConfig::default(), 7, BTreeMap::from([(NAME.to_owned(), moments)]))
    }

    /// A folder with the checkpoint of a weight of six numbers, and the checkpoint's path.
    fn saved(optimiser: &AdamW) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CHECKPOINT);
        let place = Place { pool: 2, batch: 1, of: 3 };
        let progress = Progress { step: 7, tokens: 90, place, ..Progress::default() };
        save(&path, &params(1, NAME, [2, 3]), optimiser, progress).unwrap();
        (folder, path)
    }

    fn refused(path: &Path, params: &Params) -> String {
        let error = load(path, params, AdamWConfig::default()).unwrap_err();
        assert!(matches!(&error, TrainError::Checkpoint { path: named, .. } if named == path), "{error}");
        error.to_string()
    }

    #[test]
    fn a_run_reads_back_as_it_was_saved() {
        let (_folder, path) = saved(&optimiser(6));
        let read = params(2, NAME, [2, 3]);
        let (again, progress) = load(&path, &read, AdamWConfig::default()).unwrap();
        assert_eq!(values(&read), values(&params(1, NAME, [2, 3])));
        assert_eq!((again.steps(), again.moments()), (7, optimiser(6).moments()));
        assert_eq!((progress.step, progress.tokens), (7, 90));
        assert_eq!(progress.place, Place { pool: 2, batch: 1, of: 3 });
    }

    #[test]
    fn a_weight_that_is_missing_or_has_another_shape_is_named() {
        let (_folder, path) = saved(&optimiser(6));
        let said = refused(&path, &params(2, "model.norm.weight", [2, 3]));
        assert!(said.contains("model.norm.weight") && said.contains("not found"), "{said}");
        let said = refused(&path, &params(2, NAME, [3, 2]));
        assert!(said.contains(NAME) && said.contains("[2, 3]"), "{said}");
    }

    #[test]
    fn a_weight_that_the_run_does_not_train_is_named() {
        let (_folder, path) = saved(&optimiser(6));
        let none = Params::new(Init { seed: 2, deviation: 0.02, layers: 1, vision_layers: 1 });
        let said = refused(&path, &none);
        assert!(said.contains(&format!("it has {NAME}, which this run does not train")), "{said}");
    }

    #[test]
    fn an_optimisers_numbers_that_do_not_fit_their_weight_are_named() {
        let (_folder, path) = saved(&optimiser(5));
        let said = refused(&path, &params(2, NAME, [2, 3]));
        assert!(said.contains(&format!("the mean of {NAME} has another size")), "{said}");
    }

    #[test]
    fn a_file_that_is_cut_short_or_has_no_counters_is_refused() {
        let (_folder, path) = saved(&optimiser(6));
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 7, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            refused(&path, &params(2, NAME, [2, 3]));
        }
        let weight = (format!("{WEIGHT}{NAME}"), Values { shape: vec![2, 3], values: vec![0.0; 6] });
        std::fs::write(&path, safetensors::serialize([weight], None).unwrap()).unwrap();
        let said = refused(&path, &params(2, NAME, [2, 3]));
        assert!(said.contains("it has no counters"), "{said}");
    }
}
