"""The run's log in the hands of a journal: opened once the run is born, closed with it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from gradledger.errors import LogError
from gradledger.log import Cosigner, QuorumPolicy, RunLog, SigningKey, witnesses_of
from gradledger.recorder.commitments import all_commitments
from gradledger.recorder.examples import Examples
from gradledger.segment import SealedSegment


class LogKeeper:
    """Appends leaves for what a journal seals; before the log is open, nothing is kept back.

    What is sealed earlier is taken up when the log is opened.

    Args:
        run_dir: The run.
        signer: Key that signs; None where nobody does.
        witnesses: They cosign when the log is opened and when the run ends.

    Attributes:
        signer: The key.
    """

    def __init__(
        self, run_dir: Path, signer: SigningKey | None, witnesses: Sequence[Cosigner] = ()
    ) -> None:
        self._run_dir, self.signer, self._witnesses = run_dir, signer, witnesses
        self._log: RunLog | None = None
        self._pending: list[SealedSegment] = []

    def open(self) -> RunLog:
        """Begin the log, or go on with it; it takes up what is sealed already.

        Witnesses are asked at once: a log that was rolled back, or a witness that does not know it,
        shows before anything is trained.

        Raises:
            LogError: The key does not fit the log (L136), it is damaged (L132), or a witness
                refuses (L141) or cannot be asked (L190).
            StorageError: The disk refuses. Code S112.
        """
        self._log = RunLog(self._run_dir, self.signer)
        self._log.take_up()
        self._log.publish()
        for witness in self._witnesses:
            self._log.cosign(witness)
        return self._log

    def segments(self, sealed: Sequence[SealedSegment | None]) -> None:
        """Append segments that were sealed; None stands for one without rows.

        Raises:
            StorageError: The disk refuses; the next call tries again. Code S112.
        """
        if self._log is not None:
            self._pending += [segment for segment in sealed if segment is not None]
            self._log.add_segments(self._pending)
            self._pending = []

    def state(self, step: int) -> None:
        """Append a stored model state, and publish."""
        if self._log is not None:
            self._log.add_state(step)
            self._log.publish()

    def thinned(self, step: int) -> None:
        """Append that a stored model state is about to go, and publish."""
        if self._log is not None:
            self._log.add_thinned(step, "schedule")
            self._log.publish()

    def commitments(self, examples: Examples) -> None:
        """Seal what absence is proved against; all visits are sealed."""
        if self._log is not None:
            self._log.add_commitments(all_commitments(self._run_dir, examples))

    def end(self) -> None:
        """Append the end of the run, publish, and have it cosigned.

        A witness that fails now does not keep the run from being closed; it can be asked later.
        """
        if self._log is None:
            return
        self._log.add_end()
        self._log.publish()
        for witness in self._witnesses:
            try:
                self._log.cosign(witness)
            except LogError as error:
                message = f"the end of the run is not cosigned by {witness.verifier.name}: {error}"
                warnings.warn(message, RuntimeWarning, stacklevel=2)

    def publish(self) -> None:
        """Put what was appended under a checkpoint."""
        if self._log is not None:
            self._log.publish()

    def close(self) -> None:
        """Let go of the log."""
        if self._log is not None:
            self._log.close()


def named_witnesses(given: Sequence[Cosigner] | str | Path) -> Sequence[Cosigner]:
    """Return the witnesses that a caller asks for.

    Args:
        given: The witnesses, or the file of a quorum policy: those of it that have a URL.

    Raises:
        LogError: The policy is malformed (L151), or a URL in it is (L190).
        StorageError: It cannot be read. Code S113.
    """
    if not isinstance(given, str | Path):
        return tuple(given)
    return witnesses_of(QuorumPolicy.read(Path(given)))
