"""What a sweep that was cut off goes on from: the adjoint after a step, and what it found so far.

One file, replaced as a whole, so that it is never half of one and half of another. A file of
another question, or of a behaviour that gives other values now, is passed over.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from gradledger.canon import record_digest
from gradledger.errors import GradledgerError
from gradledger.replay.adjoint.clipping import Edit
from gradledger.replay.adjoint.sweep import Adjoint, Sweeper
from gradledger.replay.loop import Observable, observe_model
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import Build
from gradledger.segment import make_folder
from gradledger.state.weights_file import read_arrays, write_arrays

_LAWS: Final = ("none", "scaled", "value", "norm", "factor")
#: Largest relative difference between values of a behaviour that is the same.
_SAME: Final = 1e-4


@dataclass(frozen=True)
class Halfway:
    """A sweep between two steps.

    Attributes:
        adjoint: Where it is.
        found: Arrays of derivatives by name, as ``Sweeper`` keeps them.
        values: Of the behaviours at the end of the run, shape (K,).
        edits: What the loop did to gradients in the steps after it.
    """

    adjoint: Adjoint
    found: dict[str, NDArray[Any]]
    values: NDArray[np.float64]
    edits: list[Edit]


class Keeper:
    """Keeps a sweep on disk while it goes on.

    Args:
        path: The file.
        run: The run.
        names: The behaviours.
        since: Step that the sweep goes back to.
        softened: What makes the derivative another than the exact one: ``blunt`` and ``kinks``.
        every_seconds: Time between two writings.
    """

    def __init__(
        self,
        path: Path,
        run: RecordedRun,
        names: Sequence[str],
        since: int,
        softened: tuple[float, float],
        every_seconds: float = 30.0,
    ) -> None:
        self.path, self._run = path, run
        record = {"run_id": run.begin["run_id"], "names": list(names), "since": since}
        self._mark = record_digest("sweep/1", {**record, "softened": repr(softened)})
        self._every, self._last = every_seconds, time.monotonic()

    def step_done(self, sweeper: Sweeper, values: NDArray[np.float64]) -> None:
        """Write where the sweep is, if that is due."""
        if time.monotonic() - self._last < self._every:
            return
        adjoint = sweeper.adjoint
        noted = [sweeper.noted[step].edit for step in sorted(sweeper.noted) if step > adjoint.step]
        edits = [*noted, *sweeper.later]
        rows = [(_LAWS.index(e.law), e.factor, e.norm, e.limit) for e in edits]
        arrays = {
            "theta": adjoint.theta.numpy(),
            **{f"state.{name}": value.numpy() for name, value in adjoint.state.items()},
            **sweeper.found(),
            "values": values,
            "edits": np.asarray(rows, np.float64).reshape(-1, 4),
        }
        make_folder(self.path.parent)
        write_arrays(self.path, arrays, {"mark": self._mark, "step": str(adjoint.step)})
        self._last = time.monotonic()

    def read(self, build: Build, behaviours: Mapping[str, Observable]) -> Halfway | None:
        """Return what was written, if it is of this question."""
        if not self.path.exists():
            return None
        try:
            stored = read_arrays(self.path)
            arrays, step = dict(stored.arrays), int(stored.metadata["step"])
            known = stored.metadata["mark"] == self._mark
        except (GradledgerError, KeyError, ValueError):
            return None
        if not known or not self._run.weights_path(self._run.num_steps).exists():
            return None
        now = observe_model(build, self._run.weights_path(self._run.num_steps), behaviours)
        values = arrays.pop("values")
        if not np.allclose(list(now.values()), values, rtol=_SAME, atol=_SAME):
            return None
        edits = [_edit(*map(float, row)) for row in arrays.pop("edits")]
        theta = torch.from_numpy(arrays.pop("theta").copy())
        state = {
            name.removeprefix("state."): torch.from_numpy(arrays.pop(name).copy())
            for name in [name for name in arrays if name.startswith("state.")]
        }
        found = {name: value.copy() for name, value in arrays.items()}
        return Halfway(Adjoint(theta, state, step), found, values.copy(), edits)

    def forget(self) -> None:
        """Remove file and folder: the sweep is done."""
        if self.path.exists():
            self.path.unlink()
            self.path.parent.rmdir()


def _edit(law: float, factor: float, norm: float, limit: float) -> Edit:
    """Return an edit without its law, which is asked anew, together with the other steps."""
    name = _LAWS[int(law)]
    return Edit("scaled" if name in ("norm", "factor") else name, factor, norm, limit)
