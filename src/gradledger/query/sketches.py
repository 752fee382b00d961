"""Entry sketches asked for any vector: shares of displacement, effects on a behaviour.

A sketch answers <u_v, q> by <S u_v, S q>. Both halves of it answer apart from each other, so every
answer has a measured error: half the difference of the two, and what storing in bytes rounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradledger.errors import QueryError
from gradledger.query.records import Records
from gradledger.query.stored_states import (
    MODEL_FILE,
    read_model,
    state_folder,
    stored_steps,
)
from gradledger.segment import read_table
from gradledger.state import Projection

__all__ = ["SketchedDots", "sketched_displacement", "sketched_dots"]

Vectors = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True)
class SketchedDots:
    """Inner products of entries with a vector, visit by visit.

    Attributes:
        step: Step of each sketched visit.
        example: Its example.
        value: Estimate of <u_v, q>.
        error: Half the difference of what the two halves say, and the rounding of the bytes, as the
            root of the sum of squares.
    """

    step: NDArray[np.int32]
    example: NDArray[np.int32]
    value: NDArray[np.float64]
    error: NDArray[np.float64]

    def total(self) -> tuple[float, float]:
        """Return the sum over visits, and its error if errors of visits are independent."""
        return float(self.value.sum()), float(np.sqrt(np.square(self.error).sum()))


def sketched_dots(
    records: Records, group: int, vectors: Vectors, steps: tuple[int, int] | None = None
) -> SketchedDots:
    """Take the inner product of every sketched entry of a group with a vector.

    Args:
        records: The run.
        group: Number of the group.
        vectors: Part of the vector on each tensor of the group, by full name; tensors that are not
            named count as 0. The gradient of a behaviour gives its change in nats.
        steps: First and last step; None for all.

    Raises:
        QueryError: The run has no sketches of the group. Code Q191.
    """
    settings = records.begin.settings.get("sketching")
    columns = ["step", "example", f"sketch_{group}", f"scale_{group}"]
    names = read_table(records.path, "sketches").column_names
    if settings is None or not set(columns) <= set(names):
        raise _none(group)
    table = read_table(records.path, "sketches", columns)
    size = int(settings["size"])
    seed = settings["seed"] or records.begin.run_id
    sketch = np.zeros(size)
    for tensor in records.begin.groups[group].tensors:
        if tensor.name in vectors:
            flat = np.asarray(vectors[tensor.name], np.float64).reshape(-1)
            sketch += Projection(seed, tensor.name, flat.size, size).project(flat)
    rows = _values(table, group, size)
    halves = (rows * sketch).reshape(len(rows), 2, size // 2).sum(2)
    step, example = (table[name].to_numpy().astype(np.int32) for name in ("step", "example"))
    keep = np.ones(len(rows), bool) if steps is None else (step >= steps[0]) & (step <= steps[1])
    apart = halves[:, 0] - halves[:, 1]
    # Whole numbers of the scale are stored, rounded by chance: a sixth of a square on average.
    rounded = table[f"scale_{group}"].to_numpy() * float(np.linalg.norm(sketch)) / np.sqrt(6.0)
    error = np.sqrt(np.square(apart) + np.square(rounded))
    return SketchedDots(step[keep], example[keep], halves.sum(1)[keep], error[keep])


def sketched_displacement(
    records: Records, group: int, start: int | None = None, stop: int | None = None
) -> SketchedDots:
    """Estimate the share of a group's displacement that is due to each sketched visit.

    Args:
        records: The run.
        group: Number of the group.
        start: Stored step that the displacement begins after; None for the first.
        stop: Stored step that it ends after; None for the last.

    Returns:
        Shares; with those of momentum, decay and the other lines they would add up to 1.

    Raises:
        QueryError: No sketches (Q191), or no such states, or a group that did not move (Q192).
    """
    stored = stored_steps(records)
    first = stored[0] if start is None else start
    last = stored[-1] if stop is None else stop
    if not {first, last} <= set(stored) or first >= last:
        raise QueryError(
            "Q192",
            observed=f"after step {first} to after step {last}",
            expected=f"two of the stored steps {', '.join(map(str, stored))}, in order",
            where="sketches",
            hint="record with state_every to store more of them",
        )
    before, after = (read_model(state_folder(records, step) / MODEL_FILE) for step in (first, last))
    names = [tensor.name for tensor in records.begin.groups[group].tensors]
    moved = {name: after[name] - before[name] for name in names}
    square = sum(float(np.square(part).sum()) for part in moved.values())
    found = sketched_dots(records, group, moved, (first + 1, last))
    if not square:
        raise QueryError(
            "Q192",
            observed=f"group {group} where it was",
            expected="a group that moved",
            where=f"after step {first} to after step {last}",
            hint="choose another interval",
        )
    return SketchedDots(found.step, found.example, found.value / square, found.error / square)


def _values(table: pa.Table, group: int, size: int) -> NDArray[np.float64]:
    """Return the sketches as numbers, visits x k."""
    column = table[f"sketch_{group}"].combine_chunks()
    content = np.frombuffer(b"".join(column.to_pylist()), np.int8).reshape(-1, size)
    scale: NDArray[Any] = table[f"scale_{group}"].to_numpy()
    return content.astype(np.float64) * scale[:, None].astype(np.float64)


def _none(group: int) -> QueryError:
    return QueryError(
        "Q191",
        observed=f"no sketches of group {group}",
        expected="a run of level 'sketch' whose pattern names the group",
        where="sketches",
        hint="record with level='sketch', or run the settling pass, which needs none",
    )
