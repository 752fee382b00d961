"""What trust in a run's log rests on: keys, a quorum and witnesses from elsewhere than the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gradledger.log import QuorumPolicy, VerifierKey


@dataclass(frozen=True)
class Anchors:
    """Keys, a quorum and witnesses.

    Attributes:
        keys: Verifier keys, as text.
        quorum: Text of a quorum policy; empty without one.
        witnesses: Folders or URLs of witnesses. Only whoever starts the server names these: a page
            makes it neither open a folder nor ask another host.
    """

    keys: tuple[str, ...] = ()
    quorum: str = ""
    witnesses: tuple[str, ...] = ()

    @staticmethod
    def read(keys: Sequence[str], quorum: Path | None, witnesses: Sequence[str]) -> Anchors:
        """Return anchors as they are named on a command line, files read.

        Raises:
            LogError: L101 a key, L151 the quorum file.
            StorageError: S113 a file cannot be read.
        """
        texts = [
            Path(key).read_text(encoding="utf-8", errors="replace").strip()
            if Path(key).is_file()
            else key
            for key in keys
        ]
        text = ""
        if quorum is not None:
            QuorumPolicy.read(quorum)
            text = quorum.read_text(encoding="utf-8", errors="replace")
        return Anchors((), text, tuple(witnesses)).with_these(texts, "")

    def with_these(self, keys: Sequence[str], quorum: str) -> Anchors:
        """Return these and further ones; a quorum takes the place of the one before.

        Raises:
            LogError: L101 a key, L151 the quorum.
        """
        for key in keys:
            VerifierKey.parse(key)
        if quorum:
            QuorumPolicy.parse(quorum.encode())
        both = tuple(dict.fromkeys([*self.keys, *keys]))
        return Anchors(both, quorum or self.quorum, self.witnesses)

    @property
    def policy(self) -> QuorumPolicy | None:
        """The quorum, read."""
        return QuorumPolicy.parse(self.quorum.encode()) if self.quorum else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing from elsewhere is known."""
        return not (self.keys or self.quorum or self.witnesses)
