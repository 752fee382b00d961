"""The journal: what a recorder does with what it observes.

Recording writes a run; a replay reads one and compares or settles. Both observe the same
training loop, so the loop never knows which of them it feeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from gradledger.recorder.examples import AdmittedDataset
from gradledger.recorder.order import RecordedOrder

if TYPE_CHECKING:
    from gradledger.recorder.recorder import Recorder
    from gradledger.recorder.step import MicroBatch, Step


class Journal(Protocol):
    """The side of a recorder that keeps or checks records."""

    def open(self, recorder: Recorder) -> None:
        """Begin: called once, when the recorder has attached to the model."""

    def admit(self, recorder: Recorder, dataset: Any, metadata: Any) -> AdmittedDataset:
        """Decide which items of a data set may be presented."""

    def commit(self, source: str, content: bytes) -> bytes:
        """Return the keyed commitment to the digest of what was presented."""

    def order(self) -> RecordedOrder | None:
        """Return the recorded order; None to let the loader decide."""

    def begin_step(self, recorder: Recorder, step: Step) -> None:
        """Note the state before a step."""

    def presented(self, step: Step, micro: MicroBatch) -> None:
        """Look at what is about to be shown to the model; nothing has been computed of it yet."""

    def between_steps(self, recorder: Recorder) -> bool:
        """Act while no step is open and everything after the last one is done.

        Returns:
            Whether random numbers were restored, which a resumed run does once.
        """

    def before_update(self, step: Step) -> None:
        """Take down what is about to happen; called when nothing has changed yet."""

    def book(
        self, recorder: Recorder, step: Step, sizes: Sequence[int], routed: frozenset[int]
    ) -> None:
        """Take down the update that just happened; called inside ``optimizer.step()``."""

    def end_step(self, recorder: Recorder, step: Step) -> None:
        """Note the state after a step and write it down."""

    def balance(self) -> str:
        """Say in a few words how the books stand."""

    def close(self, recorder: Recorder) -> None:
        """Seal everything."""

    def abort(self) -> None:
        """Stop early: keep what is complete, release what is held."""
