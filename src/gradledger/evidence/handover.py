"""Hand evidence over: make it, write it, and say in words what the file proves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gradledger.errors import LogError, QueryError
from gradledger.evidence.absence import AbsenceEvidence, make_absence
from gradledger.evidence.bundle import bundle_files
from gradledger.evidence.container import write_folder, write_zip
from gradledger.evidence.logged import LoggedRun
from gradledger.evidence.make_receipt import (
    decision_receipt,
    examples_receipt,
    state_receipt,
    step_receipt,
    visit_receipt,
)
from gradledger.evidence.receipt import EvidenceReceipt
from gradledger.evidence.text import (
    not_proved_words,
    proved_words,
    row_counts,
    subject_words,
)
from gradledger.query import (
    Answer,
    Column,
    Records,
    Table,
    find_content,
    item_digest,
    keyed_values,
    read_items,
    selected_examples,
    sources_of,
    words,
)
from gradledger.schema import CommitmentsLeaf
from gradledger.segment import write_bytes_atomic

_VISIT_PARTS: Final = 3
_HASH_BYTES: Final = 32


def hand_receipt(
    records: Records,
    asked: Mapping[str, Any],
    *,
    hide: Sequence[str] = (),
    out: str | Path | None = None,
) -> Answer:
    """Make the receipt of one subject and write it.

    Args:
        records: The run.
        asked: Exactly one of ``visit`` (``STEP:MICRO:POSITION``), ``example`` (number, id or key),
            ``decision``, ``step`` and ``state`` (numbers).
        hide: Columns whose texts stay out; their digests are in the rows all the same.
        out: File to write; by default a name in the current folder.

    Raises:
        QueryError: Q108 nothing matches, Q110 argument.
        LogError: It cannot be proved (L132, L181), or the file is there already (L182).
    """
    given = {name: value for name, value in asked.items() if value is not None}
    if len(given) != 1:
        raise _argument(", ".join(given) or "nothing", f"exactly one of {', '.join(asked)}")
    kind, value = next(iter(given.items()))
    receipt = _make(records, kind, value, hide)
    name = (
        f"{kind}-{str(value).replace(':', '-')}"
        if kind != "example"
        else "example-" + "-".join(map(str, receipt.subject["examples"]))
    )
    path = Path(out) if out is not None else Path(f"{name}.receipt.json")
    _write_new(path, bytes(receipt))
    return _answer("receipt", subject_words(receipt.subject), receipt, path)


def hand_bundle(
    records: Records,
    where: Mapping[str, Any],
    *,
    hide: Sequence[str] = (),
    out: str | Path | None = None,
) -> Answer:
    """Make the bundle of selected examples and write it as a folder or a ZIP file.

    Args:
        records: The run.
        where: Filters by name; at least one.
        hide: Columns whose texts stay out.
        out: Name ending in ``.zip`` for an archive, any other for a folder; by default an archive
            in the current folder.

    Raises:
        QueryError: Q105 column, Q108 nothing matches, Q110 no filter.
        LogError: It cannot be proved (L132, L181), or the name is taken (L182).
    """
    if not where:
        raise _argument("no selection", "filters, such as --source or --example")
    selection = words(where)
    receipt = examples_receipt(records, selected_examples(records, where), hide)
    files = bundle_files(records.path, receipt, selection)
    path = Path(out) if out is not None else Path(f"bundle-{records.begin.run_id[:8]}.zip")
    if path.suffix.lower() == ".zip":
        write_zip(path, files)
    else:
        write_folder(path, files)
    return _answer("bundle", f"examples with {selection}", receipt, path)


def hand_absence(
    records: Records,
    *,
    content: Any = None,
    commitment: str | None = None,
    out: str | Path | None = None,
) -> Answer:
    """Prove that content is not among the sealed commitments, and write the proofs.

    Args:
        records: The run.
        content: An item, or the path of a file that holds one; see ``exclude``.
        commitment: In place of content: a commitment of 64 hex digits, looked for in the seals of
            all sources.
        out: File to write; by default a name in the current folder.

    Returns:
        An answer whose ``findings`` are 1, and no file, where the content is there.

    Raises:
        QueryError: Q110 argument, Q131 content, Q132 salts.
        LogError: The log or a seal is damaged (L132, L171), the file is there already (L182), or
            nothing was sealed (L171).
    """
    if (content is None) == (commitment is None):
        raise _argument("both or neither", "either content or a commitment")
    logged = LoggedRun(records.path)
    found: tuple[int, ...] = ()
    if content is not None:
        items = read_items(Path(content)) if isinstance(content, str | Path) else [content]
        digests = [item_digest(item) for item in items]
        values, found = keyed_values(records, digests), find_content(records, digests).examples
    else:
        value = _hex(str(commitment))
        values = {leaf.source: [value] for _, leaf in logged.of_kind(CommitmentsLeaf)}
    evidence, present = make_absence(logged, records.begin.run_id, values, sources_of(records))
    if present or found:
        return _is_there(present, found)
    if not evidence.proofs:
        raise LogError(
            "L171",
            observed="no source whose commitments are sealed and whose salt is there",
            expected="at least one",
            where=str(records.path),
            hint="commitments are sealed when a logged run is closed",
        )
    path = Path(out) if out is not None else Path("absence.json")
    _write_new(path, bytes(evidence))
    return _absent(evidence, path)


def _make(records: Records, kind: str, value: Any, hide: Sequence[str]) -> EvidenceReceipt:
    if kind == "visit":
        parts = str(value).split(":")
        if len(parts) != _VISIT_PARTS or not all(part.isdecimal() for part in parts):
            raise _argument(f"visit {value}", "STEP:MICRO:POSITION, such as 12:0:3")
        step, micro_batch, position = (int(part) for part in parts)
        return visit_receipt(records, step, micro_batch, position, hide)
    if kind == "example":
        return examples_receipt(records, selected_examples(records, {"example": value}), hide)
    if kind == "decision":
        return decision_receipt(records, int(value), hide)
    if kind == "step":
        return step_receipt(records, int(value), hide)
    return state_receipt(records, int(value))


def _answer(question: str, title: str, receipt: EvidenceReceipt, path: Path) -> Answer:
    head = receipt.checkpoint
    rows = tuple(row_counts(receipt).items())
    columns = (Column("table", "table"), Column("rows", "rows", "integer"))
    return Answer(
        question=question,
        title=f"Evidence: {title}",
        kind="accounting",
        facts={
            "written to": str(path),
            "log": head.origin,
            "tree size": head.size,
            "signed": "yes" if head.signed else "no",
            "leaves": len(receipt.leaves),
        },
        tables=(Table("rows", "Rows proved", columns, rows),),
        notes=(
            *(f"proved: {sentence}" for sentence in proved_words(receipt)),
            *(f"not proved: {sentence}" for sentence in not_proved_words(receipt)),
            "the receiver checks it with: gradledger check FILE --key KEY",
        ),
    )


def _is_there(present: Sequence[str], found: Sequence[int]) -> Answer:
    return Answer(
        question="absence",
        title="Absence: it is there",
        kind="accounting",
        facts={
            "answer": "present: no absence can be proved",
            "sources that hold it": ", ".join(present) or "-",
            "examples": ", ".join(map(str, found)) or "-",
        },
        notes=("no file was written",),
        findings=1,
    )


def _absent(evidence: AbsenceEvidence, path: Path) -> Answer:
    head = evidence.proofs[0].receipt.checkpoint
    columns = (Column("source", "source"), Column("why", "why nothing can be proved"))
    return Answer(
        question="absence",
        title="Absence: not among the sealed commitments",
        kind="accounting",
        facts={
            "written to": str(path),
            "log": head.origin,
            "tree size": head.size,
            "proofs": len(evidence.proofs),
            "sources not provable": len(evidence.unprovable),
        },
        tables=(
            Table(
                "unprovable", "Not provable", columns, tuple(sorted(evidence.unprovable.items()))
            ),
        ),
        notes=(
            "equal bytes only: content that differs in one number has another commitment",
            "that a value stands for this content can be told by the holder of the salts alone",
        ),
    )


def _write_new(path: Path, content: bytes) -> None:
    if path.exists() or path.is_symlink():
        raise LogError(
            "L182",
            observed="a file",
            expected="a free name",
            where=str(path),
            hint="choose another name with --out: evidence is never overwritten",
        )
    write_bytes_atomic(path, content)


def _hex(text: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != _HASH_BYTES:
        raise _argument(f"the commitment {text!r:.80}", "64 hex digits")
    return value


def _argument(observed: str, expected: str) -> QueryError:
    return QueryError("Q110", observed=observed, expected=expected, where="evidence")
