//! Runs whose passes are computed with a GPU's kernels, on an emulator of one.

use std::sync::Arc;

use loupe_mllm::checkpoint::Files;
use loupe_mllm::cuda::tune::Tuning;

use super::emulator::{Emulator, is_possible};
use super::sft::{flags, records};
use super::{base, golden, recipe};
use crate::learn::log::Line;
use crate::learn::machine::Machine;
use crate::learn::stop::Stop;
use crate::tune::base::Base;
use crate::tune::estimate::estimate;
use crate::tune::recipe::SftRecipe;
use crate::tune::sft::{Data, Ended, Sft};

fn on_gpu(recipe: &SftRecipe) -> Base {
    let files = Files::folder(&golden("tied"));
    let load = Base::open_as(&files, &recipe.lora, recipe.optimiser, 3, |config, weights| {
        let gpus = [Emulator::default(), Emulator::default()];
        Ok(Machine::Gpu(Box::new(Tuning::load(gpus, config, weights)?)))
    });
    load.unwrap()
}

#[test]
fn a_run_learns_as_on_the_cpu_and_goes_on_with_the_same_curve() {
    if !is_possible() {
        return;
    }
    let mut recipe = recipe();
    (recipe.epochs, recipe.early_stop.patience) = (4.0, 9);
    let folder = flags();
    let train = |base: Base, out: &str, steps: Option<u64>| {
        let out = folder.path().join(out);
        let data = Data { train: Arc::new(records(folder.path())), dev: Some(records(folder.path())) };
        let mut run = Sft::new(&recipe, base, data, None, &out, out.exists()).unwrap();
        let mut lines: Vec<Line> = Vec::new();
        let ended = run.train(Stop { steps, ..Stop::default() }, |line| lines.push(line.clone())).unwrap();
        (lines, ended)
    };
    let (expected, _) = train(base(&recipe.lora, recipe.optimiser), "cpu", None);
    let (lines, ended) = train(on_gpu(&recipe), "gpu", None);
    assert_eq!((ended, lines.len()), (Ended::Complete, expected.len()));
    for (line, expected) in lines.iter().zip(&expected) {
        let apart = |got: f64, wanted: f64| (got / wanted - 1.0).abs();
        assert!(apart(line.loss, expected.loss) < 0.01, "{} {}", line.loss, expected.loss);
        assert!(
            apart(line.grad_norm, expected.grad_norm) < 0.05,
            "{} {}",
            line.grad_norm,
            expected.grad_norm
        );
        assert!(apart(line.dev.unwrap(), expected.dev.unwrap()) < 0.01);
    }
    assert!(lines.last().unwrap().loss < lines[0].loss * 0.98, "it learns");

    let (mut parts, ended) = train(on_gpu(&recipe), "parts", Some(2));
    assert_eq!(ended, Ended::Stopped);
    parts.extend(train(on_gpu(&recipe), "parts", None).0);
    let curve =
        |lines: &[Line]| lines.iter().map(|line| (line.step, line.loss, line.dev)).collect::<Vec<_>>();
    assert_eq!(curve(&parts), curve(&lines));

    // What was begun on one is not gone on with on the other.
    let data = Data { train: Arc::new(records(folder.path())), dev: None };
    let error =
        Sft::new(&recipe, base(&recipe.lora, recipe.optimiser), data, None, &folder.path().join("gpu"), true);
    let error = error.err().unwrap().to_string();
    assert!(error.contains("device: gpu then, nothing now"), "{error}");
}

#[test]
fn a_run_is_estimated_by_what_the_gpu_holds() {
    if !is_possible() {
        return;
    }
    let (recipe, folder) = (recipe(), flags());
    let base = on_gpu(&recipe);
    let found = estimate(&base, &records(folder.path()), None, &recipe).unwrap();
    assert!(found.on_gpu && found.steps == 3);
    // bf16 for what is frozen, and for what is trained beside it, with gradients of f32.
    assert_eq!(found.memory.weights, 2 * found.frozen + 6 * found.trained);
    assert!(found.memory.activations > 0);
}
