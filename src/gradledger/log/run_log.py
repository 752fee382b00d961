"""The log of a run while it is written: one leaf for each thing that happens to it.

Leaves are appended when something is sealed, never in a step. Each names files by their path and
digest; what is already named is not named again, so that every call may be repeated after the disk
refused, and a run that was killed is taken up where its log stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from gradledger.canon import leaf_bytes, read_leaf
from gradledger.errors import InputError
from gradledger.log.commitments import seal_commitments
from gradledger.log.cosigning import Cosigner
from gradledger.log.description import DESCRIPTION_NAME, LOG_FOLDER
from gradledger.log.head import HISTORY_FOLDER
from gradledger.log.keys import SigningKey
from gradledger.log.manifest import list_files
from gradledger.log.rows import segment_leaves
from gradledger.log.run_leaves import (
    BEGIN_RECORD,
    STATE_RECORD,
    file_digests,
    missing_leaves,
    parts_of,
    state_folder,
    state_leaf,
)
from gradledger.log.writer import Log
from gradledger.schema import (
    THINNED,
    DerivedLeaf,
    ErasureLeaf,
    FilesLeaf,
    Leaf,
    ResumeLeaf,
    RunEndLeaf,
)
from gradledger.segment import SealedSegment, read_json

#: Origins of logs that nobody signs begin so; they mean nothing outside their run.
LOCAL_ORIGIN: Final = "gradledger.local"

_END: Final = "end.json"
#: Folders whose files no leaf names: what is not sealed yet.
_UNSEALED: Final = ("wal/",)


def origin_of(run_id: str, signer: SigningKey | None) -> str:
    """Return the name of a run's log: that of the key, or a local one, and the run."""
    return f"{signer.name if signer else LOCAL_ORIGIN}/{run_id}"


def describe_log(run_id: str, signer: SigningKey | None) -> dict[str, str]:
    """Return what the begin record says of the log: its origin, and the key that signs it."""
    origin = origin_of(run_id, signer)
    return {"origin": origin, "verifier_key": str(signer.named(origin).verifier) if signer else ""}


def has_log(run_dir: Path) -> bool:
    """Whether a run has a log."""
    return (Path(run_dir) / LOG_FOLDER / DESCRIPTION_NAME).is_file()


