"""Loupe and transformers in turns on one GPU.

    python tests/bench/gpu.py --out tests/bench/results/DATE-gpu-7b.json [--size 7b] [--rounds 2] [--loupe target/release/loupe]

runs `loupe bench decode`, `prefill` and `picture` with random weights of that size in bf16, then
`peers/transformers_cuda.py` with the same shapes, and so on, and writes what each gave with its median and their ratio; then
`loupe bench tune` beside `peers/peft_cuda.py` in the same way.
Wants a GPU, Loupe built with `--features cuda`, and what the peer wants in this Python. `gpu_test.py` holds the merging.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
from pathlib import Path

from record import run

PEERS = Path(__file__).parent / "peers"
# What is compared: the number that is measured, and whether more of it is better.
MORE_IS_BETTER = {"tokens_per_second": True, "first_token_ms": False, "step_ms": False, "step_seconds": False}
# How much better Loupe is meant to be.
GOALS = {"decode, 1 at once": 1.2, "picture": 1.3}


def figure(line: dict) -> tuple[str, str] | None:
    """What a line of either side tells, and the number that counts; none where it is no figure."""
    if "batch" in line:
        return f"decode, {line['batch']} at once", "tokens_per_second"
    if "picture_tokens" in line:
        return "picture", "first_token_ms"
    if "step_seconds" in line:
        return f"tune, {line['length']} tokens", "step_seconds"
    if "tokens" in line:
        return f"prefill, {line['tokens']} tokens", "step_ms"
    return None


def merge(sides: dict[str, list[dict]]) -> list[dict]:
    """Each figure that both sides gave, with all their numbers in the order in which they were measured."""
    numbers: dict[str, dict[str, list[float]]] = {}
    units = {}
    for side, lines in sides.items():
        for line in lines:
            if found := figure(line):
                what, unit = found
                units[what] = unit
                numbers.setdefault(what, {}).setdefault(side, []).append(line[unit])
    merged = []
    for what, by_side in numbers.items():
        if set(by_side) != set(sides):
            continue
        unit = units[what]
        ours, theirs = (statistics.median(by_side[side]) for side in ("loupe", "transformers"))
        times = ours / theirs if MORE_IS_BETTER[unit] else theirs / ours
        row = dict(figure=what, unit=unit, **by_side, times_better=round(times, 3))
        if what in GOALS:
            row |= dict(goal=GOALS[what], reached=times >= GOALS[what])
        merged.append(row)
    return merged


def commands(args: argparse.Namespace) -> dict[str, list[list[str]]]:
    """What a round of each side runs."""
    bench = [args.loupe, "bench"]
    ours = ["--model", f"random:{args.size}", "--device", args.device, "--json"]
    decode = ["--batch", args.batch, "--context", str(args.context), "--steps", str(args.steps)]
    tune = ["--length", str(args.length), "--steps", str(args.tune_steps)]
    theirs = {peer: ["python", str(PEERS / peer), "--size", args.size] for peer in ["transformers_cuda.py", "peft_cuda.py"]}
    return {
        "loupe": [
            bench + ["decode"] + ours + decode,
            bench + ["prefill"] + ours + ["--tokens", str(args.context)],
            bench + ["picture"] + ours,
            bench + ["tune"] + ours + tune,
        ],
        "transformers": [theirs["transformers_cuda.py"] + decode, theirs["peft_cuda.py"] + tune],
    }


def machine() -> str:
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    gpus = subprocess.run(query, stdout=subprocess.PIPE, check=True, text=True).stdout.strip().splitlines()
    return f"{'; '.join(gpus)} (driver), {os.cpu_count()} cores, {platform.machine()}"


def line_of(row: dict) -> str:
    goal = f"; goal {row['goal']}, {'reached' if row['reached'] else 'missed'}" if "goal" in row else ""
    numbers = f"{row['loupe']} against {row['transformers']}"
    return f"{row['figure']}: {row['times_better']:.2f} times as good ({row['unit']}: {numbers}){goal}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", choices=["3b", "7b"], default="7b")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch", default="1,8,32,64")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--length", type=int, default=4096, help="tokens of a step of tuning")
    parser.add_argument("--tune-steps", type=int, default=5)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--loupe", default="target/release/loupe")
    args = parser.parse_args()
    sides = commands(args)
    said: dict[str, list[dict]] = {side: [] for side in sides}
    shown = [" ".join([Path(command[0]).name, *command[1:]]) for side in sides.values() for command in side]
    result = dict(
        machine=machine(), model=f"random:{args.size}", weights="bf16", rounds=args.rounds, commands=shown,
        peer=None, figures=[], lines=said,
    )
    for _ in range(args.rounds):
        for side, in_turn in sides.items():
            for command in in_turn:
                said[side] += run(command)
                # What a run that is cut off has measured stays.
                result["peer"] = next((line["peer"] for line in said["transformers"]), None)
                result["figures"] = merge(said)
                args.out.write_text(json.dumps(result, indent=1) + "\n")
    for row in result["figures"]:
        print(line_of(row))


if __name__ == "__main__":
    main()
