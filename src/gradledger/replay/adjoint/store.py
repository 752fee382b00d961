"""Derivatives on disk: beside the run, one folder per behaviour, for every later question."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from gradledger.query.derivatives import (
    ARRAYS_FILE,
    DERIVATIVES_FORMAT,
    RECORD_FILE,
    derivatives_folder,
)
from gradledger.query.records import Records
from gradledger.query.replays import identity
from gradledger.replay.adjoint.belief import Belief
from gradledger.replay.adjoint.derive import Derivatives
from gradledger.replay.recorded import RecordedRun
from gradledger.segment import make_folder, write_json
from gradledger.state.weights_file import write_arrays


def store(
    records: Records,
    run: RecordedRun,
    found: Derivatives,
    beliefs: Mapping[str, Belief],
    wall_seconds: float,
) -> None:
    """Write the derivatives of every behaviour beside the run.

    Args:
        records: The closed run.
        run: The same, as replays read it.
        found: The derivatives.
        beliefs: Behaviour -> what executed runs say of its derivative.
        wall_seconds: What they took, all behaviours together.
    """
    after = [visit for visit in run.visits if visit.step > found.since]
    visits = {
        name: np.asarray([getattr(visit, name) for visit in after], np.int32)
        for name in ("step", "micro_batch", "position", "example", "decision")
    }
    for place, name in enumerate(found.names):
        folder = derivatives_folder(records, name, found.since)
        make_folder(folder)
        write_arrays(
            folder / ARRAYS_FILE,
            {
                **visits,
                "by_visit": found.by_visit[place],
                "by_group": found.by_group[place],
                "through": found.through[place],
            },
        )
        record: dict[str, Any] = {
            "format": DERIVATIVES_FORMAT,
            **identity(records),
            "behaviour": name,
            "since": found.since,
            "value": float(found.values[place]),
            "computed_at": datetime.now(UTC).isoformat(),
            "wall_seconds": wall_seconds,
            "num_behaviours": len(found.names),
            "num_steps_taken": found.num_steps_taken,
            "state_bytes": found.most_bytes,
            "belief": beliefs[name].to_dict(),
        }
        write_json(folder / RECORD_FILE, record)
