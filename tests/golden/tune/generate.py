"""Losses of fine-tuning and of GRPO with their gradients, by PyTorch and peft.

    pip install -r requirements.txt && python generate.py

The model is the checkpoint `tied` of ../qwen2_5_vl with its adapter `all`, the conversation `several` (three pictures).
  targets [n]       tokens that count, by their place in input_ids; odd ones weigh 1, the others 0.5
  advantages [n]    of each of them, for GRPO
  sft.loss, sft.<PEFT's key>      the weighted mean of their surprises
  grpo.loss, grpo.<PEFT's key>    the mean of -min(r A, clip(r, 0.8, 1.2) A), at most -3 A, + 0.05 min(k3, 10) against the model without adapter
  grpo.before [n]                 their surprise when they were generated: what the model says now, moved at random
  cooled.loss and so on           the same with logits divided by 0.7
  dual.loss and so on             the same as grpo with the tokens moved so far that some cost the most that they may, -3 A
Everything in f32 on the CPU.
"""

import sys
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "qwen2_5_vl"))

from adapters import opened  # noqa: E402
from generate import TIED, forward  # noqa: E402

CLIP, KL, FARTHEST, COSTLIEST, COUNT = 0.2, 0.05, 10, 3, 40
# Temperature, and how many times as far the tokens are moved.
CASES = {"grpo": (1.0, 1), "cooled": (0.7, 1), "dual": (1.0, 6)}


def surprises(model, inputs, targets, temperature=1.0):
    logits = forward(model, inputs).logits[0, targets - 1] / temperature
    return torch.nn.functional.cross_entropy(logits, inputs["input_ids"][0, targets], reduction="none")


def gradients(model, loss, name):
    model.zero_grad()
    loss.backward()
    found = {f"{name}.{key.replace('.default', '')}": weight.grad.clone()
             for key, weight in model.named_parameters() if "lora_" in key}
    return found | {f"{name}.loss": loss.detach().reshape(1)}


def grpo(found, before, reference, advantages, is_dual):
    ratio = (before - found).exp()
    bounded = ratio.clamp(1 - CLIP, 1 + CLIP)
    clipped = (ratio * advantages > bounded * advantages).sum()
    assert 3 < clipped < COUNT - 3, "both sides of the clip have to be seen"
    distance = found - reference
    # As verl bounds it.
    k3 = distance.exp() - distance - 1
    far = (k3 > FARTHEST).sum()
    assert 3 < far < COUNT - 3, "both sides of the bound have to be seen"
    # Dual-clip PPO, as in verl.
    lost = -torch.min(ratio * advantages, bounded * advantages)
    costliest = -COSTLIEST * advantages
    bound = (advantages < 0) & (lost > costliest)
    assert bool(bound.any()) == is_dual and not bound.all(), "the bound is seen where it is meant to be"
    lost = torch.where(advantages < 0, torch.min(lost, costliest), lost)
    return (KL * k3.clamp(max=FARTHEST) + lost).mean()


def main():
    with torch.no_grad():
        base, inputs, _ = opened(TIED)
        inputs = inputs["several"]
    image = base.config.image_token_id
    # peft changes `base` in place, so that is what is run.
    model = PeftModel.from_pretrained(base, HERE.parent / "qwen2_5_vl/tied/adapters/all", is_trainable=True).eval()
    ids = inputs["input_ids"][0]
    words = [at for at in range(1, len(ids)) if ids[at] != image]
    targets = torch.tensor(words[-COUNT:])
    gen = torch.Generator().manual_seed(20261125)
    advantages = torch.randn(COUNT, generator=gen)
    moved = 0.25 * torch.randn(COUNT, generator=gen)
    weights = torch.where(torch.arange(COUNT) % 2 == 1, 1.0, 0.5)
    found = surprises(base, inputs, targets)
    out = gradients(model, (found * weights).sum() / weights.sum(), "sft")
    for name, (temperature, times) in CASES.items():
        with torch.no_grad(), model.disable_adapter():
            reference = surprises(base, inputs, targets, temperature)
        found = surprises(base, inputs, targets, temperature)
        before = found.detach() + times * moved
        out |= gradients(model, grpo(found, before, reference, advantages, times > 1), name)
        out[f"{name}.before"] = before
    out |= dict(targets=targets, advantages=advantages)
    save_file({key: value.contiguous() for key, value in out.items()}, HERE / "expected.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
