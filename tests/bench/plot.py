"""Draws a result of tests/bench/results as bars: tokens a second of one sequence, by engine and weights.

    python tests/bench/plot.py tests/bench/results/2026-11-30-cpu-quads.json docs/decode-3b.svg

Wants nothing but Python. Where an engine was measured several times, the bar is the mean and the whisker the range.
"""

import json
import sys
from html import escape

WIDTH, ROW, LEFT, RIGHT = 720, 34, 230, 110
STYLE = """
  svg { font: 14px system-ui, sans-serif; color: #1c2430 }
  .bar { fill: #9aa5b4 } .ours { fill: #2f6fde } .range { stroke: currentColor; stroke-width: 1.5 }
  text { fill: currentColor } .small { font-size: 12px; opacity: .75 }
  @media (prefers-color-scheme: dark) { svg { color: #e6eaf0 } .bar { fill: #5d6877 } .ours { fill: #6ea0ff } }
"""


def decoded(result):
    """Engine, weights and tokens a second of every run that writes one sequence. What was measured of an earlier program
    lies in another folder than `target/release`."""
    for run in result["runs"]:
        words = run["command"].split()
        for figure in run["figures"]:
            if "peer" in figure:
                yield figure["peer"].split(",")[0], figure["weights"], figure["tokens_per_second"]
            elif "target/release/loupe" in words and "random:3b" in words and figure.get("batch") == 1:
                weights = words[words.index("--weights") + 1]
                yield "loupe", {"stored": "bf16"}.get(weights, weights), figure["tokens_per_second"]


def rows(result):
    found = {}
    for engine, weights, speed in decoded(result):
        found.setdefault((weights, engine), []).append(speed)
    order = sorted(found, key=lambda key: (["bf16", "q8_0", "q4_k"].index(key[0]), key[1] != "loupe"))
    return [(f"{engine}, {weights}", engine == "loupe", found[weights, engine]) for weights, engine in order]


def draw(result):
    bars = rows(result)
    most = max(max(values) for _, _, values in bars)
    height = ROW * len(bars) + 64
    scale = (WIDTH - LEFT - RIGHT) / most
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
           "<title>Tokens a second of one sequence, Qwen2.5-VL 3B shape</title>", f"<style>{STYLE}</style>",
           '<text x="0" y="18">Tokens a second of one sequence, Qwen2.5-VL 3B shape</text>']
    for at, (name, ours, values) in enumerate(bars):
        y = 34 + at * ROW
        mean = sum(values) / len(values)
        out.append(f'<text x="{LEFT - 10}" y="{y + 17}" text-anchor="end">{escape(name)}</text>')
        out.append(f'<rect class="{"ours" if ours else "bar"}" x="{LEFT}" y="{y}" width="{mean * scale:.1f}" height="24" rx="3"/>')
        if len(values) > 1:
            ends = [LEFT + value * scale for value in (min(values), max(values))]
            out.append(f'<path class="range" d="M{ends[0]:.1f} {y + 12}H{ends[1]:.1f}"/>')
        out.append(f'<text x="{LEFT + max(values) * scale + 8:.1f}" y="{y + 17}">{mean:.1f}</text>')
    out.append(f'<text class="small" x="0" y="{height - 8}">{escape(result["machine"])}</text></svg>')
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        drawn = draw(json.load(file))
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(drawn)
