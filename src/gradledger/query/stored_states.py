"""Stored model states as arrays by parameter group, read without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gradledger.canon import parse_json
from gradledger.errors import GradledgerError, QueryError
from gradledger.query.records import Records
from gradledger.schema import GroupRecord
from gradledger.state import dtype_label, read_arrays

Values = NDArray[np.float64]

MODEL_FILE: Final = "model.safetensors"
STATE_FILE: Final = "state.json"
#: bfloat16 is the upper half of float32.
_BFLOAT16_SHIFT: Final = 16


@dataclass(frozen=True)
class Distance:
    """How far a group is from where it was.

    Attributes:
        norm: Euclidean distance.
        before: Euclidean norm before.
    """

    norm: float
    before: float


def stored_steps(records: Records) -> list[int]:
    """Return the steps after which a model state was stored, ascending."""
    places = (records.path / "states").glob("step=*")
    return sorted(int(place.name[5:]) for place in places if place.name[5:].isdigit())


def state_folder(records: Records, step: int) -> Path:
    """Return the folder of the state after a step, whether it exists or not."""
    return records.path / "states" / f"step={step}"


def read_state_record(folder: Path) -> dict[str, Any]:
    """Return what ``state.json`` of a folder says.

    Raises:
        QueryError: It is missing or is no JSON object. Code Q102.
    """
    place = folder / STATE_FILE
    try:
        record = parse_json(place.read_bytes(), str(place))
    except (OSError, GradledgerError) as error:
        raise _damaged(place, str(error).splitlines()[0]) from error
    if not isinstance(record, dict):
        raise _damaged(place, f"a {type(record).__name__}")
    return record


def read_model(path: Path) -> dict[str, Values]:
    """Return the floating tensors of a model file as float64.

    Raises:
        QueryError: The file cannot be read. Code Q102.
    """
    try:
        arrays = read_arrays(path).arrays
    except GradledgerError as error:
        raise _damaged(path, error.observed) from error
    return {name: _as_float64(array) for name, array in arrays.items()}


def group_vector(model: Mapping[str, Values], group: GroupRecord) -> Values:
    """Return the tensors of a group as one flat vector; tied tensors under either name."""
    parts = []
    for tensor in group.tensors:
        stored = next((n for n in (tensor.name, *tensor.shared_with) if n in model), None)
        if stored is None:
            raise QueryError(
                "Q102",
                observed=f"no tensor {tensor.name!r} in the stored model",
                expected=f"every tensor of group {group.name!r}",
                hint="restore the run from a copy",
            )
        parts.append(model[stored].reshape(-1))
    return np.concatenate(parts) if parts else np.zeros(0)


def distances(
    before: Mapping[str, Values], after: Mapping[str, Values], groups: Sequence[GroupRecord]
) -> dict[int, Distance]:
    """Return the distance between two models, by group number."""
    found = {}
    for group in groups:
        first, last = group_vector(before, group), group_vector(after, group)
        found[group.group] = Distance(
            float(np.linalg.norm(last - first)), float(np.linalg.norm(first))
        )
    return found


def together(parts: Sequence[Distance]) -> Distance:
    """Join distances of several groups."""
    return Distance(
        math.hypot(*(part.norm for part in parts)), math.hypot(*(part.before for part in parts))
    )


def _as_float64(array: NDArray[Any]) -> Values:
    if dtype_label(array.dtype) == "bfloat16":
        bits = np.ascontiguousarray(array).view(np.uint16).astype(np.uint32) << _BFLOAT16_SHIFT
        return bits.view(np.float32).astype(np.float64).reshape(array.shape)
    if array.dtype.names is not None:
        raise QueryError(
            "Q110",
            observed=f"a tensor of {dtype_label(array.dtype)}",
            expected="a number format that distances can be taken in",
            hint="compare the digests of the states instead",
        )
    return array.astype(np.float64)


def _damaged(place: Path, observed: str) -> QueryError:
    return QueryError(
        "Q102",
        observed=observed[:300],
        expected="a stored model state",
        where=str(place),
        hint="restore the run from a copy",
    )
