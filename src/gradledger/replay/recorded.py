"""What a replay reads of a run: order, decisions, fingerprints, states."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from gradledger.errors import ReplayError
from gradledger.recorder.behaviours import probe_weights_path
from gradledger.recorder.order import RecordedOrder
from gradledger.recorder.resume_point import stored_steps
from gradledger.segment import read_json, read_table


@dataclass(frozen=True)
class RecordedVisit:
    """Where a visit stands, and the keyed commitment to the tensors that were presented."""

    step: int
    micro_batch: int
    position: int
    example: int
    decision: int
    digest: bytes = b""


class RecordedRun:
    """A closed run, as a replay needs it.

    Args:
        run_dir: The run.

    Raises:
        ReplayError: The run is not closed, so its end is not known. Code R101.
    """

    def __init__(self, run_dir: Path) -> None:
        if not (run_dir / "end.json").exists():
            raise ReplayError(
                "R101",
                observed=f"{run_dir} without end.json",
                expected="a closed run",
                where="replay",
                hint="close the run first: run.close()",
            )
        self.run_dir = run_dir
        self.begin: dict[str, Any] = read_json(run_dir / "run.json")
        self.num_steps: int = read_json(run_dir / "end.json")["num_steps"]
        names = [field.name for field in fields(RecordedVisit)]
        columns = read_table(run_dir, "visits", names).to_pydict()
        rows = zip(*(columns[name] for name in names), strict=True)
        self.visits = sorted(
            (RecordedVisit(*row) for row in rows),
            key=lambda visit: (visit.step, visit.micro_batch, visit.position),
        )
        self._of_step: dict[int, list[RecordedVisit]] = {}
        for visit in self.visits:
            self._of_step.setdefault(visit.step, []).append(visit)
        steps = read_table(run_dir, "steps", ["step", "fingerprint_before", "fingerprint_after"])
        self.fingerprints: dict[int, tuple[str, str]] = {
            row["step"]: (row["fingerprint_before"], row["fingerprint_after"])
            for row in steps.to_pylist()
        }

    def order(self, after: int = 0) -> RecordedOrder:
        """Return the micro-batches in the order of training, from the first after a step on."""
        key = attrgetter("step", "micro_batch")
        batches = [(head, list(visits)) for head, visits in groupby(self.visits, key=key)]
        num_used = sum(1 for head, _ in batches if head[0] <= after)
        return RecordedOrder([[visit.example for visit in part] for _, part in batches], num_used)

    def visits_of(self, step: int) -> list[RecordedVisit]:
        """Return the visits of one step, in order."""
        return self._of_step.get(step, [])

    def stored_states(self) -> list[int]:
        """Return the steps after which a model state is stored, ascending; 0 is the opening."""
        return stored_steps(self.run_dir)

    def last_state_before(self, step: int) -> int:
        """Return the step of the last stored state from which a step can be executed.

        Args:
            step: From 1.

        Returns:
            A step below ``step``; 0 for the opening state.

        Raises:
            ReplayError: Not even the opening state is stored. Code R102.
        """
        found = [stored for stored in self.stored_states() if stored < step]
        if not found:
            self.state_dir(0)
        return found[-1]

    def state_dir(self, step: int) -> Path:
        """Return the folder of the model state after a step.

        Raises:
            ReplayError: No state was stored there. Code R102.
        """
        folder = self.run_dir / "states" / f"step={step}"
        if not folder.is_dir():
            stored = self.stored_states()
            raise ReplayError(
                "R102",
                observed=f"no model state after step {step}",
                expected=f"one of the stored ones: {', '.join(map(str, stored))}",
                where=str(self.run_dir),
                hint="choose interval ends among the stored steps, or record with state_every",
            )
        return folder

    def weights_path(self, step: int) -> Path:
        """Return the file of the weights after a step: of a model state, else of a probed step."""
        stored = self.run_dir / "states" / f"step={step}" / "model.safetensors"
        return stored if stored.exists() else probe_weights_path(self.run_dir, step)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the groups of parameters, without those of buffers, by number."""
        return [group for group in self.begin["groups"] if group["role"] == "parameters"]

    def decisions(self) -> tuple[NDArray[np.int32], NDArray[np.bool_], list[str]]:
        """Return decision and admission of every example, and the profile of every decision."""
        return self._decisions

    @cached_property
    def _decisions(self) -> tuple[NDArray[np.int32], NDArray[np.bool_], list[str]]:
        distinct = read_table(
            self.run_dir, "decisions/distinct", ["verdict", "profile"]
        ).to_pydict()
        decision = np.asarray(
            read_table(self.run_dir, "decisions/examples", ["decision"])["decision"].to_pylist(),
            np.int32,
        )
        admitted = np.asarray([verdict == "admit" for verdict in distinct["verdict"]], np.bool_)
        return decision, admitted[decision], list(distinct["profile"])


def load_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a stored model, on the CPU, by name."""
    with safe_open(path, framework="pt") as stored:
        return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
