"""What transformers does on the CPU, for the shapes that `loupe bench decode|prefill|vision` measures.

    python transformers_cpu.py decode  [--context 64] [--steps 12] [--threads 2]
    python transformers_cpu.py prefill [--tokens 256] [--layers 36] [--runs 3]
    python transformers_cpu.py vision  [--blocks 32] [--grid 32,40] [--runs 3]

Wants torch and transformers. Weights are random: bf16 for decode, f32 for the others; the cache is the default one.
Prints one line of JSON.
"""

import argparse
import json
import statistics
import time

import torch
import transformers
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as vl
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig


def with_random_weights(make, dtype, inverse_frequencies):
    """A model whose weights are made in their dtype, without a copy in f32 first."""
    with torch.device("meta"):
        model = make()
    model = model.to(dtype).to_empty(device="cpu").eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    for name, buffer in model.named_buffers():
        if name.endswith("inv_freq"):
            buffer.copy_(inverse_frequencies)
    return model


def model_3b(dtype, layers) -> Qwen2ForCausalLM:
    """The language model of Qwen2.5-VL 3B: that of Qwen2.5 3B, which does the same work per token."""
    config = Qwen2Config(
        vocab_size=151_936, hidden_size=2048, intermediate_size=11_008, num_hidden_layers=layers,
        num_attention_heads=16, num_key_value_heads=2, tie_word_embeddings=True,
        max_position_embeddings=128_000,
    )
    model = with_random_weights(
        lambda: Qwen2ForCausalLM(config), dtype, 1.0 / 1e6 ** (torch.arange(0, 128, 2) / 128)
    )
    model.tie_weights()
    return model


def step_times(model, context: int, steps: int) -> list[float]:
    """Seconds that each greedy token takes after `context` of them."""
    ids = torch.randint(0, 151_936, (1, context))
    times = []
    out = model(ids, use_cache=True)
    for _ in range(steps):
        started = time.perf_counter()
        token = out.logits[:, -1:].argmax(-1)
        out = model(token, past_key_values=out.past_key_values, use_cache=True)
        times.append(time.perf_counter() - started)
    return times


def decode(args) -> dict:
    model = model_3b(torch.bfloat16, 36)
    step = statistics.median(step_times(model, args.context, args.steps))
    return {"weights": "bf16", "context": args.context, "step_ms": step * 1e3, "tokens_per_second": 1 / step}


def timed(runs, run) -> float:
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def prefill(args) -> dict:
    model = model_3b(torch.float32, args.layers)
    ids = torch.randint(0, 151_936, (1, args.tokens))
    # Scores of the last token only, as when a turn begins.
    seconds = timed(args.runs, lambda: model(ids, use_cache=True, logits_to_keep=1))
    return {
        "weights": "f32", "layers": args.layers, "tokens": args.tokens, "step_ms": seconds * 1e3,
        "tokens_per_second": args.tokens / seconds,
    }


def vision(args) -> dict:
    config = Qwen2_5_VLVisionConfig(
        depth=args.blocks, hidden_size=1280, intermediate_size=3420, num_heads=16, out_hidden_size=2048,
        window_size=112, fullatt_block_indexes=[7, 15, 23, 31], tokens_per_second=2,
    )
    tower = with_random_weights(
        lambda: vl.Qwen2_5_VisionTransformerPretrainedModel._from_config(config), torch.float32,
        1.0 / 1e4 ** (torch.arange(0, 40, 2) / 40),
    )
    rows, columns = (2 * int(side) for side in args.grid.split(","))
    patches = torch.randn(rows * columns, 1176)
    grid = torch.tensor([[1, rows, columns]])
    seconds = timed(args.runs, lambda: tower(patches, grid_thw=grid))
    return {"weights": "f32", "blocks": args.blocks, "tokens": rows * columns // 4, "look_ms": seconds * 1e3}


def peer() -> str:
    return f"transformers {transformers.__version__}, torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["decode", "prefill", "vision"])
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--layers", type=int, default=36)
    parser.add_argument("--blocks", type=int, default=32)
    parser.add_argument("--grid", default="32,40")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with torch.inference_mode():
        figure = {"decode": decode, "prefill": prefill, "vision": vision}[args.what](args)
    print(json.dumps({"peer": peer(), **figure}))


if __name__ == "__main__":
    main()
