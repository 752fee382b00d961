"""Run the benchmarks, print their figures, and keep them in ``benchmarks/results/latest.json``.

A benchmark is a script ``benchmarks/bench_<group>_<claim>.py`` with ``measure() -> list[Figure]``;
its docstring begins with the claim and then says what limits it. Each runs in a process of its
own, so that threads, caches and memory of one do not touch the next.

    python benchmarks/run.py                      all of them
    python benchmarks/run.py --only books         one group; rows of other groups are kept
    python benchmarks/run.py --only books.clip    scripts bench_books_clip*.py
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks import machine, results_file  # noqa: E402
from benchmarks.figure import Figure, NotMeasurableError  # noqa: E402

EXIT_NOT_MEASURABLE = 3


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; return 0 where every script ran and every bar is reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="PREFIX", help="a group, or group.claim")
    parser.add_argument("--list", action="store_true", help="name the scripts and stop")
    parser.add_argument("--scripts", type=Path, default=HERE, help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, default=HERE / "results", help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, metavar=("SCRIPT", "INTO"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        return _measure_here(Path(options.measure[0]), Path(options.measure[1]))
    scripts = find_scripts(options.scripts, options.only)
    if options.list:
        for script in scripts:
            print(f"{name_of(script):32} {claim_of(script)}")
        return 0
    if not scripts:
        known = ", ".join(name_of(script) for script in find_scripts(options.scripts, "")) or "none"
        print(f"no benchmark begins with {options.only!r}; there are: {known}", file=sys.stderr)
        return 2
    return _run(scripts, options.results / "latest.json")


def find_scripts(folder: Path, prefix: str) -> list[Path]:
    """List the scripts whose dotted name is ``prefix`` or begins with it at a word's end."""
    scripts = sorted(folder.glob("bench_*_*.py"))
    wanted = prefix.rstrip(".")
    return [script for script in scripts if not wanted or _matches(name_of(script), wanted)]


def name_of(script: Path) -> str:
    """Return ``group.claim`` of ``bench_group_claim.py``."""
    return script.stem.removeprefix("bench_").replace("_", ".", 1)


def claim_of(script: Path) -> str:
    """Return the first line of a script's docstring, without running the script."""
    first = script.read_text(encoding="utf-8").lstrip().split("\n", 1)[0]
    return first.strip('"').strip()


def _matches(name: str, wanted: str) -> bool:
    return name == wanted or name.startswith((f"{wanted}.", f"{wanted}_"))


def _run(scripts: list[Path], latest: Path) -> int:
    here, commit = machine.describe(), machine.commit()
    rows: list[results_file.Row] = []
    skipped: list[str] = []
    failed: list[str] = []
    for script in scripts:
        print(f"{name_of(script)}: {claim_of(script)}", flush=True)
        figures, status = _measure_apart(script)
        rows += [_row(figure, script, commit) for figure in figures]
        if status == EXIT_NOT_MEASURABLE:
            skipped.append(name_of(script))
        elif status != 0:
            failed.append(name_of(script))
    content = results_file.merge(results_file.read(latest), rows, here)
    results_file.write(latest, content)
    _show(rows)
    for kind, names in (("not measurable here", skipped), ("failed to measure", failed)):
        if names:
            print(f"{kind}; earlier rows are kept: {', '.join(names)}", file=sys.stderr)
    missed = [row["key"] for row in rows if row["ok"] is False]
    if missed:
        print(f"below their bar: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed or failed else 0


def _measure_apart(script: Path) -> tuple[list[Figure], int]:
    """Measure in a new process; return the figures and the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "figures.json"
        command = [sys.executable, str(HERE / "run.py"), "--measure", str(script), str(into)]
        status = subprocess.call(command, cwd=ROOT)
        if status != 0:
            return [], status
        return [Figure(**row) for row in json.loads(into.read_text(encoding="utf-8"))], 0


def _measure_here(script: Path, into: Path) -> int:
    sys.path.insert(0, str(script.parent))
    try:
        figures: list[Figure] = importlib.import_module(script.stem).measure()
    except NotMeasurableError as reason:
        print(f"  {reason}", file=sys.stderr)
        return EXIT_NOT_MEASURABLE
    group = name_of(script).split(".")[0]
    foreign = [figure.key for figure in figures if figure.key.split(".")[0] != group]
    if foreign:
        print(f"{script.name} may only claim keys of {group!r}, not {foreign}", file=sys.stderr)
        return 1
    into.write_text(json.dumps([dataclasses.asdict(figure) for figure in figures]), "utf-8")
    return 0


def _row(figure: Figure, script: Path, commit: str) -> dict[str, Any]:
    return {
        "key": figure.key,
        "value": figure.value,
        "unit": figure.unit,
        "bar": figure.bar,
        "goal": figure.goal,
        "better": figure.better,
        "ok": figure.ok,
        "spread": figure.spread,
        "caveat": figure.caveat,
        "script": script.name,
        "command": f"make bench ONLY={name_of(script)}",
        "measured_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit,
    }


def _show(rows: list[results_file.Row]) -> None:
    """Print the figures as a table; words, not colours, carry the verdict."""
    verdicts = {True: "ok", False: "MISSED", None: ""}
    table = [("figure", "value", "spread", "bar", "goal", "unit", "")]
    for row in sorted(rows, key=lambda row: str(row["key"])):
        numbers = [_number(row[name]) for name in ("value", "spread", "bar", "goal")]
        sign = {"lower": "<= ", "higher": ">= ", "equal": "= "}[row["better"]]
        bar, goal = (f"{sign}{text}" if text else "" for text in numbers[2:])
        table.append((row["key"], *numbers[:2], bar, goal, row["unit"], verdicts[row["ok"]]))
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    for line in table:
        print(
            "  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip()
        )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.4g}"


if __name__ == "__main__":
    sys.exit(main())
