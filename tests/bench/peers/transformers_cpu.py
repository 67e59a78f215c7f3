"""Tokens per second of transformers on the CPU, for the shape that `loupe bench decode --model random:3b` measures.

    python transformers_cpu.py [--context 64] [--steps 12] [--threads 2]

Wants torch and transformers. Weights are random and bf16; the cache is the default one. Prints one line of JSON.
"""

import argparse
import json
import statistics
import time

import torch
import transformers
from transformers import Qwen2Config, Qwen2ForCausalLM


def model_3b() -> Qwen2ForCausalLM:
    """The language model of Qwen2.5-VL 3B: that of Qwen2.5 3B, whose decoding does the same work per token."""
    config = Qwen2Config(
        vocab_size=151_936, hidden_size=2048, intermediate_size=11_008, num_hidden_layers=36,
        num_attention_heads=16, num_key_value_heads=2, tie_word_embeddings=True,
        max_position_embeddings=128_000,
    )
    with torch.device("meta"):
        model = Qwen2ForCausalLM(config)
    model = model.to(torch.bfloat16).to_empty(device="cpu").eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    for name, buffer in model.named_buffers():
        if name.endswith("inv_freq"):
            buffer.copy_(1.0 / 1e6 ** (torch.arange(0, 128, 2) / 128))
    model.tie_weights()
    return model


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = model_3b()
    ids = torch.randint(0, 151_936, (1, args.context))
    times = []
    with torch.inference_mode():
        out = model(ids, use_cache=True)
        for _ in range(args.steps):
            started = time.perf_counter()
            token = out.logits[:, -1:].argmax(-1)
            out = model(token, past_key_values=out.past_key_values, use_cache=True)
            times.append(time.perf_counter() - started)
    step = statistics.median(times)
    print(json.dumps({
        "peer": f"transformers {transformers.__version__}, torch {torch.__version__}", "weights": "bf16",
        "context": args.context, "step_ms": step * 1e3, "tokens_per_second": 1 / step,
    }))


if __name__ == "__main__":
    main()
