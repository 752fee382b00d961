"""Parts of a verification shared between processes.

The largest part that waits is taken next, so that all are done at about the same time; this process
first does what only it can do. Answers stand in the order of the parts, whoever was done first, so
that the same run gives the same report with any number of processes. They talk in lines of JSON: a
script that verifies needs no guard against being started again, and nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from gradledger.errors import LogError
from gradledger.verify.parts import Part, answer
from gradledger.verify.progress import OnProgress, Progress

#: Below this a process takes longer to start than to help.
_WORTH_BYTES: Final = 64 << 20
_MAX_PROCESSES: Final = 64

Answer = dict[str, Any]


def share(
    parts: Sequence[Part], own: Callable[[], None], processes: int | None, tell: OnProgress
) -> list[Answer]:
    """Do all parts and return their answers, in their order.

    Args:
        parts: The parts.
        own: Done by this process, first.
        processes: How many processes, this one included; None takes one per core where there is
            enough to read.
        tell: Told after every part.

    Raises:
        LogError: A process died. Code L193.
    """
    total = sum(part.num_bytes for part in parts)
    count = (num_cores() if total >= _WORTH_BYTES else 1) if processes is None else processes
    count = min(count, len(parts) + 1, _MAX_PROCESSES)
    work = _Work(parts, total, tell)
    helpers = [_Helper(work) for _ in range(count - 1)] if sys.executable else []
    try:
        for helper in helpers:
            helper.start()
        own()
        while (place := work.take()) is not None:
            work.put(place, answer(parts[place].request))
        for helper in helpers:
            helper.join()
    finally:
        for helper in helpers:
            helper.stop()
    if len(work.answers) < len(parts):
        raise LogError(
            "L193",
            observed="a process that died",
            expected=f"{count} that come to their end",
            where="verify",
            hint="verify again with --processes 1; the system may have run out of memory",
        )
    return [work.answers[place] for place in range(len(parts))]


def num_cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Work:
    """Parts that wait, and answers that came."""

    def __init__(self, parts: Sequence[Part], total: int, tell: OnProgress) -> None:
        self.parts, self.answers = parts, dict[int, Answer]()
        self._total, self._tell, self._behind = total, tell, 0
        largest_first = sorted(range(len(parts)), key=lambda place: -parts[place].num_bytes)
        self._waiting = deque(largest_first)
        self._turn = threading.Lock()
        tell(Progress("records", 0, total))

    def take(self) -> int | None:
        """Take the largest part that waits; None where all are taken."""
        with self._turn:
            return self._waiting.popleft() if self._waiting else None

    def put(self, place: int, found: Answer) -> None:
        """Note an answer."""
        with self._turn:
            self.answers[place] = found
            self._behind += self.parts[place].num_bytes
            self._tell(Progress(self.parts[place].what, self._behind, self._total))


class _Helper(threading.Thread):
    """Keeps one other process busy; ends when nothing waits or the process died."""

    def __init__(self, work: _Work) -> None:
        super().__init__(daemon=True)
        self._work = work
        # -P: the current folder may belong to whoever handed over the run.
        path = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gradledger.verify.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            text=True,
            encoding="utf-8",
        )

    def run(self) -> None:
        """Ask, one part after the other."""
        asked, answered = self._process.stdin, self._process.stdout
        if asked is None or answered is None:
            return
        while (place := self._work.take()) is not None:
            try:
                asked.write(json.dumps(self._work.parts[place].request) + "\n")
                asked.flush()
                found = answered.readline()
            except (OSError, ValueError):
                return  # it died, or verification was stopped
            if not found.endswith("\n"):
                return
            self._work.put(place, json.loads(found))

    def stop(self) -> None:
        """End the process; what it was doing is lost."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue  # what was to be written has nobody to read it
