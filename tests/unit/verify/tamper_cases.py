"""What is done to a run, and what is found of it: from outside, and under a log made anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from signed_run import change_json, change_table

from gradledger.segment import read_table

Change = Callable[[Path], object]


def flip(path: Path, place: int = -40) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def swap(first: Path, second: Path) -> None:
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def set_row(row: int, **values: Any) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows[row].update(values)
        return rows

    return change


def leaves_file(run: Path) -> Path:
    (path,) = (run / "log/tile/entries/000.p").iterdir() if _partial(run) else ()
    return path


def _partial(run: Path) -> bool:
    folder = run / "log/tile/entries/000.p"
    newest = max(folder.iterdir(), key=lambda path: int(path.name))
    for path in folder.iterdir():
        if path != newest:
            path.unlink()
    return True


def _append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def _cut_commitments(path: Path) -> None:
    path.write_bytes(path.read_bytes()[32:])


def _other_state(run: Path) -> None:
    """A state whose files fit their record and whose record claims another digest."""
    change_json(run, "states/step=2/state.json", model_digest="0" * 64)


def _open_closed_block(run: Path) -> None:
    shallow = 1
    rows = read_table(run, "visits", ["decision"])["decision"].to_pylist()
    assert shallow in rows[:4]
    change_table(run, "visits", 0, set_row(rows.index(shallow), gnorm_0=0.5))


#: Done by somebody who cannot sign: name, what is done, codes of which one at least is found where.
OUTSIDE: list[tuple[str, Change, str, str]] = [
    ("byte of a segment", lambda r: flip(r / "visits/part-000001.parquet"), "V302", "visits/"),
    ("byte of a state", lambda r: flip(r / "states/step=2/model.safetensors"), "V302", "states/"),
    ("segment dropped", lambda r: (r / "books/part-000000.parquet").unlink(), "V301", "books/"),
    (
        "segment twice",
        lambda r: shutil.copy(r / "steps/part-000000.parquet", r / "steps/part-000009.parquet"),
        "V304",
        "steps/part-000009",
    ),
    (
        "segments swapped",
        lambda r: swap(r / "visits/part-000000.parquet", r / "visits/part-000001.parquet"),
        "V302",
        "visits/",
    ),
    ("segment cut", lambda r: truncate(r / "visits/part-000000.parquet"), "V302", "visits/"),
    (
        "row changed",
        lambda r: change_table(r, "visits", 0, set_row(0, example=2)),
        "V302",
        "visits/part-000000",
    ),
    ("row dropped", lambda r: change_table(r, "steps", 0, lambda rows: rows[1:]), "V302", "steps/"),
    ("leaf changed", lambda r: flip(leaves_file(r)), "V107", "log/checkpoint"),
    ("checkpoint changed", lambda r: flip(r / "log/checkpoint", 40), "V104", "log/"),
    ("policy changed", lambda r: flip(next((r / "policies").iterdir())), "V302", "policies/"),
    (
        "decision changed",
        lambda r: change_table(r, "decisions/distinct", 0, set_row(2, verdict="admit")),
        "V302",
        "decisions/distinct",
    ),
    (
        "admission record changed",
        lambda r: flip(r / "decisions/admission-0000.json"),
        "V302",
        "decisions/",
    ),
    ("begin changed", lambda r: change_json(r, "run.json", notes="other"), "V302", "run.json"),
    ("commitment changed", lambda r: flip(r / "commitments/source-000000"), "V302", "commitments/"),
    ("state removed", lambda r: shutil.rmtree(r / "states/step=4"), "V301", "states/step=4"),
    ("manifest changed", lambda r: flip(r / "manifest.json", 60), "V306", "manifest.json"),
    ("stray file", lambda r: (r / "notes.txt").write_text("x"), "V307", "notes.txt"),
]

#: Done by somebody who writes a new log over it: name, what is done, code, place.
INSIDE: list[tuple[str, Change, str, str]] = [
    (
        "step twice",
        lambda r: change_table(r, "steps", 0, lambda rows: [*rows, rows[0]]),
        "V401",
        "step 1",
    ),
    (
        "unlogged update",
        lambda r: change_table(r, "steps", 1, set_row(0, fingerprint_before="0" * 16)),
        "V402",
        "step 3",
    ),
    (
        "visit dropped",
        lambda r: change_table(r, "visits", 0, lambda rows: rows[1:]),
        "V403",
        "step 1",
    ),
    ("totals", lambda r: change_json(r, "end.json", num_visits=99), "V404", "end.json"),
    ("other format", lambda r: change_json(r, "run.json", format="other/1"), "V405", "run.json"),
    ("no settings", lambda r: change_json(r, "run.json", settings={}), "V405", "permitted weights"),
    ("no groups", lambda r: change_json(r, "run.json", groups=[]), "V502", "books"),
    (
        "line altered",
        lambda r: change_table(r, "books", 0, set_row(0, contributions_dot=1e3)),
        "V501",
        "step 1, group 0",
    ),
    (
        "book dropped",
        lambda r: change_table(r, "books", 0, lambda rows: rows[1:]),
        "V502",
        "step 1",
    ),
    (
        "imbalance",
        lambda r: change_table(r, "books", 0, set_row(1, verdict="unbalanced")),
        "V503",
        "step 1, group 1",
    ),
    (
        "verdict",
        lambda r: change_table(r, "decisions/distinct", 0, set_row(2, verdict="admit")),
        "V601",
        "row 2",
    ),
    (
        "truth",
        lambda r: change_table(r, "decisions/truths", 0, set_row(0, truth="unknown")),
        "V601",
        "truths",
    ),
    (
        "policy text",
        lambda r: _append(next((r / "policies").iterdir()), "# x\nextra: 1\n"),
        "V602",
        "policies/",
    ),
    (
        "example number",
        lambda r: change_table(r, "decisions/examples", 0, set_row(3, example=9)),
        "V603",
        "row 3",
    ),
    (
        "commitment lost",
        lambda r: _cut_commitments(r / "commitments/source-000000"),
        "V604",
        "commitments/",
    ),
    (
        "refused example",
        lambda r: change_table(r, "visits", 0, set_row(1, example=6, decision=2)),
        "V701",
        "step 1, micro-batch 0, position 1",
    ),
    ("closed block", _open_closed_block, "V702", "visits"),
    (
        "content",
        lambda r: change_table(r, "visits", 1, set_row(0, digest=bytes(32))),
        "V703",
        "step 3",
    ),
    ("model state", _other_state, "V801", "states/step=2"),
    (
        "final digest",
        lambda r: change_json(r, "end.json", final_digest="0" * 64),
        "V802",
        "end.json",
    ),
]

RECORD_CODES = {
    *(case[2] for case in (*OUTSIDE, *INSIDE)),
    *("V112", "V204", "V205", "V308", "V904", "V905", "V906", "V907"),
}
