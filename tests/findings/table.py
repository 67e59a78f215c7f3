"""Makes the table and the plot of the findings from the reports of `tests/findings/run`.

    python3 tests/findings/table.py OUT

writes OUT/findings.md, OUT/findings.json and OUT/findings.svg. Wants nothing but Python.
"""

import json
import statistics
import sys
from html import escape
from pathlib import Path

WIDTH, ROW, LEFT = 720, 34, 250
STYLE = """
  svg { font: 14px system-ui, sans-serif; color: #1c2430 }
  .bar { fill: #9aa5b4 } .ours { fill: #2f6fde } .seed { fill: none; stroke: currentColor; stroke-width: 1.5 }
  text { fill: currentColor } .small { font-size: 12px; opacity: .75 }
  @media (prefers-color-scheme: dark) { svg { color: #e6eaf0 } .bar { fill: #5d6877 } .ours { fill: #6ea0ff } }
"""


def load(path, workflow="agent"):
    """The rows of a report by question."""
    workflows = json.loads(path.read_text())["workflows"]
    rows = next(part["rows"] for part in workflows if part["workflow"] == workflow)
    return {row["id"]: row for row in rows}


def share(rows, keep=lambda row: True, holds=lambda row: row["right"]):
    """How many of the rows that are kept hold, in percent."""
    kept = [row for row in rows.values() if keep(row)]
    return 100 * sum(map(holds, kept)) / len(kept)


def difference(ours, theirs, keep=lambda row: True):
    """Mean over seeds and questions of ours - theirs in points, and half of its 95 % interval over the questions. Both
    are lists of runs on the same questions; one run stands beside every seed."""
    theirs = theirs * len(ours) if len(theirs) == 1 else theirs
    ids = [name for name, row in ours[0].items() if keep(row)]
    each = [
        100 * statistics.fmean(a[name]["right"] - b[name]["right"] for a, b in zip(ours, theirs)) for name in ids
    ]
    return statistics.fmean(each), 1.96 * statistics.stdev(each) / len(each) ** 0.5


def needs(row):
    return row["search"]


def free(row):
    return not row["search"]


def crowded(row):
    return row["search"] and row["flags"] >= 3


def far(row):
    return row["search"] and row["hops"] >= 2


def searched(row):
    return bool(row["steps"])


def several(values, unit=""):
    """Mean, and the range where there are several."""
    mean = statistics.fmean(values)
    if len(values) == 1:
        return f"{mean:.1f}{unit}"
    return f"{mean:.1f}{unit} ({min(values):.1f} to {max(values):.1f})"


