"""What the derivative costs, in plain trainings of the same model, and how its memory grows.

Caveat: the decoder of ``bench_predict_text``, one thread, process time, best of three; the first
pass, in which the record is compared, is included. A plain training has no recorder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.figure import Figure
from benchmarks.text_decoder import TextRun

import gradledger as gl
from gradledger.replay.adjoint import derive
from gradledger.replay.adjoint.plan import plan_segments
from gradledger.replay.recorded import RecordedRun

BARS = {1: (4.5, 3.2), 8: (16.0, 11.0)}


class Unrecorded:
    """What a loop sees where nothing is recorded."""

    def __init__(self, model: Any, optimizer: Any) -> None:
        self.model, self.optimizer = model, optimizer

    def admit(self, dataset: Any, metadata: Any = None) -> Any:  # noqa: ARG002 - as Recorder
        """Return the data set."""
        return dataset

    def batches(self, loader: Any) -> Any:
        """Return the loader."""
        return loader

    def step(self, batch: Any) -> AbstractContextManager[None]:  # noqa: ARG002 - as Recorder
        """Do nothing."""
        return nullcontext()


def measure() -> list[Figure]:
    """Time plain trainings and derivatives."""
    run = TextRun()
    plain = min(_seconds(lambda: run.loop(Unrecorded(*run.build()))) for _ in range(3))
    figures = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        with gl.record(path, *run.build()) as recorder:
            run.loop(recorder)
        recorded = RecordedRun(path)
        for num, (bar, goal) in BARS.items():
            behaviours = run.behaviours(num)
            taken = [
                _seconds(lambda b=behaviours: derive(recorded, run.build, run.loop, b))  # type: ignore[misc]
                for _ in range(2)
            ]
            figures.append(
                Figure(
                    f"predict.trainings_{num}",
                    min(taken) / plain,
                    "plain trainings",
                    "lower",
                    bar,
                    goal=goal,
                    spread=(max(taken) - min(taken)) / plain,
                )
            )
    # States kept at most where memory is short, over the square root of the steps.
    growth = max(plan_segments(steps, 0).num_kept / steps**0.5 for steps in (100, 1000, 10_000))
    figures.append(
        Figure("predict.states_per_root_of_steps", growth, "states", "lower", 2.2, goal=2.0)
    )
    return figures


def _seconds(action: Callable[[], Any]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started
