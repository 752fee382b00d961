"""The progress bar: loss, examples per second, and the balance of the books so far."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from gradledger.recorder import Recorder


class StepProgress:
    """One bar for one pass over the steps.

    Args:
        console: Where it is drawn.
        title: What is going on.
        steps: Steps in all.
        recorder: Its totals are shown; None where nothing is booked.
    """

    def __init__(
        self, console: Console, title: str, steps: int, recorder: Recorder | None = None
    ) -> None:
        self._recorder, self._console, self._title, self._steps = recorder, console, title, steps
        self._progress = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task(title, total=steps, facts="")
        self._started = time.perf_counter()
        self._visits = 0
        self._facts = ""

    def advance(self, step: int, loss: float, visits: int) -> None:
        """Move the bar after a step."""
        self._visits += visits
        rate = self._visits / (time.perf_counter() - self._started)
        self._facts = f"loss {loss:.3f}  {rate:4.0f} examples/s"
        if self._recorder is not None:
            self._facts += f"  {self._recorder.balance()}"
        self._progress.update(self._task, completed=step, facts=self._facts)

    def count(self, done: int, total: int) -> None:
        """Move the bar where steps are executed in another order than that of training."""
        self._steps = total
        self._progress.update(self._task, completed=done, total=total)

    def __enter__(self) -> Self:
        """Start the bar."""
        self._started = time.perf_counter()
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the bar; where no terminal shows it, leave one line."""
        self._progress.stop()
        if not self._console.is_terminal and kind is None:
            seconds = time.perf_counter() - self._started
            facts = f", {self._facts}" if self._facts else ""
            self._console.print(f"{self._title}: {self._steps} steps in {seconds:.1f} s{facts}")
