"""Questions that a model gets wrong, and as many that it gets right: groups whose rollouts all do equally well teach
GRPO nothing.

    python3 tests/findings/harder.py QUESTIONS REPORT OUT

reads a data set's questions.jsonl and the folder of a report about all of them. Wants nothing but Python.
"""

import json
import sys
from pathlib import Path


def main():
    questions, report, out = map(Path, sys.argv[1:])
    (part,) = json.loads((report / "report.json").read_text())["workflows"]
    right = {row["id"]: row["right"] for row in part["rows"]}
    lines = questions.read_text().splitlines()
    wrong = sum(not verdict for verdict in right.values())
    kept, known = [], 0
    for line in lines:
        is_right = right[json.loads(line)["id"]]
        known += is_right
        if not is_right or known <= wrong:
            kept.append(line)
    out.write_text("\n".join(kept) + "\n")
    print(f"{wrong} of {len(lines)} wrong; {len(kept)} questions kept", file=sys.stderr)


main()
