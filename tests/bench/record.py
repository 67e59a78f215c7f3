"""Runs the commands of a file one after the other and writes what they measured, with the machine.

    python tests/bench/record.py tests/bench/engine.txt tests/bench/results/DATE-cpu-engine.json

A command is a line of the shell that prints lines of JSON; `#` begins a comment, `python` is the Python that runs this.
What stands in the file when a run is cut off is kept. Wants nothing but Python, and what the commands want.
"""

import json
import platform
import shlex
import subprocess
import sys
from pathlib import Path


def machine() -> str:
    words = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        words.setdefault(name.strip(), value.strip())
    memory = Path("/proc/meminfo").read_text().split()[1]
    cores = sum(line.startswith("processor") for line in Path("/proc/cpuinfo").read_text().splitlines())
    return f"{cores} cores of {words.get('model name', platform.machine())}, {int(memory) >> 20} GiB"


def commands(text: str) -> list[list[str]]:
    split = (shlex.split(line, comments=True) for line in text.splitlines())
    return [words for words in split if words]


def run(words: list[str]) -> list[dict]:
    print("+", shlex.join(words), file=sys.stderr, flush=True)
    words = [sys.executable if word == "python" else word for word in words]
    said = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True).stdout
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def main() -> None:
    _, listed, out = sys.argv
    result = {"machine": machine(), "runs": []}
    for words in commands(Path(listed).read_text()):
        result["runs"].append({"command": shlex.join(words), "figures": run(words)})
        Path(out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
