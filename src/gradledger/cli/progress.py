"""A bar on stderr while a run is executed again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def executing(what: str = "executing") -> Iterator[Callable[[int, int], None]]:
    """Draw a bar with the time left; nothing where nothing is executed, or nobody looks.

    Args:
        what: Word before the bar.
    """
    bar = Progress(
        TextColumn(what),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    task = bar.add_task("steps", total=None, visible=False)

    def advance(done: int, whole: int) -> None:
        bar.update(task, completed=done, total=whole, visible=True)

    with bar:
        yield advance
