"""What PyTorch does on the CPU for the steps that `loupe bench train` measures.

    python pytorch_train.py MODEL [--rows 8] [--length 512] [--steps 5] [--threads 2]

Wants torch, transformers and peft; MODEL is a checkpoint folder (server/mllm/pocket). The language model alone, in f32,
random words, every token a target: forward, backward, clipping, AdamW; first every weight, then a LoRA adapter of rank
16. Prints one line of JSON each.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM

MAPS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def model_of(folder: Path) -> Qwen2ForCausalLM:
    """A decoder of the checkpoint's shape; words alone have ordinary rotary positions."""
    conf = json.loads((folder / "config.json").read_text())
    conf = conf.get("text_config", conf)
    keys = ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "max_position_embeddings"]
    config = Qwen2Config(**{key: conf[key] for key in keys}, tie_word_embeddings=True, attn_implementation="sdpa")
    return Qwen2ForCausalLM(config).float().train()


def measure(model, vocab, args) -> dict:
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)
    ids = torch.randint(0, vocab, (args.rows, args.length))
    times = []
    for _ in range(args.steps + 1):
        started = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        times.append(time.perf_counter() - started)
    seconds = statistics.median(times[1:])
    return {"rows": args.rows, "length": args.length, "trained": sum(weight.numel() for weight in trained),
            "step_ms": seconds * 1e3, "tokens_per_second": args.rows * args.length / seconds}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    peer = {"peer": f"torch {torch.__version__}, transformers {transformers.__version__}"}
    model = model_of(args.model)
    vocab = model.config.vocab_size
    print(json.dumps(peer | measure(model, vocab, args)))
    adapted = get_peft_model(model, LoraConfig(r=16, lora_alpha=16, target_modules=MAPS))
    print(json.dumps(peer | measure(adapted, vocab, args)))


if __name__ == "__main__":
    main()
