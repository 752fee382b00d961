"""What a log says of itself: description, checkpoints, what was signed last, waiting leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from gradledger.errors import GradledgerError, LogError
from gradledger.log import (
    CHECKPOINT_NAME,
    DESCRIPTION_NAME,
    HISTORY_FOLDER,
    LAST_SIGNED_NAME,
    UNSIGNED_NAME,
    WAITING_NAME,
    Checkpoint,
    LastSigned,
    LogDescription,
    parse_waiting,
)
from gradledger.segment import cannot_read, is_temporary
from gradledger.verify.finding import Finding

T = TypeVar("T")


@dataclass
class Statements:
    """The small files of a log, as far as they can be read.

    Attributes:
        description: Origin and keys.
        head: The last checkpoint; None where it lacks or is malformed.
        history: Checkpoints by size.
        last_signed: What was signed last; None where nothing was.
        waiting: Index and bytes of leaves that no checkpoint covers.
        findings: What is wrong with these files.
    """

    description: LogDescription
    head: Checkpoint | None = None
    history: dict[int, Checkpoint] = field(default_factory=dict)
    last_signed: LastSigned | None = None
    waiting: list[tuple[int, bytes]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def head_name(self) -> str:
        """Name of the file of the last checkpoint."""
        return CHECKPOINT_NAME if self.description.signed else UNSIGNED_NAME

    def claims(self) -> list[tuple[int, bytes, str]]:
        """Return every tree size that was written down, with its root hash and place."""
        found = [
            (head.size, head.root, f"{HISTORY_FOLDER}/{size}")
            for size, head in sorted(self.history.items())
        ]
        if self.last_signed:
            found.append((self.last_signed.size, self.last_signed.root, LAST_SIGNED_NAME))
        return found


def read_statements(log_dir: Path) -> Statements | Finding:
    """Read the small files of a log; a finding where there is none to speak of.

    Raises:
        StorageError: A file cannot be read. Code S113.
    """
    content = read_bytes(log_dir / DESCRIPTION_NAME)
    if content is None:
        return Finding("V101", f"log/{DESCRIPTION_NAME}", "no file", "the description of a log")
    try:
        found = Statements(LogDescription.parse(content))
    except LogError as error:
        return Finding("V102", f"log/{DESCRIPTION_NAME}", error.observed, error.expected)
    found.head = _parsed(found, log_dir, found.head_name, Checkpoint.parse)
    if found.head is None and not any(f.code == "V102" for f in found.findings):
        found.findings.append(
            Finding("V101", f"log/{found.head_name}", "no file", "the last checkpoint")
        )
    _read_history(found, log_dir)
    found.last_signed = _parsed(
        found, log_dir, LAST_SIGNED_NAME, lambda raw: LastSigned.parse(raw, LAST_SIGNED_NAME)
    )
    records = _parsed(found, log_dir, WAITING_NAME, lambda raw: list(parse_waiting(raw)))
    found.waiting = [(index, leaf) for index, leaf, _ in records or []]
    _check_origins(found)
    return found


def read_bytes(path: Path) -> bytes | None:
    """Return a file's content; None where there is no such file.

    Raises:
        StorageError: It cannot be read. Code S113.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise cannot_read(path, error) from error


def _parsed(found: Statements, log_dir: Path, name: str, parse: Callable[[bytes], T]) -> T | None:
    content = read_bytes(log_dir / name)
    if content is None:
        return None
    try:
        return parse(content)
    except GradledgerError as error:
        found.findings.append(Finding("V102", f"log/{name}", error.observed, error.expected))
        return None


def _read_history(found: Statements, log_dir: Path) -> None:
    folder = log_dir / HISTORY_FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if is_temporary(path.name):
            continue
        name = f"{HISTORY_FOLDER}/{path.name}"
        head = _parsed(found, log_dir, name, Checkpoint.parse)
        if head is not None and str(head.size) != path.name:
            wrong = Finding("V102", f"log/{name}", f"tree size {head.size}", path.name)
            found.findings.append(wrong)
        elif head is not None:
            found.history[head.size] = head
    head = found.head
    if head is not None and found.history.get(head.size) != head:
        kept = found.history.get(head.size)
        # Two that should be the same: the odd one is that whose signature does not hold.
        kept_is_odd = kept is not None and _is_signed(head, found) and not _is_signed(kept, found)
        name = f"{HISTORY_FOLDER}/{head.size}" if kept_is_odd else found.head_name
        observed = f"{kept.size}, root {kept.root.hex()}" if kept else "no such checkpoint kept"
        wrong = Finding("V108", f"log/{name}", observed, f"the last one, {head.size}")
        found.findings.append(wrong)


def _is_signed(head: Checkpoint, found: Statements) -> bool:
    """Whether a key that the log names signed a checkpoint."""
    try:
        return head.note is not None and bool(head.note.verify(found.description.keys))
    except LogError:
        return False


def _check_origins(found: Statements) -> None:
    description = found.description
    heads = [(found.head_name, found.head)]
    heads += [(f"{HISTORY_FOLDER}/{size}", head) for size, head in found.history.items()]
    for name, head in heads:
        if head and (head.origin, head.signed) != (description.origin, description.signed):
            kind = "signed" if head.signed else "unsigned"
            expected = f"{'signed' if description.signed else 'unsigned'}, {description.origin}"
            found.findings.append(
                Finding("V103", f"log/{name}", f"{kind}, {head.origin}", expected)
            )
    last = found.last_signed
    if last and last.origin != description.origin:
        place = f"log/{LAST_SIGNED_NAME}"
        found.findings.append(Finding("V103", place, last.origin, description.origin))
    if description.signed and last is None:
        place = f"log/{LAST_SIGNED_NAME}"
        found.findings.append(Finding("V101", place, "no readable file", "what was signed last"))
