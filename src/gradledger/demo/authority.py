"""The policies of the demonstration: why a refusal, and what a successor would change."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from gradledger.query import Answer, diff_policies, explain_example

if TYPE_CHECKING:
    from gradledger.demo.data import DemoData
    from gradledger.demo.main import Demonstration

_MAX_TRANSITIONS: Final = 8


def strict_policy_path() -> Path:
    """Return the path of the stricter successor of the demo's policy."""
    with as_file(files("gradledger.demo").joinpath("policy-strict.yaml")) as path:
        return path


def refused_example(data: DemoData) -> int:
    """Return the first example that was denied, or else not admitted."""
    verdicts = [decision.verdict for decision in data.decisions]
    return verdicts.index("deny") if "deny" in verdicts else int(len(verdicts) - 1)


def why_refused(done: Demonstration) -> Answer:
    """Explain one refusal: the rules that hold or could not be known, and the class."""
    answer = explain_example(done.run_dir, refused_example(done.data))
    rules = answer.table("rules")
    truth = [column.name for column in rules.columns].index("truth")
    told = tuple(row for row in rules.rows if row[truth] != "false")
    title = f"{rules.title} that are not false ({len(rules.rows) - len(told)} are)"
    return replace(answer, tables=(replace(rules, rows=told, title=title),), notes=answer.notes[:1])


def what_successor_changes(data: DemoData, now: datetime) -> Answer:
    """Decide all windows by the successor as well; keep the counts and the largest changes."""
    with TemporaryDirectory() as folder:
        table = Path(folder) / "windows.jsonl"
        names = list(data.columns)
        windows = zip(*data.columns.values(), strict=True)
        lines = (json.dumps(dict(zip(names, window, strict=True))) for window in windows)
        table.write_text("\n".join(lines), encoding="utf-8")
        answer = diff_policies(data.policy_path, strict_policy_path(), table, now)
    transitions = answer.table("transitions")
    rows = transitions.rows[:_MAX_TRANSITIONS]
    tables = (answer.table("verdicts"), replace(transitions, rows=rows))
    return replace(answer, tables=tables, notes=answer.notes[:1])
