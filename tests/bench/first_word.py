"""How long a person waits for the first word of an answer, searches included.

    python3 tests/bench/first_word.py EVAL/questions.jsonl --search local:ATLAS [--limit 60] [--loupe target/release/loupe]

asks each question in a process of its own, one after the other, and takes the time from the event `started` to the first
`answer.delta`. Wants nothing but Python.
"""

import argparse
import json
import statistics
import subprocess
from pathlib import Path


def first_word(loupe, search, picture, question):
    """Milliseconds, or None where the run ended without an answer."""
    command = [loupe, "ask", str(picture), question, "--search", search, "--json"]
    lines = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True).stdout.splitlines()
    first = {}
    for event in map(json.loads, lines):
        first.setdefault(event["kind"], event["at"])
    if "answer.delta" not in first:
        return None
    return first["answer.delta"] - first["started"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions", type=Path)
    parser.add_argument("--search", required=True)
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--loupe", default="target/release/loupe")
    args = parser.parse_args()
    rows = map(json.loads, args.questions.read_text().splitlines())
    # The command line has no frame to draw.
    rows = [row for row in rows if not row.get("region")][: args.limit]
    times = [first_word(args.loupe, args.search, args.questions.parent / row["image"], row["question"]) for row in rows]
    answered = sorted(time for time in times if time is not None)
    if not answered:
        raise SystemExit("no question was answered; try one of them with `loupe ask`")
    print(json.dumps({
        "asked": len(times),
        "answered": len(answered),
        "median_ms": statistics.median(answered),
        "longest_ms": answered[-1],
    }))


main()
