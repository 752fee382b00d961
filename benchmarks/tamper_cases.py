"""Rows, segments, leaves, states, checkpoints: dropped, doubled, swapped, reordered, moved.

Each case is one change to a closed, signed run, the finding codes of which one must name the place,
and that place. Whoever does it can write every file and has no key; who has the key is in
``bench_log_tampering.py``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gradledger.merkle import decode_bundle, encode_bundle

#: The run, and another of the same shape, signed by the same key.
Change = Callable[[Path, Path], object]
Rows = list[dict[str, Any]]
Leaves = list[bytes]


@dataclass(frozen=True)
class Case:
    """One change.

    Attributes:
        what: What is done.
        change: Does it.
        codes: One of these must be found.
        place: Part of its place.
    """

    what: str
    change: Change
    codes: frozenset[str]
    place: str


def cases() -> list[Case]:
    """Return all cases."""
    return [*_rows(), *_segments(), *_leaves(), *_states(), *_checkpoints()]


def _case(what: str, change: Change, codes: str, place: str) -> Case:
    return Case(what, change, frozenset(codes.split()), place)


def _rows() -> list[Case]:
    found = []
    for table, named in (("visits", "V403"), ("steps", "V401 V403"), ("books", "V502")):
        name = f"{table}/part-000000.parquet"
        for what, change, codes, place in (
            ("dropped", lambda rows, _: rows[1:], named, table),
            ("doubled", lambda rows, _: [rows[0], *rows], named, table),
            ("swapped", lambda rows, _: [rows[-1], *rows[1:-1], rows[0]], "V302", name),
            ("reordered", lambda rows, _: rows[::-1], "V302", name),
            ("moved from another run", lambda rows, other: [other[0], *rows[1:]], "V302", name),
        ):
            found.append(_case(f"row of {table} {what}", _in_rows(name, change), codes, place))
    return found


def _in_rows(name: str, change: Callable[[Rows, Rows], Rows]) -> Change:
    def apply(run: Path, other: Path) -> None:
        mine, theirs = pq.read_table(run / name), pq.read_table(other / name)
        rows = change(mine.to_pylist(), theirs.to_pylist())
        pq.write_table(pa.Table.from_pylist(rows, schema=mine.schema), run / name)

    return apply


def _segments() -> list[Case]:
    found = []
    for table in ("visits", "steps", "books"):
        first, second, third = (f"{table}/part-00000{number}.parquet" for number in range(3))
        found += [
            _case(f"segment of {table} dropped", _drop(first), "V301", first),
            _case(f"segment of {table} doubled", _copy(first, third), "V304", third),
            _case(f"segments of {table} swapped", _swap(first, second), "V302", first),
            _case(f"segments of {table} reordered", _move_up(first, second), "V301", first),
            _case(f"segment of {table} moved from another run", _take(first), "V302", first),
        ]
    return found


def _leaves() -> list[Case]:
    listed: list[tuple[str, Callable[[Leaves, Leaves], Leaves], str]] = [
        ("dropped", lambda mine, _: [*mine[:5], *mine[6:]], "log/tile/entries/"),
        ("doubled", lambda mine, _: [*mine[:5], mine[5], *mine[5:]], "log/tile/entries/"),
        ("swapped", lambda mine, _: [*mine[:5], mine[7], mine[6], mine[5], *mine[8:]], "leaf 5"),
        ("reordered", lambda mine, _: [*mine[:3], *mine[3:9][::-1], *mine[9:]], "leaf 3"),
        ("moved from another run", lambda mine, other: [*mine[:5], other[5], *mine[6:]], "leaf 5"),
    ]
    return [
        _case(f"leaf {what}", _in_leaves(change), "V106 V201", place)
        for what, change, place in listed
    ]


def _in_leaves(change: Callable[[Leaves, Leaves], Leaves]) -> Change:
    def apply(run: Path, other: Path) -> None:
        path = _bundle(run)
        mine, theirs = (decode_bundle(p.read_bytes(), int(p.name)) for p in (path, _bundle(other)))
        path.write_bytes(encode_bundle(change(mine, theirs)))

    return apply


def _bundle(run: Path) -> Path:
    paths = (run / "log/tile/entries/000.p").iterdir()
    return max(paths, key=lambda path: int(path.name))


def _states() -> list[Case]:
    first, last = "states/step=0", "states/step=4"
    model = f"{last}/model.safetensors"
    return [
        _case("state dropped", _drop(last), "V301", last),
        _case("state doubled", _copy(last, "states/step=3"), "V307", "states/step=3"),
        _case("states swapped", _swap(first, last), "V302", first),
        _case("weights swapped", _swap(f"{first}/model.safetensors", model), "V302", model),
        _case("state moved from another run", _take(last), "V302 V801", last),
        _case("weights moved from another run", _take(model), "V302", model),
    ]


def _checkpoints() -> list[Case]:
    def size(run: Path, place: int) -> str:
        names = sorted((run / "log/checkpoints").iterdir(), key=lambda path: int(path.name))
        return f"log/checkpoints/{names[place].name}"

    def rolled_back(run: Path, _: Path) -> None:
        shutil.copy(run / size(run, -2), run / "log/checkpoint")

    return [
        _case("last checkpoint dropped", _drop("log/checkpoint"), "V101", "log/checkpoint"),
        _case("kept one dropped", lambda r, o: _drop(size(r, -1))(r, o), "V108", "log/checkpoint"),
        _case(
            "checkpoint doubled",
            lambda r, o: _copy(size(r, 1), "log/checkpoints/9")(r, o),
            "V102",
            "log/checkpoints/9",
        ),
        _case(
            "checkpoints swapped",
            lambda r, o: _swap(size(r, 1), size(r, 2))(r, o),
            "V102",
            "log/checkpoints/",
        ),
        _case("earlier one put last", rolled_back, "V105 V106 V107 V108 V109", "log/"),
        _case(
            "last one moved from another run",
            _take("log/checkpoint"),
            "V103",
            "log/checkpoint",
        ),
        _case(
            "kept one moved from another run",
            lambda r, o: shutil.copy(o / size(o, 1), r / size(r, 1)),
            "V103",
            "log/checkpoints/",
        ),
    ]


def _drop(name: str) -> Change:
    def apply(run: Path, _: Path) -> None:
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return apply


def _copy(name: str, to: str) -> Change:
    def apply(run: Path, _: Path) -> None:
        _put(run / name, run / to)

    return apply


def _take(name: str) -> Change:
    def apply(run: Path, other: Path) -> None:
        _drop(name)(run, other)
        _put(other / name, run / name)

    return apply


def _put(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def _swap(first: str, second: str) -> Change:
    def apply(run: Path, _: Path) -> None:
        (run / first).rename(run / "aside")
        (run / second).rename(run / first)
        (run / "aside").rename(run / second)

    return apply


def _move_up(first: str, second: str) -> Change:
    """Let the segments begin with the second: one is gone, the order is another."""

    def apply(run: Path, _: Path) -> None:
        third = (run / second).with_name("part-000002.parquet")
        (run / first).rename(third)

    return apply
