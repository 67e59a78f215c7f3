"""How far PyTorch's own gradients in bf16 (autocast) are from those in f32 that expected.safetensors has: the bounds to which
passes on a GPU are held (server/train/tests/gradients/gpu.rs).

    python bf16.py

Prints for each case the gradient in the middle and the worst, as parts of their sizes. What a token is worth in GRPO's cases is
taken from f32: rounding decides on which side of a bound many tokens are.
"""

import importlib.util
from pathlib import Path

import torch
from safetensors.torch import load_file

# Under another name: the model's own generator, which it imports, is called the same.
SPEC = importlib.util.spec_from_file_location("tune", Path(__file__).with_name("generate.py"))
tune = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tune)


def rounded(base, inputs, targets, temperature):
    with torch.autocast("cpu", torch.bfloat16):
        logits = tune.forward(base, inputs).logits[0, targets - 1].float() / temperature
    return torch.nn.functional.cross_entropy(logits, inputs["input_ids"][0, targets], reduction="none")


def main():
    expected = load_file(tune.HERE / "expected.safetensors")
    targets, advantages = expected["targets"], expected["advantages"]
    with torch.no_grad():
        base, inputs, _ = tune.opened(tune.TIED)
        inputs = inputs["several"]
    model = tune.PeftModel.from_pretrained(base, tune.HERE.parent / "qwen2_5_vl/tied/adapters/all", is_trainable=True).eval()
    weights = torch.where(torch.arange(len(targets)) % 2 == 1, 1.0, 0.5)
    slopes = {"sft": (1.0, weights / weights.sum())}
    for name, (temperature, times) in tune.CASES.items():
        with torch.no_grad(), model.disable_adapter():
            reference = tune.surprises(base, inputs, targets, temperature)
        with torch.no_grad():
            found = tune.surprises(base, inputs, targets, temperature)
        found.requires_grad_(True)
        loss = tune.grpo(found, expected[f"{name}.before"], reference, advantages, times > 1)
        slopes[name] = temperature, torch.autograd.grad(loss, found)[0]
    for name, (temperature, slope) in slopes.items():
        found = tune.gradients(model, (rounded(base, inputs, targets, temperature) * slope).sum(), name)
        apart = sorted(((grad - expected[key]).norm() / expected[key].norm()).item()
                       for key, grad in found.items() if key != f"{name}.loss")
        print(f"{name}: {apart[len(apart) // 2]:.3f} in the middle, {apart[-1]:.3f} at most")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
