"""Keeps what the table of the findings needs of the reports of `tests/findings/run`, and makes the table and the plot.

    python3 tests/findings/table.py RESULTS [OUT]

OUT is a folder of `run`; each of its reports becomes a small file in RESULTS (which questions were right, in which was
searched), beside those of other seeds and machines. Then RESULTS/findings.md, findings.json and findings.svg are
written of all that is there. Wants nothing but Python.
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


QUESTIONS = "questions.json"
# What `run` wrote of the base and the recipes.
MEASURED = "measured"
FIELDS = ("id", "search", "flags", "hops")


def keep(out, results):
    """Keeps the reports in `out`: a digit a question. All have to be about the same questions, base and recipes."""
    results.mkdir(parents=True, exist_ok=True)
    measured, ours = (folder / MEASURED for folder in (out, results))
    if not measured.exists():
        raise SystemExit(f"{measured}: is not there; name a folder that tests/findings/run has filled")
    if not ours.exists() and (results / "base.json").exists() or ours.exists() and ours.read_text() != measured.read_text():
        raise SystemExit(f"{results} holds results of another base or of other recipes than {out}; clear it first")
    ours.write_text(measured.read_text())
    # Data sets have a report.json, too.
    for path in [out / "base/report.json", *sorted(out.glob("eval-*/report.json"))]:
        kept = {}
        for part in json.loads(path.read_text())["workflows"]:
            rows = sorted(part["rows"], key=lambda row: row["id"])
            agree(results / QUESTIONS, [[row[field] for field in FIELDS] for row in rows])
            digits = lambda holds: "".join(str(int(holds(row))) for row in rows)
            kept[part["workflow"]] = {
                "right": digits(lambda row: row["right"]),
                "searched": digits(lambda row: bool(row["steps"])),
            }
        (results / f"{path.parent.name}.json").write_text(json.dumps(kept, indent=1) + "\n")


def agree(path, questions):
    if not path.exists():
        lines = ",\n".join(json.dumps(question) for question in questions)
        path.write_text(f"[\n{lines}\n]\n")
    if json.loads(path.read_text()) != questions:
        raise SystemExit(f"{path}: these are other questions than those of the reports")


def load(path, workflow="agent"):
    """The rows of a kept report by question."""
    questions = json.loads((path.parent / QUESTIONS).read_text())
    digits = json.loads(path.read_text())[workflow]
    return {
        question[0]: dict(zip(FIELDS, question)) | {"right": right == "1", "searched": searched == "1"}
        for question, right, searched in zip(questions, digits["right"], digits["searched"], strict=True)
    }


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
    return row["searched"]


def several(values, unit=""):
    """Mean, and the range where there are several."""
    mean = statistics.fmean(values)
    if len(values) == 1:
        return f"{mean:.1f}{unit}"
    return f"{mean:.1f}{unit} ({min(values):.1f} to {max(values):.1f})"


def findings(results):
    base = {name: load(results / "base.json", name) for name in ("direct", "rag", "agent")}
    seeds = [name for name in map(str, range(1, 100)) if (results / f"eval-rl-{name}.json").exists()]
    # An ablation stands beside the runs of its own seeds; there may be fewer of them.
    ablated = {
        kind: [seed for seed in seeds if (results / f"eval-rl-{seed}-{kind}.json").exists()]
        for kind in ("whole", "once")
    }
    reports = lambda name, seeds: [load(results / f"{name.format(seed)}.json") for seed in seeds]
    rl, sft = reports("eval-rl-{}", seeds), reports("eval-sft-{}", seeds)
    runs = {kind: reports("eval-rl-{}-" + kind, some) for kind, some in ablated.items()}
    beside = lambda kind: [rl[seeds.index(seed)] for seed in ablated[kind]]
    points = lambda pair: f"{pair[0]:+.1f} ± {pair[1]:.1f}"
    spread = max(map(share, rl)) - min(map(share, rl))
    gains = ", ".join(f"{share(ours) - share(theirs):+.1f}" for ours, theirs in zip(rl, sft))
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
        ("RL over SFT", "+0.90", f"{points(difference(rl, sft))} (by seed {gains}); seeds of RL lie {spread:.1f} apart",
         "above the spread"),
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
    results = Path(sys.argv[1])
    for out in sys.argv[2:]:
        keep(Path(out), results)
    found = findings(results)
    (results / "findings.md").write_text(markdown(found))
    (results / "findings.json").write_text(json.dumps(found, indent=1) + "\n")
    (results / "findings.svg").write_text(plot(found["right"]))
    print(markdown(found), end="")


main()
