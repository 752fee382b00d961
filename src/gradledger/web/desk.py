"""Opened runs and their latest answers: the same question on the same files is asked once.

A run is known by the files that it consists of. While it trains, files come to it, and what was
answered before is forgotten. Several readers who ask the same thing at once wait for one answer.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gradledger import __version__
from gradledger.errors import WebError
from gradledger.ledger import Ledger, find_runs, open_ledger
from gradledger.query import Answer
from gradledger.web.answers import Answers

#: Runs that stay open, answers that are kept, and seconds for which files are not looked at again.
_MAX_RUNS: Final = 8
_MAX_ANSWERS: Final = 400
_FRESH_SECONDS: Final = 1.0

#: Answers that took longer are kept on disk.
_SLOW_SECONDS: Final = 0.03

Signature = tuple[tuple[str, int, int], ...]


@dataclass
class _Opened:
    ledger: Ledger
    signature: Signature
    looked_at: float


class Desk:
    """Where runs of one folder are opened and asked.

    Args:
        folder: Runs, or one run.
        work: Folder for what is derived: kept answers and sorted copies.
    """

    def __init__(self, folder: Path, work: Path) -> None:
        self.folder = folder.resolve()
        self.copies = work / "copies"
        self.kept = Answers(work / "answers", __version__)
        self.work = work
        self.on_open: Callable[[str], None] = lambda _: None
        self._lock = threading.Lock()
        self._places: dict[str, Path] = {}
        self._opened: OrderedDict[str, _Opened] = OrderedDict()
        self._answers: OrderedDict[Any, Future[Any]] = OrderedDict()

    def names(self) -> dict[str, Path]:
        """Look for runs and return them by the name that stands in URLs."""
        found = {name.replace("/", "~"): place for name, place in find_runs(self.folder).items()}
        self._places = found
        return dict(found)

    def place(self, name: str) -> Path:
        """Return the directory of a run; only names that were found lead anywhere.

        Raises:
            WebError: W104 where there is no run of that name.
        """
        place = self._places.get(name)
        if place is None or not (place / "run.json").is_file():
            place = self.names().get(name)
        if place is None:
            raise WebError(
                "W104",
                observed=repr(name[:100]),
                expected="one of the runs in the list",
                hint="open the list of runs",
            )
        return place

    def ledger(self, name: str) -> Ledger:
        """Return the run, opened; opened again where its files are others than before.

        Raises:
            WebError: W104 where there is no run of that name.
            QueryError: Q101 to Q103 where it cannot be opened.
        """
        return self._entry(name).ledger

    def signature(self, name: str) -> Signature:
        """Return what tells the files of a run from others, at most a second old."""
        return self._entry(name).signature

    def ask(self, name: str, method: str, *values: Any, **named: Any) -> Any:
        """Return what a method of the run's ledger answers.

        Args:
            name: The run.
            method: Name of the method.
            *values: Its arguments.
            **named: Its arguments by name.

        Raises:
            GradledgerError: What the method raises.
        """
        entry = self._entry(name)
        # Only progress reads what is not sealed yet.
        files = entry.signature if method == "progress" else _sealed(entry.signature)
        key = (name, files, method, repr(values), repr(sorted(named.items())))
        return self.once(key, lambda: self._answer(entry, method, values, named))

    def is_prepared(self, name: str) -> bool:
        """Whether the usual questions on a run were asked beforehand."""
        return self.kept.is_prepared(self._kept_at(self._entry(name)))

    def mark_prepared(self, name: str) -> None:
        """Note that the usual questions on a run were asked."""
        self.kept.mark_prepared(self._kept_at(self._entry(name)))

    def _answer(
        self, entry: _Opened, method: str, values: tuple[Any, ...], named: dict[str, Any]
    ) -> Any:
        """Return a kept answer, or ask and keep what took long; open runs change too soon."""
        question = f"{method} {values!r} {sorted(named.items())!r}"
        is_closed = entry.ledger.end is not None
        if is_closed and (found := self.kept.read(self._kept_at(entry), question)) is not None:
            return found
        begun = time.perf_counter()
        answer = getattr(entry.ledger, method)(*values, **named)
        is_slow = time.perf_counter() - begun > _SLOW_SECONDS
        if is_closed and is_slow and isinstance(answer, Answer):
            self.kept.keep(self._kept_at(entry), question, answer)
        return answer

    def _kept_at(self, entry: _Opened) -> Path:
        return self.kept.place(entry.ledger.begin.run_id, _sealed(entry.signature))

    def once(self, key: Any, work: Callable[[], Any]) -> Any:
        """Return the value of ``work`` for a key, doing it once for all who ask."""
        with self._lock:
            found = self._answers.get(key)
            is_mine = found is None
            if found is None:
                found = self._answers[key] = Future()
                while len(self._answers) > _MAX_ANSWERS:
                    self._answers.popitem(last=False)
            else:
                self._answers.move_to_end(key)
        if is_mine:
            try:
                found.set_result(work())
            except BaseException as error:
                with self._lock:
                    self._answers.pop(key, None)
                found.set_exception(error)
                raise
        return found.result()

    def _entry(self, name: str) -> _Opened:
        place = self.place(name)
        with self._lock:
            entry = self._opened.get(name)
            now = time.monotonic()
            if entry is not None and now - entry.looked_at < _FRESH_SECONDS:
                self._opened.move_to_end(name)
                return entry
        signature = signature_of(place)
        with self._lock:
            entry = self._opened.get(name)
            if entry is None or _sealed(entry.signature) != _sealed(signature):
                entry = _Opened(open_ledger(place, copies=self.copies), signature, now)
            is_new = name not in self._opened or self._opened[name].ledger is not entry.ledger
            entry = _Opened(entry.ledger, signature, now)
            self._opened[name] = entry
            self._opened.move_to_end(name)
            while len(self._opened) > _MAX_RUNS:
                # Whoever still asks it keeps it alive; it is closed with the last of them.
                self._opened.popitem(last=False)
        if is_new:
            self.on_open(name)
        return entry


def signature_of(place: Path) -> Signature:
    """Return names, sizes and times of the files that answers come from."""
    patterns = ("*.json", "*/part-*.parquet", "*/*/part-*.parquet", "wal/*.log", "resumes/*.json")
    found = []
    for pattern in patterns:
        for path in place.glob(pattern):
            try:
                state = path.stat()
            except OSError:
                continue  # Sealed and cleared away between the listing and the look.
            found.append((path.relative_to(place).as_posix(), state.st_size, state.st_mtime_ns))
    return tuple(sorted(found))


def _sealed(signature: Signature) -> Signature:
    return tuple(item for item in signature if not item[0].startswith("wal/"))
