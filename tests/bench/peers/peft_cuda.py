"""What transformers and peft take on a GPU to tune an adapter, for what `loupe bench tune --device cuda --model random:3b|random:7b`
measures: rank 8 on the decoder's seven maps beside random bf16 weights, gradient checkpointing, SDPA attention, one sequence of
random words with every token a target, AdamW on the adapter in f32.

    python peft_cuda.py [--size 7b] [--length 4096] [--steps 5] [--device cuda]

Wants torch with CUDA, transformers and peft. Prints one line of JSON. `--size tiny --device cpu` shows that it runs.
"""

import argparse
import json
import statistics
import time

import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers import Qwen2_5_VLForConditionalGeneration

import transformers_cuda

TINY = dict(
    vocab_size=160_000, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
)
MAPS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


def tuned(size: str, device: str) -> Qwen2_5_VLForConditionalGeneration:
    """The model with new pairs beside its decoder's maps."""
    model = transformers_cuda.model_of(size, device)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=MAPS)).train()
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    return model


def measure(model, args: argparse.Namespace) -> dict:
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)
    ids = torch.randint(0, 150_000, (1, args.length), device=args.device)
    types = torch.zeros_like(ids)
    times = []
    for _ in range(args.steps + 1):
        started = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(args.device, torch.bfloat16):
            loss = model(input_ids=ids, labels=ids, mm_token_type_ids=types, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        # Waits for the GPU.
        loss.item()
        times.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_reserved() if args.device == "cuda" else None
    return {"length": args.length, "trained": sum(weight.numel() for weight in trained),
            "step_seconds": statistics.median(times[1:]), "peak_bytes": peak}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=["3b", "7b", "tiny"], default="7b")
    parser.add_argument("--length", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    args = parser.parse_args()
    transformers_cuda.SIZES["tiny"] = TINY
    torch.manual_seed(1)
    peer = f"transformers {transformers.__version__}, torch {torch.__version__}"
    print(json.dumps({"peer": peer, "size": args.size, **measure(tuned(args.size, args.device), args)}), flush=True)


if __name__ == "__main__":
    main()
