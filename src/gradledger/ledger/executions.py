"""What is had by executing a run again, by a function of this process or by the user's script."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradledger.errors import QueryError
from gradledger.ledger.entry import load_loop, load_replay
from gradledger.ledger.script import run_script
from gradledger.query import SETTLED, Answer, Records, allowed, replayed, settled

Progress = Callable[[int, int], None]


class Executions:
    """The part of a ledger that executes a run again as it was."""

    _records: Records

    def replay(
        self,
        *,
        start: int | None = None,
        tolerance: float | None = None,
        fresh: bool = False,
        progress: Progress | None = None,
        **loop: Any,
    ) -> Answer:
        """Truth: execute the run again and say whether it is the same, bit for bit.

        Args:
            start: Step of the stored state to begin with, 0 for the opening; by default behind
                what was found identical on this machine before.
            tolerance: None to stop at the first difference; else go on while groups are nearer to
                the recorded ones than this, relative to their displacement, and say what holds.
            fresh: Begin at the opening whatever was found before.
            progress: Called after every step with its number and that of the last one.
            loop: What is executed, one of: ``command``, the words that start the script that was
                recorded (with ``name`` where it records under another name now); ``build`` and
                ``train``; or nothing, where the run names its loop (``trust_entry`` and
                ``entry_arguments`` as in ``whatif``, ``entry`` for another function).

        Raises:
            ReplayError: The run cannot be executed again (R101 to R105, R141, R142), or the
                training loop cannot be had (R133 to R135, R143 to R145).
        """
        task = {"name": "compare", "start": start, "tolerance": tolerance, "fresh": fresh}
        found = self._perform(task, progress, **loop)
        return replayed(self._records, found)

    def settle(
        self,
        intervals: Sequence[tuple[int, int]] | None = None,
        *,
        measure: str = "displacement",
        key: str | Path | None = None,
        progress: Progress | None = None,
        **loop: Any,
    ) -> Answer:
        """Accounting: execute the run once more and book what each visit did over whole intervals.

        A pass that was killed goes on at the last stored state that it had come to. Probes are
        booked too where the loop brings them along, with the shares of displacement.

        Args:
            intervals: Pairs (start, stop) of stored steps; by default the whole run.
            measure: ``displacement``: each gradient is booked when it is incurred, with all that it
                will still cause at today's rates. ``frozen``, the frozen-curvature adjoint: each is
                carried on by later steps as they really went; every step is executed twice.
            key: Key file that signs the log, where it is signed; None takes that of the
                environment variable ``GRADLEDGER_KEY``.
            progress: Called after every step with its number and that of the last one.
            loop: As for ``replay``.

        Raises:
            ReplayError: The run cannot be executed again, is settled already (R106), its optimizer
                has no such measure (R107), or the probes are not those that were recorded (R121).
            LogError: The log is signed, and the key is not the one that signs it. Code L136.
        """
        allowed("measure", measure, SETTLED)
        if measure == "frozen":
            found = self._settle_frozen(intervals, key, progress or _tell_nobody, loop)
            return settled(self._records, found, measure)
        task = {
            "name": "settle",
            "intervals": None if intervals is None else [list(pair) for pair in intervals],
            "key": None if key is None else str(key),
        }
        found = self._perform(task, progress, **loop)
        return settled(self._records, found)

    def _settle_frozen(
        self,
        intervals: Sequence[tuple[int, int]] | None,
        key: str | Path | None,
        progress: Progress,
        loop: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Execute every stretch that is not booked yet twice, the last first, then conclude."""
        engine, path = load_replay(), self._records.path
        wanted, stretches = engine.frozen_stretches(path, intervals, key)
        whole = sum(2 * (stretch.stop - stretch.start) for stretch in stretches)
        done = 0
        for stretch in stretches:
            for name in ("frozen_note", "frozen_book"):
                task = {
                    "name": name,
                    "intervals": [list(pair) for pair in wanted],
                    "start": stretch.start,
                    "stop": stretch.stop,
                }

                def tell(step: int, _: int, before: int = done - stretch.start) -> None:
                    progress(before + step, whole)

                if not stretch.is_booked:
                    self._perform(task, tell, **loop)
                done += stretch.stop - stretch.start
        found: dict[str, Any] = engine.finish_frozen(path, wanted, key)
        return found

    def _perform(
        self,
        task: Mapping[str, Any],
        progress: Progress | None,
        *,
        command: Sequence[str] = (),
        name: str | None = None,
        **loop: Any,
    ) -> dict[str, Any]:
        """Perform a task with whichever loop there is."""
        if command:
            return run_script(self._records.path, task, command, name=name, progress=progress)
        engine = load_replay()
        found: dict[str, Any] = engine.perform(
            self._records.path, task, self._executed_loop(**loop), progress or _tell_nobody
        )
        return found

    def _executed_loop(
        self,
        *,
        build: Callable[[], Any] | None = None,
        train: Callable[[Any], None] | None = None,
        entry: str | None = None,
        trust_entry: bool = False,
        entry_arguments: Mapping[str, Any] | None = None,
    ) -> Any:
        if build is not None and train is not None:
            return load_replay().TrainingLoop(build, train)
        if build is not None or train is not None:
            raise QueryError(
                "Q110", observed="build or train alone", expected="both, or neither", where="replay"
            )
        return load_loop(self._records, trust=trust_entry, arguments=entry_arguments, entry=entry)


def _tell_nobody(step: int, num_steps: int) -> None:
    del step, num_steps
