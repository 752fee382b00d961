"""Write-ahead records: the intent of a step before its update, the commit with its rows after it.

They keep what is not sealed yet. A kill loses no booked step: its rows are read back from here. An
intent without a commit says which step was under way, on which examples, from which state.

Shape legend: V visits of a step, G parameter groups, B rows of the books.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from gradledger.schema import BOOKS
from gradledger.segment import AppendLog, LogRecord, read_append_log, remove_append_log

#: Folder of a run that holds the log of the session that writes it.
FOLDER: Final = "wal"

_NUMBERS: Final = ("step", "micro_batch", "position", "example", "decision")
_BOOKS: Final = tuple(name for name, kind in BOOKS.items() if kind == "float64")
_NAMED: Final = tuple(name for name, kind in BOOKS.items() if kind != "float64")


@dataclass
class VisitRows:
    """The visits of one step.

    Attributes:
        columns: The fixed columns of the visits table, each as long as the step has visits.
        measures: Prefix (``align``, ``gnorm``, ``unorm``) -> one row per visit, one column per
            parameter group.
    """

    columns: dict[str, Any]
    measures: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Commit:
    """Rows of one step as they were committed."""

    visits: VisitRows
    books: list[dict[str, Any]]
    step: dict[str, Any]


@dataclass(frozen=True)
class Intent:
    """A step that was about to change the model.

    Attributes:
        step: Its number.
        fingerprint: State before it, 16 hex digits.
        examples: Example numbers of every micro-batch.
    """

    step: int
    fingerprint: str
    examples: list[list[int]]


class WriteAhead:
    """The log of one writing session.

    Args:
        run_dir: The run.
        session: 0 for the first writer, then the number of the resume.
    """

    def __init__(self, run_dir: Path, session: int) -> None:
        self._log = AppendLog(run_dir / session_path(session))

    def intend(self, step: int, fingerprint: str, examples: Sequence[Sequence[int]]) -> None:
        """Write the intent of a step; called before its update.

        Raises:
            StorageError: The disk refuses; the model is as before the step. Code S112.
        """
        self._log.append(
            {"kind": "intent", "step": step, "fingerprint": fingerprint, "examples": examples}
        )

    def commit(
        self, visits: VisitRows, books: Sequence[Mapping[str, Any]], step: Mapping[str, Any]
    ) -> None:
        """Write the rows of a step that ended.

        Raises:
            StorageError: The disk refuses. Code S112.
        """
        self._log.append(*encode_commit(visits, books, step))

    def clear(self) -> None:
        """Forget what is sealed."""
        self._log.clear()

    def close(self, *, remove: bool = False) -> None:
        """Close the file; remove it where the run is complete without it."""
        self._log.close(remove=remove)


def remove_write_ahead(run_dir: Path) -> None:
    """Remove the logs of a run whose rows are all sealed; a crash may have left them.

    Raises:
        StorageError: The disk does not let one go. Code S112.
    """
    for path in (run_dir / FOLDER).glob("session-*.log"):
        remove_append_log(path)


def session_path(session: int) -> str:
    """Return the path of a session's log below the run."""
    return f"{FOLDER}/session-{session:04d}.log"


def read_write_ahead(run_dir: Path) -> tuple[list[str], list[Commit], list[Intent]]:
    """Return the logs of a run: their paths, all commits, and the intents that have none."""
    paths: list[str] = []
    commits: list[Commit] = []
    intents: dict[int, Intent] = {}
    for path in sorted((run_dir / FOLDER).glob("session-*.log")):
        paths.append(path.relative_to(run_dir).as_posix())
        for record in read_append_log(path):
            number = int(record.head["step"])
            if record.head["kind"] == "commit":
                commits.append(decode_commit(record))
                intents.pop(number, None)
            else:
                head = record.head
                intents[number] = Intent(number, head["fingerprint"], head["examples"])
    return paths, commits, list(intents.values())


def encode_commit(
    visits: VisitRows, books: Sequence[Mapping[str, Any]], step: Mapping[str, Any]
) -> tuple[dict[str, Any], bytes]:
    """Return the rows of a step as a JSON head and bytes."""
    columns = visits.columns
    count = len(columns["step"])
    blank = [
        (loss is None) + 2 * (tokens is None)
        for loss, tokens in zip(columns["loss"], columns["tokens"], strict=True)
    ]
    # A level books few of the columns: the others are not written at all.
    known = set[str]().union(*books)
    named, numeric = ([name for name in names if name in known] for names in (_NAMED, _BOOKS))
    head = {
        "kind": "commit",
        "step": step["step"],
        "visits": count,
        "groups": {name: values.shape[1] for name, values in visits.measures.items()},
        "row": dict(step),
        "columns": numeric,
        "books": [{name: row.get(name) for name in named} for row in books],
    }
    parts: list[np.ndarray[Any, np.dtype[Any]]] = [
        *(np.asarray(columns[name], np.int32) for name in _NUMBERS),
        np.asarray([0.0 if value is None else value for value in columns["loss"]], np.float64),
        np.asarray([value or 0 for value in columns["tokens"]], np.int64),
        np.asarray(blank, np.uint8),
        *(np.ascontiguousarray(values, np.float32) for values in visits.measures.values()),
        np.asarray([[row.get(name) for name in numeric] for row in books], np.float64),
    ]
    body = b"".join([*(part.tobytes() for part in parts), *columns["digest"]])
    return head, body


def decode_commit(record: LogRecord) -> Commit:
    """Return the rows of a step; numbers of the books that are not finite come back as null."""
    head, body = record.head, _Bytes(record.body)
    count, books = head["visits"], head["books"]
    columns: dict[str, Any] = {name: body.take(np.int32, count).tolist() for name in _NUMBERS}
    losses, tokens = body.take(np.float64, count).tolist(), body.take(np.int64, count).tolist()
    blank = body.take(np.uint8, count).tolist()
    columns["loss"] = [
        None if mask & 1 else value for value, mask in zip(losses, blank, strict=True)
    ]
    columns["tokens"] = [
        None if mask & 2 else value for value, mask in zip(tokens, blank, strict=True)
    ]
    measures = {
        name: body.take(np.float32, count * groups).reshape(count, groups)
        for name, groups in head["groups"].items()
    }
    numeric = head["columns"]
    values = body.take(np.float64, len(books) * len(numeric)).reshape(len(books), len(numeric))
    columns["digest"] = [body.raw(32) for _ in range(count)]
    rows = [
        {
            **named,
            **{
                name: None if np.isnan(value) else float(value)
                for name, value in zip(numeric, row, strict=True)
            },
        }
        for named, row in zip(books, values, strict=True)
    ]
    return Commit(VisitRows(columns, measures), rows, head["row"])


class _Bytes:
    """Takes arrays off the front of bytes."""

    def __init__(self, content: bytes) -> None:
        self._content, self._place = content, 0

    def take(self, dtype: Any, count: int) -> np.ndarray[Any, np.dtype[Any]]:
        width = np.dtype(dtype).itemsize
        return np.frombuffer(self.raw(width * count), dtype)

    def raw(self, count: int) -> bytes:
        start, self._place = self._place, self._place + count
        return self._content[start : self._place]
