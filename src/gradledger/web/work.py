"""Work that pages start: replays, reports, verifications; each a process of its own.

A replay needs torch and executes the run's training loop, so it never runs inside the server. One
piece of work runs at a time; others wait. What was asked, how far it is and what came of it lie in
a folder of their own, so that nothing is lost where the server ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from gradledger.canon import record_digest
from gradledger.errors import WebError
from gradledger.segment import make_folder, write_json

#: Pieces that may wait or run at once.
MAX_WAITING: Final = 8

_UNDER_WAY: Final = frozenset({"waiting", "running"})

REQUEST, PROGRESS, RESULT, OUTPUT = "request.json", "progress.json", "result.json", "output.txt"


@dataclass(frozen=True)
class Piece:
    """One piece of work.

    Attributes:
        number: Its id.
        request: What was asked: kind, run, arguments.
        state: ``waiting``, ``running``, ``done`` or ``failed``.
        done: Steps done.
        whole: Steps in all; 0 where that is not known.
        result: What came of it; empty until it is done.
        problem: What went wrong; empty where nothing did.
    """

    number: str
    request: Mapping[str, Any]
    state: str
    done: int = 0
    whole: int = 0
    result: Mapping[str, Any] | None = None
    problem: str = ""

    @property
    def is_under_way(self) -> bool:
        """Whether it waits or runs."""
        return self.state in _UNDER_WAY

    @property
    def moment(self) -> str:
        """When it was started, as a reader writes it."""
        day, _, time = self.number.partition("T")
        if not (len(day) == len("20260101") and time[:6].isdigit()):
            return ""
        date = f"{day[:4]}-{day[4:6]}-{day[6:8]}"
        return f"{date} {time[:2]}:{time[2:4]}:{time[4:6]} UTC"


class Work:
    """Starts work and tells how far it is.

    Args:
        folder: Where work is kept; made when the first piece is started.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="work")
        # Its thread begins here, so that work has the priority of whoever makes this.
        self._pool.submit(int)
        self._states: dict[str, str] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, kind: str, run_dir: Path, arguments: Mapping[str, Any]) -> str:
        """Start a piece of work, or find the one that is under way with the same request.

        Args:
            kind: one of those that ``worker`` knows, such as ``whatif``.
            run_dir: The run.
            arguments: Of the ledger's method of that name.

        Returns:
            Its id.

        Raises:
            WebError: W111 where too much is waiting.
            StorageError: S112 where the folder cannot be written.
        """
        request = {"kind": kind, "run": str(run_dir), "arguments": dict(arguments)}
        same = record_digest("work/1", json.loads(json.dumps(request)))[:12]
        with self._lock:
            for number, state in self._states.items():
                if number.endswith(same) and state in _UNDER_WAY:
                    return number
            if sum(state in _UNDER_WAY for state in self._states.values()) >= MAX_WAITING:
                raise WebError(
                    "W111",
                    observed=f"{MAX_WAITING} pieces",
                    expected="fewer",
                    where=str(self.folder),
                    hint="wait until one is done",
                )
            number = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{same}"
            place = self.folder / number
            make_folder(place)
            write_json(place / REQUEST, request)
            self._states[number] = "waiting"
        self._pool.submit(self._run, number)
        return number

    def piece(self, number: str) -> Piece:
        """Return a piece of work.

        Raises:
            WebError: W108 where there is none of that id.
        """
        place = self.folder / number
        is_plain = number.replace("-", "").isalnum()
        if not is_plain or not (place / REQUEST).is_file():
            raise WebError(
                "W108",
                observed=repr(number[:60]),
                expected="work that was started here",
                hint="start it again",
            )
        request = _read(place / REQUEST)
        progress = _read(place / PROGRESS)
        result = _read(place / RESULT)
        state = self._states.get(number, "failed")
        if result:
            state = "failed" if result.get("error") else "done"
        problem = str(result.get("error") or "") if result else ""
        if state == "failed" and not problem:
            problem = _tail(place / OUTPUT) or "it was cut off"
        return Piece(
            number,
            request,
            state,
            int(progress.get("step", 0)),
            int(progress.get("steps", 0)),
            result.get("value") if result else None,
            problem,
        )

    def find(self, run_dir: Path, kind: str, arguments: Mapping[str, Any]) -> Piece | None:
        """Return the latest piece of a kind with these very arguments; None where there is none."""
        return next(
            (
                piece
                for piece in self.pieces(run_dir, kind)
                if piece.request["arguments"] == arguments
            ),
            None,
        )

    def pieces(self, run_dir: Path, kind: str) -> list[Piece]:
        """Return the work of one kind on a run, the latest first."""
        if not self.folder.is_dir():
            return []
        found = []
        for place in sorted(self.folder.iterdir(), reverse=True):
            request = _read(place / REQUEST)
            if request.get("run") == str(run_dir) and request.get("kind") == kind:
                found.append(self.piece(place.name))
        return found

    def close(self) -> None:
        """Stop what is under way."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in list(self._processes.values()):
            process.terminate()

    def _run(self, number: str) -> None:
        place = self.folder / number
        self._states[number] = "running"
        command = [sys.executable, "-m", "gradledger.web.worker", str(place)]
        with (place / OUTPUT).open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - this package's own module, no shell
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
            self._processes[number] = process
            code = process.wait()
        del self._processes[number]
        self._states[number] = "done" if code == 0 else "failed"


def _read(place: Path) -> dict[str, Any]:
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _tail(place: Path) -> str:
    try:
        lines = place.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:400] if lines else ""
