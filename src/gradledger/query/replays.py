"""Stored results of executed replays: beside the run, never inside what its manifest covers.

Layout, next to a run RUN: ``RUN.replays/DIGEST/result.json`` and ``model.safetensors``, where
DIGEST names run and intervention. The same intervention on the same run is answered from there,
without torch and without executing anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from gradledger.canon import parse_json, record_digest
from gradledger.errors import GradledgerError, QueryError, ReplayError
from gradledger.query.records import Records
from gradledger.schema import Intervention

RESULT_FORMAT: Final = "gradledger.replay-result/1"
RESULT_FILE: Final = "result.json"
MODEL_FILE: Final = "model.safetensors"

#: Fields that a result must have; a later version may only add.
_FIELDS: Final = frozenset(
    {
        "format",
        "run_id",
        "run_final_digest",
        "intervention",
        "first_affected_step",
        "first_different_step",
        "num_steps",
        "num_identical_steps",
        "final_digest",
        "groups",
        "observations",
    }
)


def replays_folder(run_dir: Path) -> Path:
    """Return where the results of a run's replays lie: beside it."""
    return run_dir.with_name(run_dir.name + ".replays")


def identity(records: Records) -> dict[str, str]:
    """Return what names a closed run: its id and the digest of its final model.

    Raises:
        QueryError: The run was not closed. Code Q133.
    """
    if records.end is None:
        raise QueryError(
            "Q133",
            observed="no end.json",
            expected="a closed run, whose final model is known",
            where=str(records.path),
            hint="close the run first: run.close()",
        )
    return {"run_id": records.begin.run_id, "run_final_digest": records.end.final_digest}


def result_folder(records: Records, intervention: Intervention) -> Path:
    """Return the folder of one intervention's result, whether it exists or not.

    Raises:
        QueryError: The run was not closed. Code Q133.
    """
    record = {**identity(records), "intervention": intervention.to_dict()}
    return replays_folder(records.path) / record_digest("intervention/1", record)[:32]


def stored_result(records: Records, intervention: Intervention) -> dict[str, Any] | None:
    """Return the stored result of an intervention; ``None`` where it was never executed.

    Raises:
        ReplayError: The result is not readable, or is one of another run or intervention. Code
            R136.
        QueryError: The run was not closed. Code Q133.
    """
    place = result_folder(records, intervention) / RESULT_FILE
    if not place.exists():
        return None
    try:
        result = parse_json(place.read_bytes(), str(place))
    except (OSError, GradledgerError) as error:
        raise _damaged(place, str(error).splitlines()[0]) from error
    if not isinstance(result, dict) or not result.keys() >= _FIELDS:
        raise _damaged(place, "a record without the fields of a result")
    expected = {**identity(records), "intervention": intervention.to_dict()}
    for name, value in {"format": RESULT_FORMAT, **expected}.items():
        if result[name] != value:
            raise _damaged(place, f"{name} {result[name]!r:.100}")
    if not _has_figures(records, result):
        raise _damaged(place, "figures that are not those of every group")
    return result


def _has_figures(records: Records, result: dict[str, Any]) -> bool:
    """Whether distances of every group, and observations, have the form that answers need."""
    rows, seen = result["groups"], result["observations"]
    if not isinstance(rows, list) or not isinstance(seen, dict):
        return False
    try:
        numbers = {row["group"] for row in rows}
        figures = [row[name] for row in rows for name in ("distance", "displacement", "dot")]
        pairs = [value[name] for value in seen.values() for name in ("recorded", "executed")]
    except (KeyError, TypeError):
        return False
    expected = {group.group for group in records.begin.groups}
    if result.get("factual_model") == "removed":
        expected = set()
    return numbers == expected and all(
        isinstance(value, int | float) for value in [*figures, *(p for p in pairs if p is not None)]
    )


def _damaged(place: Path, observed: str) -> ReplayError:
    return ReplayError(
        "R136",
        observed=observed[:300],
        expected="the result of this intervention on this run",
        where=str(place),
        hint="remove the folder and execute the replay again",
    )
