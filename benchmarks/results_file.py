"""The file of latest figures: what a partial run replaces and what it keeps."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def merge(old: dict[str, Any], rows: list[Row], machine: dict[str, Any]) -> dict[str, Any]:
    """Put freshly measured rows in the place of the earlier ones of the same scripts.

    Rows of scripts that did not run stay. The machine at the top is the one of all rows that name
    none; rows from a machine with a GPU, or from another machine than the last, name their own.

    Args:
        old: The file as it was, or ``{}``.
        rows: New rows; each names its ``script``.
        machine: Where the new rows were measured.

    Raises:
        ValueError: Two scripts claim one key.
    """
    measured = {row["script"] for row in rows}
    kept = [dict(row) for row in old.get("figures", []) if row["script"] not in measured]
    fresh = [dict(row) for row in rows]
    top = old.get("machine", machine)
    if machine["gpu"]:
        for row in fresh:
            row["machine"] = machine
    elif top != machine:
        for row in kept:
            row.setdefault("machine", top)
        top = machine
    figures = sorted(kept + fresh, key=lambda row: str(row["key"]))
    for first, second in pairwise(figures):
        if first["key"] == second["key"]:
            message = f"{first['key']} is claimed by {first['script']} and {second['script']}"
            raise ValueError(message)
    return {"machine": top, "figures": figures}


def read(path: Path) -> dict[str, Any]:
    """Read the file; ``{}`` where there is none."""
    if not path.exists():
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write(path: Path, content: dict[str, Any]) -> None:
    """Write the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(content, indent=1, allow_nan=True) + "\n", encoding="utf-8")
    draft.replace(path)
