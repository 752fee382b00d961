"""Read ``run.json`` and ``end.json`` into the records that they hold."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from gradledger.errors import QueryError
from gradledger.query.field_types import misfit
from gradledger.schema import (
    FORMAT,
    Coverage,
    GroupRecord,
    Resume,
    RunBegin,
    RunEnd,
    TensorRecord,
)

T = TypeVar("T")


def read_begin(root: Path) -> RunBegin:
    """Return the begin record of the run in ``root``.

    Raises:
        QueryError: Q101 no run there, Q102 not readable, Q103 format not known.
    """
    place = root / "run.json"
    if not place.is_file():
        raise QueryError(
            "Q101",
            observed="no run.json" if root.is_dir() else "no such directory",
            expected="a directory that gl.record wrote",
            where=str(root),
            hint="give the folder that holds run.json",
        )
    parts = _load(place)
    if parts.get("format") != FORMAT:
        raise QueryError(
            "Q103",
            observed=repr(parts.get("format")),
            expected=FORMAT,
            where=str(place),
            hint="open it with the version that wrote it",
        )
    try:
        parts["groups"] = tuple(_group(group) for group in parts["groups"])
        parts["blocks"] = tuple(parts["blocks"])
        parts["coverage"] = _coverage(parts["coverage"])
        return _fitting(RunBegin(**_known(RunBegin, parts)), place)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(place, f"{type(error).__name__}: {error}") from error


def read_end(root: Path) -> RunEnd | None:
    """Return the end record; ``None`` where the run was not closed.

    Raises:
        QueryError: Q102 where it is there but not readable.
    """
    place = root / "end.json"
    if not place.is_file():
        return None
    parts = _load(place)
    try:
        return _fitting(RunEnd(**_known(RunEnd, parts)), place)
    except TypeError as error:
        raise _damaged(place, str(error)) from error


def read_resumes(root: Path) -> tuple[Resume, ...]:
    """Return the records of all resumes, in order.

    Raises:
        QueryError: Q102 where one is not readable.
    """
    found = []
    for place in sorted((root / "resumes").glob("resume-*.json")):
        parts = _load(place)
        try:
            lists = {name: tuple(parts[name]) for name in ("moved", "passed_over")}
            found.append(_fitting(Resume(**{**_known(Resume, parts), **lists}), place))
        except (KeyError, TypeError) as error:
            raise _damaged(place, f"{type(error).__name__}: {error}") from error
    return tuple(found)


def read_profiles(root: Path, begin: RunBegin) -> dict[str, list[float]]:
    """Return the depth profiles as one weight per block: from ``profiles.json``, else settings.

    Raises:
        QueryError: Q102 where the document is not readable.
    """
    place = root / "profiles.json"
    parts = _load(place) if place.is_file() else begin.settings.get("profiles") or {}
    try:
        return {str(name): [float(weight) for weight in row] for name, row in parts.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise _damaged(place, f"{type(error).__name__}: {error}") from error


def _load(place: Path) -> dict[str, Any]:
    try:
        parts = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(place, f"{type(error).__name__}: {error}") from error
    if not isinstance(parts, dict):
        raise _damaged(place, f"a {type(parts).__name__}")
    return parts


def _fitting(record: T, place: Path) -> T:
    """Return the record if every member is of its declared type."""
    if found := misfit(record):
        raise _damaged(place, found)
    return record


def _known(kind: type, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the fields that this version knows: later ones may only add."""
    names = {item.name for item in dataclasses.fields(kind)}
    return {name: value for name, value in parts.items() if name in names}


def _group(parts: Mapping[str, Any]) -> GroupRecord:
    tensors = tuple(
        TensorRecord(
            **{
                **_known(TensorRecord, tensor),
                "shape": tuple(tensor["shape"]),
                "shared_with": tuple(tensor.get("shared_with", ())),
            }
        )
        for tensor in parts["tensors"]
    )
    return GroupRecord(**{**_known(GroupRecord, parts), "tensors": tensors})


def _coverage(parts: Mapping[str, Any]) -> Coverage:
    return Coverage(
        num_updated=parts["num_updated"],
        num_captured=parts["num_captured"],
        unattributed=tuple((str(name), str(why)) for name, why in parts["unattributed"]),
        notes=tuple(parts["notes"]),
    )


def _damaged(place: Path, observed: str) -> QueryError:
    return QueryError(
        "Q102",
        observed=observed[:300],
        expected="a record of a run as JSON",
        where=str(place),
        hint="restore the run from a copy",
    )
