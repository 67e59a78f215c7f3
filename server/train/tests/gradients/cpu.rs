//! Passes on the CPU.

use loupe_mllm::Processor;
use loupe_train::learn::optim::AdamWConfig;
use loupe_train::tune::base::Base;

use crate::golden::{Tolerance, files, fine_tuned, hold, reinforced, set_up, shape, tensors};

const TOLERANCE: Tolerance = Tolerance { loss: 1e-4, middle: 1e-4, worst: 1e-4 };

/// With and without checkpointing; a row alone, and two that are the same, of which each is computed with half of the
/// threads beside the other.
const WAYS: [(bool, usize); 4] = [(false, 1), (true, 1), (false, 2), (true, 2)];

fn base(checkpointing: bool) -> Base {
    let mut base =
        Base::open(Processor::Cpu, &files(), &shape(), AdamWConfig::default(), 1).expect("a model");
    base.learner.checkpointing = checkpointing;
    base
}

#[test]
fn fine_tuning_has_pytorchs_gradients() {
    let expected = tensors("tune/expected.safetensors");
    for (checkpointing, copies) in WAYS {
        let base = base(checkpointing);
        let batch = set_up(&base, &expected, copies);
        hold(&fine_tuned(&base, &batch), &expected, "sft", TOLERANCE);
    }
}

#[test]
fn grpo_has_pytorchs_loss_and_gradients_at_any_temperature() {
    let expected = tensors("tune/expected.safetensors");
    for (checkpointing, copies) in WAYS {
        let mut base = base(checkpointing);
        let mut batch = set_up(&base, &expected, copies);
        // In `dual`, tokens are so much likelier than before that some cost the most that they may.
        for (name, temperature) in [("grpo", 1.0), ("cooled", 0.7), ("dual", 1.0)] {
            base.learner.temperature = temperature;
            hold(&reinforced(&base, &batch, &expected, name, (&base, &batch)), &expected, name, TOLERANCE);
            // The second time its pictures are known already.
            base.learner.model.see(&mut batch).expect("pictures");
        }
    }
}
