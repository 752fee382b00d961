"""Write ``benchmarks/results/leaderboard.md`` from the figures that were measured.

    python benchmarks/leaderboard.py

Nothing in it is typed by hand: rows are those of ``bench_predict_peers`` in ``latest.json``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks import results_file  # noqa: E402

PREFIX = "predict.peers_"
#: Heading of every size of removals.
SIZES = {
    "rm1": "1 %",
    "rm5": "5 %",
    "rm20": "20 %",
    "half": "half",
    "top50": "top 50 [nats]",
}


def page(figures: Sequence[dict[str, Any]]) -> str:
    """Return the table of all methods, best at 1 % first, as Markdown.

    Args:
        figures: Rows of ``latest.json``.

    Raises:
        ValueError: No method was measured.
    """
    methods: dict[str, dict[str, dict[str, Any]]] = {}
    for row in figures:
        name, _, size = str(row["key"]).removeprefix(PREFIX).rpartition("_")
        if str(row["key"]).startswith(PREFIX) and size in SIZES:
            methods.setdefault(name, {})[size] = row
    if not methods:
        message = "no figures of methods: run make bench ONLY=predict.peers first"
        raise ValueError(message)

    def first(item: tuple[str, dict[str, dict[str, Any]]]) -> float:
        row = item[1].get("rm1")
        return -float(row["value"]) if row else 0.0

    lines = [
        "# Attribution on a recorded trajectory",
        "",
        "Rank correlation (Spearman, mean over queries) of predicted and executed change of a",
        "query's loss when random examples are removed, and the executed rise of that loss when",
        "the 50 examples go that a method blames most. Higher is better. Made by",
        "`benchmarks/leaderboard.py`.",
        "",
        "| method | " + " | ".join(SIZES.values()) + " |",
        "|---|" + "---|" * len(SIZES),
    ]
    for name, rows in sorted(methods.items(), key=first):
        label = next((str(row["caveat"]) for row in rows.values() if row.get("caveat")), name)
        cells = [f"{rows[size]['value']:.3f}" if size in rows else "" for size in SIZES]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    sample = next(iter(next(iter(methods.values())).values()))
    lines += [
        "",
        f"Measured {sample['measured_at']} with `{sample['command']}`, {sample['commit']}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page; return 0, or 1 where there is nothing to write."""
    latest = ROOT / "benchmarks" / "results" / "latest.json"
    try:
        text = page(results_file.read(latest).get("figures", []))
    except ValueError as reason:
        print(reason, file=sys.stderr)
        return 1
    latest.with_name("leaderboard.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
