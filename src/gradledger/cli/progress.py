"""A bar with the time left, while a run is executed again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def executing() -> Iterator[Callable[[int, int], None]]:
    """Draw a bar on stderr while a run is executed; nothing where nothing is."""
    console = Console(stderr=True, highlight=False)
    bar = Progress(
        TextColumn("executing"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    task = bar.add_task("steps", total=None, visible=False)

    def advance(step: int, num_steps: int) -> None:
        bar.update(task, completed=step, total=num_steps, visible=True)

    with bar:
        yield advance
