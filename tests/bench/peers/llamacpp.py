"""Tokens per second of llama.cpp on the CPU, for the shape that `loupe bench decode --model random:3b` measures.

    python llamacpp.py [--weights q8_0] [--context 64] [--steps 12] [--threads 2]

Wants llama-cpp-python (built from its source), gguf and numpy. Writes a GGUF file of random weights into a temporary
folder first (3.3 GB for q8_0). Prints one line of JSON.
"""

import argparse
import json
import os
import statistics
import tempfile
import time

import gguf
import llama_cpp
import numpy as np

VOCAB, HIDDEN, INNER, LAYERS, HEADS, KV_HEADS, HEAD = 151_936, 2048, 11_008, 36, 16, 2, 128


def write(path: str) -> None:
    """The language model of Qwen2.5-VL 3B in Q8_0. One layer's random weights serve for all: what is measured does not
    depend on what they are, and each layer has its own copy in the file."""
    writer = gguf.GGUFWriter(path, "qwen2")
    for add, value in [
        (writer.add_context_length, 4096), (writer.add_embedding_length, HIDDEN),
        (writer.add_block_count, LAYERS), (writer.add_feed_forward_length, INNER),
        (writer.add_head_count, HEADS), (writer.add_head_count_kv, KV_HEADS),
        (writer.add_layer_norm_rms_eps, 1e-6), (writer.add_rope_freq_base, 1e6),
        (writer.add_tokenizer_model, "none"), (writer.add_vocab_size, VOCAB),
    ]:
        add(value)
    noise = np.random.default_rng(1)
    q8_0 = gguf.GGMLQuantizationType.Q8_0

    def matrix(rows: int, columns: int) -> np.ndarray:
        return gguf.quants.quantize(noise.standard_normal((rows, columns), dtype=np.float32) * 0.02, q8_0)

    def vector(size: int, value: float) -> np.ndarray:
        return np.full(size, value, dtype=np.float32)

    writer.add_tensor("token_embd.weight", matrix(VOCAB, HIDDEN), raw_dtype=q8_0)
    writer.add_tensor("output_norm.weight", vector(HIDDEN, 1.0))
    matrices = {
        "attn_q": (HIDDEN, HIDDEN), "attn_k": (KV_HEADS * HEAD, HIDDEN), "attn_v": (KV_HEADS * HEAD, HIDDEN),
        "attn_output": (HIDDEN, HIDDEN), "ffn_gate": (INNER, HIDDEN), "ffn_up": (INNER, HIDDEN),
        "ffn_down": (HIDDEN, INNER),
    }
    layer = {name: matrix(*shape) for name, shape in matrices.items()}
    for n in range(LAYERS):
        for name, values in layer.items():
            writer.add_tensor(f"blk.{n}.{name}.weight", values, raw_dtype=q8_0)
        for name, size in [("attn_q", HIDDEN), ("attn_k", KV_HEADS * HEAD), ("attn_v", KV_HEADS * HEAD)]:
            writer.add_tensor(f"blk.{n}.{name}.bias", vector(size, 0.0))
        for name in ["attn_norm", "ffn_norm"]:
            writer.add_tensor(f"blk.{n}.{name}.weight", vector(HIDDEN, 1.0))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", choices=["q8_0"], default="q8_0")
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", help="a GGUF file to write once and use again")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = args.keep or os.path.join(folder, "model.gguf")
        if not os.path.exists(path):
            write(path)
        model = llama_cpp.Llama(
            path, n_ctx=args.context + args.steps + 16, n_threads=args.threads, n_threads_batch=args.threads,
            verbose=False, use_mmap=False,
        )
        model.eval(list(range(1, args.context + 1)))
        times = []
        for step in range(args.steps):
            started = time.perf_counter()
            model.eval([step + 1])
            times.append(time.perf_counter() - started)
    step = statistics.median(times)
    print(json.dumps({
        "peer": f"llama-cpp-python {llama_cpp.__version__}", "weights": args.weights, "context": args.context,
        "step_ms": step * 1e3, "tokens_per_second": 1 / step,
    }))


if __name__ == "__main__":
    main()
