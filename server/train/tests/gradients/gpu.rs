//! Passes with the kernels of a GPU: compiled for this machine's CPU, and on the first GPU where there is one and the
//! feature `cuda`. Their products are of bf16, and so is the vision tower.

use loupe_mllm::Processor;
use loupe_mllm::cuda::tune::Tuning;
use loupe_mllm::tuning;
use loupe_train::learn::machine::Machine;
use loupe_train::learn::optim::AdamWConfig;
use loupe_train::tune::base::Base;

use crate::emulator::{Emulator, is_possible};
use crate::golden::{Tolerance, files, fine_tuned, hold, reinforced, set_up, shape, tensors};

/// Cases with their temperature and the gradients' distances in the middle and at worst: those of PyTorch's own in bf16
/// (tests/golden/tune/bf16.py).
const CASES: [(&str, f64, f32, f32); 4] = [
    ("sft", 1.0, 0.084, 0.117),
    ("grpo", 1.0, 0.136, 0.188),
    ("cooled", 0.7, 0.174, 0.247),
    ("dual", 1.0, 0.188, 0.273),
];
/// How far a loss or a surprise may be.
const NEAR: f32 = 0.05;

fn emulated() -> Option<Base> {
    let open = || {
        Base::open_as(&files(), &shape(), AdamWConfig::default(), 1, |config, weights| {
            let gpus = [Emulator::default(), Emulator::default()];
            Ok(Machine::Gpu(Box::new(Tuning::load(gpus, config, weights)?)))
        })
    };
    is_possible().then(|| open().expect("a model"))
}

fn real() -> Option<Base> {
    let on = Processor::Cuda(0);
    if let Err(error) = tuning::is_there(on) {
        eprintln!("SKIPPED: {error}");
        return None;
    }
    Some(Base::open(on, &files(), &shape(), AdamWConfig::default(), 1).expect("a model on the GPU"))
}

fn check(base: Option<Base>) {
    let Some(mut base) = base else { return };
    let expected = tensors("tune/expected.safetensors");
    let mut batch = set_up(&base, &expected, 2);
    // Rounding decides on which side of a bound many tokens are, so the CPU says what each token is worth in GRPO, and what is
    // held is what becomes of that.
    let mut judge =
        Base::open(Processor::Cpu, &files(), &shape(), AdamWConfig::default(), 1).expect("a model");
    let shown = set_up(&judge, &expected, 2);
    for (name, temperature, middle, worst) in CASES {
        (base.learner.temperature, judge.learner.temperature) = (temperature, temperature);
        let found = match name {
            "sft" => fine_tuned(&base, &batch),
            _ => reinforced(&base, &batch, &expected, name, (&judge, &shown)),
        };
        hold(&found, &expected, name, Tolerance { loss: NEAR, middle, worst });
        let said = judge.learner.model.foretold(&shown, temperature, true).expect("a pass").rows;
        let apart = |(got, wanted): (&f32, &f32)| (got - wanted).abs() / wanted.abs().max(1.0);
        let most = found.words.rows.iter().zip(&said).map(apart).fold(0.0, f32::max);
        assert!(most < NEAR, "{name}: a surprise is {most} apart");
        // The second time its pictures are known already.
        base.learner.model.see(&mut batch).expect("pictures");
    }
}

#[test]
fn emulated_kernels_have_pytorchs_gradients_but_for_rounding() {
    check(emulated());
}

#[test]
fn a_gpu_has_pytorchs_gradients_but_for_rounding() {
    check(real());
}
