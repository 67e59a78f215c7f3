"""Puts random LoRA adapters on the checkpoints of generate.py, with what peft computes with them.

    pip install -r requirements.txt && python adapters.py
    python adapters.py --check tied/adapters/all FOLDER

Each folder `<checkpoint>/adapters/<name>` is an adapter as peft saves it, with beside it:
  expected.safetensors, per conversation c: c.logits [8, vocab] of the prompt's last tokens, c.generated [40]
The adapters:
  all      every linear map of the decoder; rank 4, alpha 8; its targets are a regular expression, as LLaMA-Factory's are
  rslora   queries and values, scaled by alpha over the root of the rank; bf16 numbers
  vision   maps of the vision tower too; ranks and alphas that differ by module
Computed in f32 on the CPU as in generate.py. `--check` loads an adapter that another program wrote into peft and holds
its logits against those of the golden adapter it is a copy of.
"""

import argparse
import shutil
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from generate import CONVERSATIONS, HERE, TIED, UNTIED, config, forward, greedy, inputs_of, load

CASES = ["words", "several"]
SCORED = 8
EVERY = r".*\.language_model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"
ADAPTERS = {
    "all": (1010, torch.float32, dict(r=4, lora_alpha=8, target_modules=EVERY)),
    "rslora": (1021, torch.bfloat16, dict(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"], use_rslora=True)),
    "vision": (10320, torch.float32, dict(
        r=4, lora_alpha=8, target_modules=["qkv", "attn.proj", "mlp.0", "down_proj", "k_proj"],
        rank_pattern={"down_proj": 2, "layers.1.self_attn.k_proj": 3}, alpha_pattern={"qkv": 3, "k_proj": 5})),
}


def opened(spec):
    """A checkpoint's model, and its conversations as inputs."""
    folder = HERE / spec["name"]
    tok = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), clean_up_tokenization_spaces=False,
                                  eos_token="<|im_end|>", pad_token="<|endoftext|>")
    low, high = spec["pixels"]
    processor = Qwen2VLImageProcessorPil(min_pixels=low, max_pixels=high)
    model = load(config(spec, tok), folder)
    inputs = {case: inputs_of(CONVERSATIONS[case], tok, processor, folder) for case in CASES}
    known = load_file(folder / "expected.safetensors")
    for case, out in inputs.items():
        assert torch.equal(out["input_ids"][0], known[f"{case}.input_ids"]), case
        torch.testing.assert_close(forward(model, out).logits[0], known[f"{case}.logits"], rtol=0, atol=1e-4)
    return model, inputs, known


def fill(adapted, seed, dtype):
    """Random numbers large enough to change what is written, as they read back from `dtype`."""
    gen = torch.Generator().manual_seed(seed)
    for name, weight in adapted.named_parameters():
        if "lora_" in name:
            scale = 0.5 if "lora_A" in name else 0.12
            weight.copy_((torch.randn(weight.shape, generator=gen) * scale / weight.shape[1] ** 0.5).to(dtype))


def logits_of(model, out):
    return forward(model, out).logits[0, -SCORED:]


def make(spec, name):
    seed, dtype, lora = ADAPTERS[name]
    model, inputs, known = opened(spec)
    adapted = get_peft_model(model, LoraConfig(**lora)).eval()
    fill(adapted, seed, dtype)
    folder = HERE / spec["name"] / "adapters" / name
    shutil.rmtree(folder, ignore_errors=True)
    expected = {}
    for case, out in inputs.items():
        logits, generated = logits_of(model, out), greedy(model, out)
        assert not torch.equal(generated, known[f"{case}.generated"]), "it changes too little"
        expected |= {f"{case}.logits": logits.contiguous(), f"{case}.generated": generated.contiguous()}
    adapted.base_model.model.config._name_or_path = f"golden/{spec['name']}"
    for lora_config in adapted.peft_config.values():
        lora_config.base_model_name_or_path = f"golden/{spec['name']}"
    adapted.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink()
    weights = folder / "adapter_model.safetensors"
    save_file({key: value.to(dtype).contiguous() for key, value in load_file(weights).items()}, weights,
              metadata={"format": "pt"})
    save_file(expected, folder / "expected.safetensors")


def check(golden, written):
    """Holds an adapter that another program wrote against the golden one that it copies."""
    spec = {"tied": TIED, "untied": UNTIED}[golden.parts[0]]
    model, inputs, _ = opened(spec)
    adapted = PeftModel.from_pretrained(model, written).eval()
    expected = load_file(HERE / golden / "expected.safetensors")
    for case, out in inputs.items():
        apart = (logits_of(model, out) - expected[f"{case}.logits"]).abs().max() / expected[f"{case}.logits"].abs().max()
        print(f"{case}: {apart:.1e}")
        assert apart < 1e-5, "peft computes something else with it"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", nargs=2, type=Path, metavar=("GOLDEN", "FOLDER"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    if arguments.check:
        check(*arguments.check)
    else:
        for spec, names in [(TIED, ADAPTERS), (UNTIED, ["all"])]:
            for name in names:
                make(spec, name)
