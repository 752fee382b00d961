"""Removals executed in several processes side by side, each with the loop that the run names."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradledger.errors import ReplayError
from gradledger.query import Records


def execute_removals(
    records: Records,
    removals: Sequence[Sequence[int]],
    processes: int,
    *,
    trust: bool,
    arguments: Mapping[str, Any] | None,
    fresh: bool,
    on_done: Callable[[], None] = lambda: None,
) -> None:
    """Execute removals; their results are stored beside the run.

    Args:
        records: The run; it names its training loop.
        removals: The examples of every removal.
        processes: How many run side by side.
        trust: Whether the loop may be imported though this package does not bring it along.
        arguments: Take the place of recorded arguments of the loop.
        fresh: Execute again although a result is stored.
        on_done: Called after every removal, from one thread at a time.

    Raises:
        ReplayError: As the replay raises; or a process ended early (R157).
    """
    waiting: queue.SimpleQueue[Sequence[int]] = queue.SimpleQueue()
    for removal in removals:
        waiting.put(removal)
    head = {
        "run": str(records.path),
        "trust": trust,
        "arguments": dict(arguments or {}),
        "fresh": fresh,
    }
    failures: list[ReplayError] = []
    lock = threading.Lock()

    def work() -> None:
        with subprocess.Popen(
            [sys.executable, "-m", "gradledger.ledger.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                _feed(process, head, waiting, failures, lock, on_done)
            finally:
                process.terminate()

    threads = [threading.Thread(target=work) for _ in range(min(processes, len(removals)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _feed(
    process: subprocess.Popen[str],
    head: Mapping[str, Any],
    waiting: queue.SimpleQueue[Sequence[int]],
    failures: list[ReplayError],
    lock: threading.Lock,
    on_done: Callable[[], None],
) -> None:
    """Hand one removal after the other to a process, until none waits or one failed."""
    if process.stdin is None or process.stdout is None:
        return
    try:
        process.stdin.write(json.dumps(head) + "\n")
        while not failures:
            try:
                removal = waiting.get_nowait()
            except queue.Empty:
                return
            process.stdin.write(json.dumps(list(removal)) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            error = json.loads(line).get("error") if line else _ended(process)
            with lock:
                if error:
                    parts = {
                        name: error[name] for name in ("observed", "expected", "where", "hint")
                    }
                    failures.append(ReplayError(error["code"], **parts))
                else:
                    on_done()
    except BrokenPipeError:
        with lock:
            failures.append(ReplayError(**_ended(process)))


def _ended(process: subprocess.Popen[str]) -> dict[str, str]:
    return {
        "code": "R157",
        "observed": f"exit code {process.wait()}",
        "expected": "an answer to every removal",
        "where": "gradledger.ledger.worker",
        "hint": "see what it wrote to the error stream; or execute with one process",
    }