def findings(out):
    base = {name: load(out / "base/report.json", name) for name in ("direct", "rag", "agent")}
    seeds = [name for name in map(str, range(1, 100)) if (out / f"eval-rl-{name}/report.json").exists()]
    # An ablation stands beside the runs of its own seeds; there may be fewer of them.
    ablated = {
        kind: [seed for seed in seeds if (out / f"eval-rl-{seed}-{kind}/report.json").exists()]
        for kind in ("whole", "once")
    }
    reports = lambda name, seeds: [load(out / name.format(seed) / "report.json") for seed in seeds]
    rl, sft = reports("eval-rl-{}", seeds), reports("eval-sft-{}", seeds)
    runs = {kind: reports("eval-rl-{}-" + kind, some) for kind, some in ablated.items()}
    beside = lambda kind: [rl[seeds.index(seed)] for seed in ablated[kind]]
    points = lambda pair: f"{pair[0]:+.1f} ± {pair[1]:.1f}"
    spread = max(map(share, rl)) - min(map(share, rl))
    right = [
        ("base, no tools (`direct`)", [share(base["direct"])], False),
        ("base, fixed searches (`rag`)", [share(base["rag"])], False),
        ("base as the agent", [share(base["agent"])], False),
        ("after SFT", list(map(share, sft)), True),
        ("after RL", list(map(share, rl)), True),
        ("RL, whole picture only", list(map(share, runs["whole"])), True),
        ("RL, one text search", list(map(share, runs["once"])), True),
    ]
    use = lambda some, keep: several([share(rows, keep, searched) for rows in some], " %")
    table = [
        ("right overall", "57.13", several(list(map(share, rl)), " %"), "85 %"),
        ("RL over the RAG workflow", "+21.13", points(difference(rl, [base["rag"]])), "+21.13"),
        ("RL over the untuned agent", "+8.89", points(difference(rl, [base["agent"]])), "+8.89"),
        ("parts searched over the whole picture only, scenes of three and four flags", "+1.75",
         points(difference(beside("whole"), runs["whole"], crowded)), "+5"),
        ("several text searches over one, two and three hops", "improves",
         points(difference(beside("once"), runs["once"], far)), "+5"),
        ("RL over SFT", "+0.90", f"{points(difference(rl, sft))}; seeds of RL lie {spread:.1f} apart", "above the spread"),
        ("searched where needed", "87.7 %", use(rl, needs), "95 %"),
        ("searched where not needed", "43.5 %", f"{use(rl, free)}; SFT {use(sft, free)}", "at most 10 %, below SFT"),
        ("search-free questions, RL against the base as the agent", "",
         points(difference(rl, [base["agent"]], free)), "at most 1 lost"),
        ("search-free questions, RL against the base without tools", "-9.34",
         points(difference(rl, [base["direct"]], free)), "at most 1 lost"),
    ]
    groups = [("needing a search", needs), ("search-free", free)]
    groups += [(f"{hops} hops", lambda row, hops=hops: row["search"] and row["hops"] == hops) for hops in range(4)]
    groups += [(f"{flags} flags", lambda row, flags=flags: row["search"] and row["flags"] == flags) for flags in range(1, 5)]
    detail = [
        (name, share(base["direct"], keep), share(base["rag"], keep), share(base["agent"], keep),
         statistics.fmean(share(rows, keep) for rows in sft), statistics.fmean(share(rows, keep) for rows in rl))
        for name, keep in groups
    ]
    return {"seeds": seeds, "questions": len(base["agent"]), "right": right, "findings": table, "groups": detail}


def markdown(found):
    lines = [
        f"{found['questions']} questions of the test split; seeds {', '.join(found['seeds'])}: mean, and the range of the"
        " seeds in brackets. Differences are in points, paired by question, with 95 % intervals over the questions.",
        "",
        "| finding | paper | here | asked |",
        "|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(row)} |" for row in found["findings"]]
    lines += ["", "| right | |", "|---|---|"]
    lines += [f"| {name} | {several(values, ' %')} |" for name, values, _ in found["right"]]
    lines += ["", "| right, in % | direct | rag | agent | SFT | RL |", "|---|---|---|---|---|---|"]
    lines += [f"| {name} | " + " | ".join(f"{value:.1f}" for value in values) + " |" for name, *values in found["groups"]]
    return "\n".join(lines) + "\n"


def plot(bars):
    height = ROW * len(bars) + 40
    scale = (WIDTH - LEFT - 90) / 100
    title = "Right answers on the Atlas test split, in percent"
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
           f"<title>{title}</title><style>{STYLE}</style>", f'<text x="0" y="18">{title}</text>']
    for at, (name, values, ours) in enumerate(bars):
        y, mean = 34 + at * ROW, statistics.fmean(values)
        out.append(f'<text x="0" y="{y + 16}" class="small">{escape(name.replace("`", ""))}</text>')
        out.append(f'<rect x="{LEFT}" y="{y}" width="{mean * scale:.1f}" height="22" rx="3" class="{"ours" if ours else "bar"}"/>')
        if len(values) > 1:
            out += [f'<circle cx="{LEFT + value * scale:.1f}" cy="{y + 11}" r="3.5" class="seed"/>' for value in values]
        out.append(f'<text x="{LEFT + max(values) * scale + 10:.1f}" y="{y + 16}">{mean:.1f}</text>')
    return "\n".join(out + ["</svg>"]) + "\n"


def main():
    out = Path(sys.argv[1])
    found = findings(out)
    (out / "findings.md").write_text(markdown(found))
    (out / "findings.json").write_text(json.dumps(found, indent=1) + "\n")
    (out / "findings.svg").write_text(plot(found["right"]))
    print(markdown(found), end="")


main()
