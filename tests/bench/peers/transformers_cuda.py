"""What transformers reaches on a GPU, for the shapes that `loupe bench … --device cuda --model random:3b|random:7b`
measures: random bf16 weights, static cache, compiled decoding (CUDA graphs), SDPA attention.

    python transformers_cuda.py [--size 7b] [--batch 1,8,32,64] [--context 512] [--steps 128] [--runs 3]

Wants torch with CUDA and transformers. Prints a line of JSON for each batch, one for a prompt by itself, and one for the
time from a picture of 1,280 tokens with a question of 200 to the first token. `../gpu.py` runs this and Loupe in turns.
"""

import argparse
import json
import statistics
import time

import torch
import transformers
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

SIZES = {
    "3b": dict(
        vocab_size=151_936, hidden_size=2048, intermediate_size=11_008, num_hidden_layers=36,
        num_attention_heads=16, num_key_value_heads=2, tie_word_embeddings=True,
    ),
    "7b": dict(
        vocab_size=152_064, hidden_size=3584, intermediate_size=18_944, num_hidden_layers=28,
        num_attention_heads=28, num_key_value_heads=4, tie_word_embeddings=False,
    ),
}
# 1,280 merged tokens: 64 x 80 patches.
GRID = (1, 64, 80)
QUESTION = 200
WARM_UP = 3


def sections(text: dict) -> list[int]:
    """How many of a head's frequencies turn with time, row and column: 16, 24 and 24 of 64."""
    half = text["hidden_size"] // text["num_attention_heads"] // 2
    return [half // 4, half * 3 // 8, half * 3 // 8]


def model_of(size: str, device: str = "cuda") -> Qwen2_5_VLForConditionalGeneration:
    text = SIZES[size] | dict(
        max_position_embeddings=128_000, rms_norm_eps=1e-6, rope_theta=1e6,
        rope_scaling={"type": "default", "rope_type": "default", "mrope_section": sections(SIZES[size])},
    )
    tied = text.pop("tie_word_embeddings")
    vision = dict(
        depth=32, hidden_size=1280, intermediate_size=3420, num_heads=16, window_size=112,
        fullatt_block_indexes=[7, 15, 23, 31], out_hidden_size=text["hidden_size"], tokens_per_second=2,
    )
    config = Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, image_token_id=151_655, video_token_id=151_656,
        vision_start_token_id=151_652, vision_end_token_id=151_653, tie_word_embeddings=tied,
    )
    config._attn_implementation = "sdpa"
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        model = Qwen2_5_VLForConditionalGeneration(config).eval()
    torch.set_default_dtype(torch.float32)
    return model


def timed(model, inputs: dict, tokens: int, runs: int) -> float:
    """Median seconds of a generation of exactly so many tokens, after a warm-up that compiles."""
    settings = dict(
        max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, cache_implementation="static",
        pad_token_id=0, eos_token_id=None,
    )
    times = []
    for run in range(WARM_UP + runs):
        torch.cuda.synchronize()
        started = time.perf_counter()
        model.generate(**inputs, **settings)
        torch.cuda.synchronize()
        if run >= WARM_UP:
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def words(batch: int, count: int) -> dict:
    ids = torch.randint(0, 150_000, (batch, count), device="cuda")
    return dict(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=torch.zeros_like(ids))


def picture_and_question() -> dict:
    patches = GRID[0] * GRID[1] * GRID[2]
    picture = [151_652] + [151_655] * (patches // 4) + [151_653]
    ids = torch.tensor([picture + torch.randint(0, 150_000, (QUESTION,)).tolist()], device="cuda")
    return dict(
        input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == 151_655).int(),
        pixel_values=torch.randn(patches, 1176, device="cuda", dtype=torch.bfloat16),
        image_grid_thw=torch.tensor([GRID], device="cuda"),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SIZES, default="7b")
    parser.add_argument("--batch", default="1,8,32,64")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    model = model_of(args.size)
    peer = dict(
        peer=f"transformers {transformers.__version__}, torch {torch.__version__}", size=args.size,
        weights="bf16", device=torch.cuda.get_device_name(),
    )
    with torch.inference_mode():
        for batch in map(int, args.batch.split(",")):
            inputs = words(batch, args.context)
            # The prompt's own time cancels out.
            short, long = (timed(model, inputs, tokens, args.runs) for tokens in (1, 1 + args.steps))
            step = (long - short) / args.steps
            if batch == 1:
                print(json.dumps(peer | dict(tokens=args.context, step_ms=short * 1e3)), flush=True)
            print(json.dumps(peer | dict(
                batch=batch, context=args.context, step_ms=step * 1e3, tokens_per_second=batch / step,
            )), flush=True)
        first = timed(model, picture_and_question(), 1, args.runs)
        print(json.dumps(peer | dict(picture_tokens=1280, question_tokens=QUESTION, first_token_ms=first * 1e3)))


if __name__ == "__main__":
    main()
