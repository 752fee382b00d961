"""What witnesses saw last, against the log: whoever rewrites or cuts it cannot rewrite them too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path

from gradledger.errors import LogError
from gradledger.log import (
    HISTORY_FOLDER,
    Checkpoint,
    CosignRequest,
    HttpWitness,
    LogReader,
    RefusedError,
    last_witnessed,
    refusal,
)
from gradledger.verify.finding import Finding
from gradledger.verify.statements import read_bytes


def check_witnessed(run_dir: Path, witnesses: Sequence[Path | HttpWitness]) -> list[Finding]:
    """Compare the log with what witnesses remember of it.

    Args:
        run_dir: The run.
        witnesses: The folder of each, or where it is asked.

    Raises:
        LogError: A witness's memory cannot be read (L132), or it cannot be asked (L141, L190).
        StorageError: A file cannot be read. Code S113.
    """
    findings: list[Finding] = []
    if not witnesses:
        return findings
    try:
        reader = LogReader(run_dir)
    except LogError:
        return findings  # a log that cannot be read has a finding of its own
    for witness in witnesses:
        check = _ask if isinstance(witness, HttpWitness) else _look
        findings += check(reader, witness)  # type: ignore[arg-type]
    return findings


def _look(reader: LogReader, folder: Path) -> Iterator[Finding]:
    """Compare with the memory of a witness that lies in a folder."""
    seen = last_witnessed(folder, reader.origin)
    place = f"witness {folder.name}"
    if seen is None:
        yield Finding("V907", place, "nothing", f"a checkpoint of {reader.origin}")
    elif seen.size > reader.size:
        yield Finding("V112", place, f"{reader.size} leaves", f"{seen.size}, which it saw")
    else:
        try:
            root = reader.root(seen.size)
        except LogError:
            return  # a tile is missing or damaged, which is found where it lies
        if root != seen.root:
            observed = f"root hash {root.hex()} at size {seen.size}"
            yield Finding("V112", place, observed, f"{seen.root.hex()}, seen there")


def _ask(reader: LogReader, witness: HttpWitness) -> Iterator[Finding]:
    """Ask a witness elsewhere, always about a size that it saw, so that it learns nothing new.

    A request whose old size is the checkpoint's own is granted exactly where the witness saw this
    root hash last.
    """
    place, head = f"witness {witness.verifier.name}", reader.checkpoint
    answer = _asked(witness, head)
    seen = answer.last_size if answer else None
    if answer is not None and seen is not None and 0 < seen < head.size:
        content = read_bytes(reader.log_dir / HISTORY_FOLDER / str(seen))
        if content is None:
            yield Finding("V921", place, f"size {seen}, which it saw", "a checkpoint of that size")
            return
        head = Checkpoint.parse(content)
        answer = _asked(witness, head)
    if answer is None:
        return
    if answer.status == HTTPStatus.NOT_FOUND or answer.last_size == 0:
        yield Finding("V907", place, "nothing", f"a checkpoint of {reader.origin}")
    elif answer.status == HTTPStatus.FORBIDDEN:
        yield Finding("V921", place, answer.observed, "a log whose key it knows")
    elif answer.status != HTTPStatus.CONFLICT:
        raise answer
    elif seen is not None and seen > head.size:
        yield Finding("V112", place, f"{reader.size} leaves", f"{seen}, which it saw")
    else:
        observed = f"root hash {head.root.hex()} at size {head.size}"
        yield Finding("V112", place, observed, "another root hash, seen there")


def _asked(witness: HttpWitness, head: Checkpoint) -> RefusedError | None:
    """Return the refusal to cosign a head again; None where the witness saw it last."""
    if head.note is None:
        return refusal(HTTPStatus.NOT_FOUND, "an unsigned log", "a signed one")
    note = head.note
    try:
        signatures = witness.cosign(CosignRequest(head.size, (), head))
    except RefusedError as error:
        return error
    own = (witness.verifier.name, witness.verifier.key_id)
    given = [item for item in signatures if (item.name, item.key_id) == own]
    for signature in given:
        note = note.with_signature(signature)
    if not given or not note.verify([witness.verifier]):
        expected = str(witness.verifier)
        raise refusal(HTTPStatus.BAD_GATEWAY, "an answer without its cosignature", expected)
    return None
