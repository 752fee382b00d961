"""Probes while a run is recorded: values at their steps, and the weights that settling needs."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from gradledger.errors import InputError
from gradledger.probe import Probe, is_step, probe_gradient, probe_value
from gradledger.segment import SealedSegment, SegmentWriter, make_folder, read_table
from gradledger.state.torch_state import model_items
from gradledger.state.weights_file import write_arrays

if TYPE_CHECKING:
    from gradledger.recorder.recorder import Recorder


def probe_weights_after(run_dir: Path, step: int) -> list[str]:
    """Return the weights that were kept after later steps than ``step``, below the run."""
    paths = (run_dir / "probes" / "weights").glob("step=*.safetensors")
    steps = sorted(int(path.stem.removeprefix("step=")) for path in paths)
    return [
        probe_weights_path(run_dir, kept).relative_to(run_dir).as_posix()
        for kept in steps
        if kept > step
    ]


def probe_weights_path(run_dir: Path, step: int) -> Path:
    """Return where the weights after a probed step are kept."""
    return run_dir / "probes" / "weights" / f"step={step}.safetensors"


class Behaviours:
    """Measures the probes of a run and writes ``probes/values``.

    Args:
        run_dir: The run.
        probes: What to measure; may be empty.
        keep_every: Keep the weights of every so many probed steps; 0 for none besides the model
            states that the run stores anyway.
    """

    def __init__(self, run_dir: Path, probes: Sequence[Probe], keep_every: int) -> None:
        if not is_step(keep_every):
            raise InputError(
                "I104",
                observed=f"probe_weights_every={keep_every!r}",
                expected="a whole number, 0 or more",
                where="gl.record",
            )
        self._run_dir, self._probes, self._keep_every = run_dir, tuple(probes), keep_every
        self._rows: list[tuple[str, int, float]] = []
        self._writer = SegmentWriter(run_dir, "probes/values", {})
        self._num_probed = 0
        self.seconds = 0.0

    def check(self, model: nn.Module, names: Sequence[str]) -> None:
        """See that every loss can be followed; nothing is written.

        Args:
            model: The model, before the run begins.
            names: Parameters that the optimizer updates.

        Raises:
            InputError: A loss is not a finite number, has no gradient (I132), or writes to the
                model (I133).
        """
        for probe in self._probes:
            value = probe_value(model, probe)
            probe_gradient(model, probe, names)
            if not math.isfinite(value):
                raise InputError(
                    "I132",
                    observed=f"a loss of {value}",
                    expected="a finite number before the first step",
                    where=f"probe {probe.name!r}",
                    hint="look at the inputs and the loss with the opening model",
                )

    def go_on(self, recorder: Recorder, step: int) -> None:
        """Stand where a run was that goes on after a step; its state is the model's now.

        A state is stored after the values of all steps before it; those of its own step may have
        been lost with the process, and are measured again.
        """
        rows = read_table(self._run_dir, "probes/values", ["probe", "step"]).to_pylist()
        found = {(row["probe"], row["step"]) for row in rows}
        due = [probe for probe in self._probes if probe.is_due(step)]
        self._measure(recorder, step, [p for p in due if (p.name, step) not in found])
        self._num_probed = sum(
            any(probe.is_due(number) for probe in self._probes) for number in range(step + 1)
        )

    def after_step(self, recorder: Recorder, step: int, *, is_stored: bool) -> None:
        """Measure what is due after a step.

        Args:
            recorder: Holds the model.
            step: Steps that have ended.
            is_stored: Whether the run stores its whole state after this step anyway.
        """
        due = [probe for probe in self._probes if probe.is_due(step)]
        if not due:
            return
        started = time.perf_counter()
        self._measure(recorder, step, due)
        if not is_stored and self._keep_every and self._num_probed % self._keep_every == 0:
            path = probe_weights_path(self._run_dir, step)
            make_folder(path.parent)
            write_arrays(path, dict(model_items(recorder.model)), {"format": "pt"})
        self._num_probed += 1
        self.seconds += time.perf_counter() - started

    def close(self, recorder: Recorder) -> None:
        """Measure after the last step what was not due there."""
        step = recorder.num_steps
        missing = [probe for probe in self._probes if not probe.is_due(step)]
        self._measure(recorder, step, missing)

    def seal(self) -> SealedSegment | None:
        """Write what was measured so far as one segment; return it, if there is one."""
        if self._rows:
            names, steps, values = zip(*self._rows, strict=True)
            self._writer.append({"probe": list(names), "step": list(steps), "value": list(values)})
            self._rows = []
        return self._writer.seal()

    def records(self) -> list[dict[str, Any]]:
        """Return what the begin record says of the probes."""
        return [probe.record() for probe in self._probes]

    def _measure(self, recorder: Recorder, step: int, probes: Sequence[Probe]) -> None:
        for probe in probes:
            with recorder.capture.paused():
                value = probe_value(recorder.model, probe)
            self._rows.append((probe.name, step, value))