class RunLog:
    """The one writer of a run's log; begins it where there is none. A context manager.

    Args:
        run_dir: The run; its begin record and opening state are there.
        signer: The key; None for a log that nobody signs.

    Raises:
        LogError: The log is damaged (L132), or the key is not the one that signs it (L136).
        StorageError: Another writer holds the log (S111), or the disk refuses (S112, S113).
    """

    def __init__(self, run_dir: Path, signer: SigningKey | None) -> None:
        self.run_dir = Path(run_dir)
        self.begin: Mapping[str, Any] = read_json(self.run_dir / BEGIN_RECORD)
        self.run_id = str(self.begin["run_id"])
        if has_log(self.run_dir):
            self._log = Log.open(self.run_dir, signer)
        else:
            origin = self.begin.get("log", {}).get("origin") or origin_of(self.run_id, signer)
            self._log = Log.create(self.run_dir, origin, signer)
        self._named: set[str] = set()
        self._ended = False
        try:
            for content in self._log.leaves():
                self._note(_leaf_or_none(content))
        except BaseException:
            self._log.close()
            raise

    @property
    def ended(self) -> bool:
        """Whether the end of the run is in the log."""
        return self._ended

    @property
    def size(self) -> int:
        """Leaves so far."""
        return self._log.size

    def take_up(self) -> None:
        """Append the leaves of everything that is sealed in the run and not in the log.

        At the begin these are the begin record, the policy and the opening state. After a crash
        they are what the resume set aside, and what was sealed just before.

        Raises:
            StorageError: A file cannot be read, or the disk refuses. Codes S112, S113, S115.
        """
        for leaf in missing_leaves(self.run_dir, self.begin, self._named):
            self._append(leaf)

    def add_segments(self, sealed: Iterable[SealedSegment]) -> None:
        """Append the leaves of segments that were sealed.

        Raises:
            StorageError: A segment cannot be read, or the disk refuses; call again. Codes S112,
                S115.
        """
        new = [segment for segment in sealed if segment.name not in self._named]
        for leaf in segment_leaves(self.run_dir, self.run_id, new):
            self._append(leaf)

    def add_state(self, step: int) -> None:
        """Append the leaf of the model state that was stored after a step.

        Raises:
            StorageError: It cannot be read, or the disk refuses. Codes S112 and S113.
        """
        if f"{state_folder(step)}/{STATE_RECORD}" not in self._named:
            self._append(state_leaf(self.run_dir, self.run_id, step))

    def add_thinned(self, step: int, reason: str) -> None:
        """Append that a stored model state goes because there are enough of them.

        Raises:
            StorageError: The disk refuses. Code S112.
        """
        self._append(
            ErasureLeaf(
                run_id=self.run_id,
                recorded_at=_now(),
                what=THINNED,
                scope=state_folder(step),
                reason=reason,
            )
        )

    def add_commitments(self, values: Mapping[str, Iterable[bytes]]) -> None:
        """Seal the commitments of every source, and append their leaves.

        Args:
            values: Source -> commitments of 32 bytes; equal ones count once.

        Raises:
            StorageError: The disk refuses. Code S112.
        """
        for number, source in enumerate(sorted(values)):
            leaf = seal_commitments(self.run_dir, self.run_id, source, number, values[source])
            if leaf.files[0].path not in self._named:
                self._append(leaf)

    def add_end(self) -> None:
        """Append the end of the run, and before it every file that no other leaf names.

        Those are also the checkpoints before the last one: none can be taken away unseen.

        Raises:
            StorageError: A file cannot be read, or the disk refuses. Codes S112 and S113.
        """
        if self._ended:
            return
        end = read_json(self.run_dir / _END)
        moment = str(end["closed_at"])
        known = {*self._named, _END}
        rest = [
            path
            for path, odd in list_files(self.run_dir)
            if not odd and path not in known and not path.startswith(_UNSEALED)
        ]
        for part in parts_of([*rest, *self._earlier_heads()]):
            self._append(
                FilesLeaf(
                    run_id=self.run_id, files=file_digests(self.run_dir, part), recorded_at=moment
                )
            )
        self._append(
            RunEndLeaf(
                run_id=self.run_id,
                files=file_digests(self.run_dir, [_END]),
                recorded_at=moment,
                num_steps=int(end["num_steps"]),
                final_sha256=str(end["final_digest"]),
            )
        )

    def _earlier_heads(self) -> list[str]:
        """Return the checkpoints before the last one: they are not cosigned any more, or changed.

        Later checkpoints cover what they said, but not who cosigned them, and when.
        """
        folder = self.run_dir / LOG_FOLDER / HISTORY_FOLDER
        sizes = (int(path.name) for path in folder.iterdir() if path.name.isdecimal())
        names = (
            f"{LOG_FOLDER}/{HISTORY_FOLDER}/{size}"
            for size in sorted(sizes)
            if size < self._log.checkpoint.size
        )
        return [name for name in names if name not in self._named]

    def add_derived(self, what: str, sealed: Iterable[SealedSegment]) -> None:
        """Append tables that were computed after the end of the run, behind a leaf that says so.

        Args:
            what: What computed them, such as ``settling``.
            sealed: Their segments.

        Raises:
            StorageError: A segment cannot be read, or the disk refuses. Codes S112, S115.
        """
        self._append(DerivedLeaf(run_id=self.run_id, recorded_at=_now(), what=what))
        self.add_segments(sealed)

    def publish(self) -> None:
        """Put everything under a checkpoint; see ``Log.publish``."""
        self._log.publish()

    def cosign(self, witness: Cosigner) -> None:
        """Have a witness cosign the last checkpoint; see ``cosign_log``."""
        self._log.cosign(witness)

    def close(self) -> None:
        """Let go of the log; leaves that were not published wait."""
        self._log.close()

    def __enter__(self) -> RunLog:
        """Hold the log for a block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _append(self, leaf: Leaf) -> None:
        self._log.append(leaf_bytes(leaf))
        self._note(leaf)

    def _note(self, leaf: Leaf | None) -> None:
        """Remember which files are named; what a resume sets aside makes its old place free."""
        for file in leaf.files if leaf else ():
            self._named.add(file.path)
            if isinstance(leaf, ResumeLeaf):
                self._named.discard(place_before(file.path))
        if isinstance(leaf, ErasureLeaf) and leaf.what == THINNED:
            self._named = {path for path in self._named if not path.startswith(f"{leaf.scope}/")}
        self._ended |= isinstance(leaf, RunEndLeaf)


def place_before(path: str) -> str:
    """Return the path that a file had before a resume set it aside; empty for any other file."""
    parts = path.split("/", 2)
    return parts[2] if parts[0] == "orphans" and len(parts) > 2 else ""  # noqa: PLR2004


def finish_log(run_dir: Path, signer: SigningKey | None) -> None:
    """Put the end of a closed run into its log, where a crash came between the two.

    Raises:
        LogError: The key is not the one that signs the log. Code L136.
        StorageError: The disk refuses. Codes S112 and S113.
    """
    with RunLog(run_dir, signer) as log:
        log.take_up()
        log.add_end()
        log.publish()


def _leaf_or_none(content: bytes) -> Leaf | None:
    try:
        return read_leaf(content)
    except InputError:
        return None  # of a later version; verification names it


def _now() -> str:
    return datetime.now(UTC).isoformat()
