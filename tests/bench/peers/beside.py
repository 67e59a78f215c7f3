"""Decoding of ours and of transformers in turns, seconds apart, so that both see the same machine.

    python beside.py [--pairs 8] [--steps 12] [--context 64] -- COMMAND

COMMAND is a `loupe bench decode … --batch 1 --json`. The model of transformers (bf16, the 3B shape) is made once and stays.
Prints one line of JSON per pair: the times of a step, what memory allowed before and after ours, and their ratio.
Wants torch and transformers.
"""

import argparse
import json
import statistics
import subprocess
import sys

import torch

from transformers_cpu import model_3b, peer, step_times


def ours(command: list[str]) -> dict:
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    return json.loads(said.splitlines()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with torch.inference_mode():
        model = model_3b(torch.bfloat16, 36)
        for _ in range(args.pairs):
            figure = ours(args.command)
            theirs = statistics.median(step_times(model, args.context, args.steps)) * 1e3
            pair = {"step_ms": figure["step_ms"], "read_limits": figure["read_limits"]}
            print(json.dumps({**pair, "peer": peer(), "peer_ms": theirs, "ratio": theirs / figure["step_ms"]}))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
