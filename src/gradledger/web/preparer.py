"""Prepare large runs in a process of its own: sorted copies, answers to the usual questions.

What it makes is derived. Until it is done, and where it never runs, pages show the same and take
longer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gradledger.errors import GradledgerError
from gradledger.ledger import Ledger
from gradledger.web.arguments import Arguments
from gradledger.web.content import Contents
from gradledger.web.context import Context
from gradledger.web.desk import Desk
from gradledger.web.pages import RUN_PAGES
from gradledger.web.site import Site
from gradledger.web.work import Work

#: Runs with fewer visits answer at once.
MIN_VISITS: Final = 50_000

#: Kinds of one column whose pages are prepared, at most.
_MAX_KINDS: Final = 40
_KINDS: Final = ("class", "rule", "profile", "verdict", "policy", "license", "licence")
_COLUMNS: Final = ("class", "rule", "source", "license")


class Preparer:
    """Starts the preparation of large runs when they are opened.

    Args:
        desk: Where they are opened.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def wanted(self, name: str) -> None:
        """Prepare a run if it is large, closed and not prepared yet; returns at once."""
        end = self._desk.ledger(name).end
        if end is None or end.num_visits < MIN_VISITS or self._desk.is_prepared(name):
            return
        before = self._processes.get(name)
        if before is not None and before.poll() is None:
            return
        folders = [str(self._desk.folder), str(self._desk.work)]
        self._processes[name] = subprocess.Popen(  # noqa: S603 - this package's own module
            [sys.executable, "-m", "gradledger.web.preparer", *folders, name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def close(self) -> None:
        """Stop what is under way."""
        for process in self._processes.values():
            process.terminate()


def prepare(folder: Path, work: Path, name: str) -> None:
    """Write sorted copies of a run, and ask what its pages ask by default.

    Args:
        folder: The folder that is served.
        work: Where derived files go.
        name: The run.
    """
    desk = Desk(folder, work)
    desk.ledger(name).sort_copies()
    # Opened anew, with the copies at hand.
    desk = Desk(folder, work)
    site = Site(desk, Work(work), Contents())
    for page, items in _usual(desk, name):
        try:
            RUN_PAGES[page][1](Context(site, name, page, Arguments.of(items)))
        except GradledgerError:
            continue  # A question that this run does not answer is not asked.
    desk.mark_prepared(name)


def _usual(desk: Desk, name: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield pages with their arguments: those that a run's own pages link to, without examples."""
    for page in ("overview", "trace", "matrix", "capability", "policies", "follow", "books"):
        yield page, []
    for page in ("states", "verify", "whatif", "examples"):
        yield page, []
    yield from _of_model(desk.ledger(name))
    yield from _of_probes(desk, name)
    yield from _of_kinds(desk, name)


def _of_model(ledger: Ledger) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    parameters = [group for group in ledger.begin.groups if group.role == "parameters"]
    for unit in dict.fromkeys([*ledger.begin.blocks, *(group.name for group in parameters)]):
        yield "trace", [("group", unit)]
    yield "matrix", [("rows", "group")]


def _of_probes(desk: Desk, name: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    keys = [key for key in _COLUMNS if key in desk.ledger(name).keys]
    for row in desk.ask(name, "capabilities").rows:
        probe = str(row["name"])
        yield "capability", [("name", probe)]
        yield "policies", [("capability", probe)]
        for key in ("block", *keys):
            yield "capability", [("name", probe), ("by", key)]


def _of_kinds(desk: Desk, name: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    known = desk.ledger(name).keys
    for key in _COLUMNS:
        yield "matrix", [("columns", key)]
        yield "trace", [("by", key)]
        yield "follow", [("column", key)]
    for key in (key for key in _KINDS if key in known):
        for row in desk.ask(name, "trace", by=key, top=_MAX_KINDS).rows:
            if row[key] is not None:
                yield "follow", [("where", f"{key}={row[key]}")]


if __name__ == "__main__":
    os.nice(19)
    prepare(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
