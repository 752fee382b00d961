"""Digests of the content of examples, taken from the data set that the training loop admits.

A run holds keyed commitments alone. Whoever has the data set can digest it again, compare it with
them, and look for the same content under the keys of other runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradledger.recorder.examples import AdmittedDataset
from gradledger.recorder.presented import item_digest
from gradledger.recorder.recorder import Recorder
from gradledger.recorder.step import Step
from gradledger.replay.loop import TrainingLoop
from gradledger.replay.machine import as_recorded
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import RerunJournal, execute
from gradledger.state.torch_state import preserved_rng


class _Contents(RerunJournal):
    """Digests chosen items at admission."""

    def __init__(self, run: RecordedRun, examples: frozenset[int]) -> None:
        super().__init__(run, self)
        self._chosen = examples
        self.found: dict[int, bytes] = {}

    def admit(self, recorder: Recorder, dataset: Any, metadata: Any) -> AdmittedDataset:
        """Admit as recorded, with content compared, and digest what was chosen."""
        first = len(recorder.examples)
        kept = super().admit(recorder, dataset, metadata)
        for number in range(first, len(recorder.examples)):
            if number not in self._chosen:
                continue
            digest, again = (item_digest(dataset[number - first]) for _ in range(2))
            if digest == again:  # An item that is changed at random has no content to look for.
                self.found[number] = digest
        return kept

    def book(
        self, recorder: Recorder, step: Step, sizes: Sequence[int], routed: frozenset[int]
    ) -> None:
        """Nothing is trained."""


def contents_of(run: RecordedRun, loop: TrainingLoop, examples: Sequence[int]) -> dict[int, bytes]:
    """Return the SHA-256 of chosen examples' content, from the data set.

    Args:
        run: The recorded run.
        loop: Admits the data set; nothing is trained.
        examples: Their numbers.

    Raises:
        ReplayError: The data set is not the recorded one (R104).
    """
    journal = _Contents(run, frozenset(examples))
    with as_recorded(run.begin["environment"]), preserved_rng():
        execute(run, loop.build, loop.train, journal, stop=0, measure_visits=False)
    return journal.found
