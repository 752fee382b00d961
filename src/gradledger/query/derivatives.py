"""Stored derivatives of behaviours by the weights of visits: found, checked, read without torch.

Layout, next to a run RUN: ``RUN.replays/derivatives-DIGEST/derivatives.json`` and
``derivatives.safetensors``, where DIGEST names run and behaviour.

Shape legend: V visits in the order (step, micro-batch, position), G parameter groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gradledger.canon import parse_json, record_digest
from gradledger.errors import GradledgerError, QueryError
from gradledger.query.names import nearest
from gradledger.query.records import Records
from gradledger.query.replays import identity, replays_folder
from gradledger.state.weights_file import read_arrays

DERIVATIVES_FORMAT: Final = "gradledger.derivatives/1"
RECORD_FILE: Final = "derivatives.json"
ARRAYS_FILE: Final = "derivatives.safetensors"

_PREFIX: Final = "derivatives-"
_VISITS: Final = ("step", "micro_batch", "position", "example", "decision")
_FIELDS: Final = frozenset({"format", "run_id", "run_final_digest", "behaviour", "value", "belief"})


@dataclass(frozen=True)
class StoredDerivatives:
    """Derivatives of one behaviour.

    Attributes:
        record: What ``derivatives.json`` holds.
        visits: Columns that name the visits, each shape (V,).
        by_visit: d f / d w_v, shape (V,).
        through: The same through every group, shape (V, G).
        by_group: d f / d d_{v,g}, by depth weight, shape (V, G).
    """

    record: dict[str, Any]
    visits: dict[str, NDArray[np.int32]]
    by_visit: NDArray[np.float64]
    through: NDArray[np.float32]
    by_group: NDArray[np.float32]

    @property
    def belief(self) -> dict[str, Any]:
        """What executed runs say of the derivative."""
        belief: dict[str, Any] = self.record["belief"]
        return belief


def derivatives_folder(records: Records, behaviour: str, since: int = 0) -> Path:
    """Return the folder of a behaviour's derivatives, whether it exists or not.

    Args:
        records: The run.
        behaviour: Its name.
        since: Step whose state was taken as it was.

    Raises:
        QueryError: The run was not closed. Code Q133.
    """
    record: dict[str, Any] = {**identity(records), "behaviour": behaviour}
    if since:
        record["since"] = since
    name = _PREFIX + record_digest("behaviour/1", record)[:32]
    return replays_folder(records.path) / name


def stored_behaviours(records: Records) -> list[str]:
    """Return the behaviours of which derivatives by the visits of the whole run are stored."""
    found = []
    for path in sorted(replays_folder(records.path).glob(f"{_PREFIX}*/{RECORD_FILE}")):
        name = _read(path).get("behaviour")
        if isinstance(name, str) and path.parent == derivatives_folder(records, name):
            found.append(name)
    return sorted(found)


def stored_derivatives(
    records: Records, behaviour: str, since: int = 0
) -> StoredDerivatives | None:
    """Return the stored derivatives of a behaviour; ``None`` where there are none.

    Raises:
        QueryError: The files are damaged or those of another run (Q172), or the run was not closed
            (Q133).
    """
    folder = derivatives_folder(records, behaviour, since)
    if not (folder / RECORD_FILE).exists():
        return None
    record = _read(folder / RECORD_FILE)
    expected = {"format": DERIVATIVES_FORMAT, **identity(records), "behaviour": behaviour}
    other = not record.keys() >= _FIELDS or record.get("since", 0) != since
    if other or any(record[key] != value for key, value in expected.items()):
        raise _damaged(folder, "a record of another run or behaviour")
    try:
        arrays = read_arrays(folder / ARRAYS_FILE).arrays
        visits = {name: arrays[name].astype(np.int32) for name in _VISITS}
        found = StoredDerivatives(
            record, visits, arrays["by_visit"], arrays["through"], arrays["by_group"]
        )
    except (KeyError, GradledgerError) as error:
        raise _damaged(folder, str(error).splitlines()[0]) from error
    num = len(found.by_visit)
    if any(len(part) != num for part in (*visits.values(), found.through, found.by_group)):
        raise _damaged(folder, "arrays of different lengths")
    return found


def needed_derivatives(records: Records, behaviour: str, since: int = 0) -> StoredDerivatives:
    """Return the stored derivatives of a behaviour.

    Raises:
        QueryError: There are none (Q171), or they are damaged (Q172).
    """
    found = stored_derivatives(records, behaviour, since)
    if found is None:
        known = stored_behaviours(records)
        raise QueryError(
            "Q171",
            observed=f"no derivatives of {behaviour!r}",
            expected="one of " + ", ".join(map(repr, known)) if known else "derivatives, computed",
            where=str(records.path),
            hint=nearest(behaviour, known)
            or "compute them: gradledger influence RUN NAME, without --stored",
        )
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        record = parse_json(path.read_bytes(), str(path))
    except (OSError, GradledgerError) as error:
        raise _damaged(path.parent, str(error).splitlines()[0]) from error
    return record if isinstance(record, dict) else {}


def _damaged(place: Path, observed: str) -> QueryError:
    return QueryError(
        "Q172",
        observed=observed[:300],
        expected="the derivatives of this behaviour of this run",
        where=str(place),
        hint="remove the folder and compute them again",
    )
