"""Check a receipt: every row, every leaf, the texts, the subject, and who signed."""

from __future__ import annotations

from collections.abc import Sequence

from gradledger.canon import read_leaf, text_digest
from gradledger.errors import GradledgerError, InputError, LogError
from gradledger.evidence.receipt import EvidenceReceipt
from gradledger.evidence.subject import TableRow, subject_objections
from gradledger.log import Checkpoint, QuorumPolicy, VerifierKey
from gradledger.schema import Leaf, SegmentLeaf
from gradledger.verify import Finding


def check_receipt(
    receipt: EvidenceReceipt,
    trusted: Sequence[VerifierKey] = (),
    quorum: QuorumPolicy | None = None,
    place: str = "receipt",
) -> list[Finding]:
    """Check a receipt of rows.

    Args:
        receipt: The receipt.
        trusted: Keys of the log, from elsewhere; each counts under the origin that it names.
        quorum: Which witnesses must have cosigned.
        place: What is checked, for the findings.

    Returns:
        All findings and notices.
    """
    findings: list[Finding] = []
    leaves = _check_leaves(receipt, findings, place)
    rows = _check_rows(receipt, leaves, findings, place)
    if rows is not None and all(leaves):
        known = [leaf for leaf in leaves if leaf is not None]
        findings += [
            Finding("V854", place, objection, f"what {receipt.subject.get('kind')!r:.40} asks for")
            for objection in subject_objections(receipt.subject, rows, known)
        ]
    findings += check_signers(receipt.checkpoint, receipt.verifier_keys, trusted, quorum, place)
    return findings


def check_signers(
    head: Checkpoint,
    named: Sequence[VerifierKey] | None,
    trusted: Sequence[VerifierKey],
    quorum: QuorumPolicy | None,
    place: str,
) -> list[Finding]:
    """Check who signed a checkpoint: a key from elsewhere, or else the keys that came along.

    Args:
        head: The checkpoint.
        named: Keys of the log that came with the evidence, the present one last; None for forms of
            evidence that name none.
        trusted: Keys from elsewhere, named as the origin or as something above it.
        quorum: Which witnesses must have cosigned; keys of logs that it lists are trusted too.
        place: What is checked.
    """
    findings: list[Finding | None] = []
    trusted = [*trusted, *(quorum.logs if quorum else ())]
    trusted = [key.vouching_for(head.origin) or key for key in trusted]
    if not head.signed:
        if trusted or named:
            findings.append(Finding("V853", place, "unsigned", "signed by the log's key"))
        findings.append(Finding("V901", place, "no signature", "one that somebody answers for"))
    else:
        groups = [trusted] if named is None else [named[-1:], *([trusted] if trusted else [])]
        findings += [_signed_by(head, keys, place) for keys in groups]
        if named and not trusted:
            findings.append(
                Finding("V902", place, "the keys in the evidence itself", "a key from elsewhere")
            )
    objection = quorum.objection(head) if quorum else None
    if objection and quorum:
        findings.append(Finding("V111", place, objection, f"quorum {quorum.quorum!r}"))
    return [finding for finding in findings if finding is not None]


def _signed_by(head: Checkpoint, keys: Sequence[VerifierKey], place: str) -> Finding | None:
    try:
        signers = head.note.verify(keys) if head.note else []
        observed = "no signature by a trusted key"
    except LogError as error:
        signers, observed = [], error.observed
    if any(key.name == head.origin for key in signers):
        return None
    expected = f"{head.origin} signed by {keys[0] if keys else 'a key that is given'}"
    return Finding("V853", place, observed, expected)


def _check_leaves(
    receipt: EvidenceReceipt, findings: list[Finding], place: str
) -> list[Leaf | None]:
    leaves: list[Leaf | None] = []
    head = bytes(receipt.checkpoint)
    indices = [item.receipt.index for item in receipt.leaves]
    if sorted(set(indices)) != indices:
        findings.append(Finding("V851", place, "leaves out of order", "each once, ascending"))
    for item in receipt.leaves:
        where = f"{place}, leaf {item.receipt.index}"
        leaf: Leaf | None = None
        try:
            leaf = read_leaf(item.leaf)
        except InputError as error:
            findings.append(Finding("V851", where, error.observed, error.expected))
        leaves.append(leaf)
        if bytes(item.receipt.checkpoint) != head:
            findings.append(Finding("V851", where, "another checkpoint", "one for all leaves"))
        flaw = item.receipt.check_inclusion(item.leaf)
        if flaw:
            findings.append(Finding("V852", where, str(flaw), "a leaf of the checkpoint's tree"))
        if leaf is not None and leaf.run_id != receipt.run_id:
            findings.append(Finding("V202", where, f"run {leaf.run_id}", f"run {receipt.run_id}"))
        if isinstance(leaf, SegmentLeaf) == (item.columns is None):
            findings.append(Finding("V851", where, "columns amiss", "columns for segments alone"))
    if leaves and None not in leaves:
        used = {row.leaf for row in receipt.rows}
        idle = [
            n for n, leaf in enumerate(leaves) if isinstance(leaf, SegmentLeaf) and n not in used
        ]
        if idle:
            findings.append(Finding("V851", place, "a segment without rows", "no idle leaf"))
    return leaves


def _check_rows(
    receipt: EvidenceReceipt, leaves: Sequence[Leaf | None], findings: list[Finding], place: str
) -> list[TableRow] | None:
    keys = [(row.leaf, row.index) for row in receipt.rows]
    if sorted(set(keys)) != keys:
        findings.append(Finding("V851", place, "rows out of order", "each once, ascending"))
    rows: list[TableRow] = []
    for row, proved in zip(receipt.rows, receipt.row_receipts, strict=True):
        leaf = leaves[row.leaf]
        where = f"{place}, leaf {proved.receipt.index}, row {row.index}"
        objection = proved.check_row()
        if objection or not isinstance(leaf, SegmentLeaf):
            observed = objection or "a leaf that is no segment's"
            findings.append(Finding("V855", where, observed, "a row of the leaf's segment"))
            continue
        try:
            values = receipt.values(row)
        except (GradledgerError, OverflowError) as error:
            observed = getattr(error, "observed", str(error))
            findings.append(Finding("V855", where, observed, "values of the columns' types"))
            continue
        rows.append((leaf.table, values))
        kinds = dict(receipt.leaves[row.leaf].columns or ())
        for name, text in row.texts.items():
            if kinds.get(name) not in {"label", "string"} or text_digest(text) != values[name]:
                expected = "a text whose digest is in the row"
                findings.append(Finding("V856", f"{where}, {name}"[:200], "another text", expected))
    return rows if len(rows) == len(receipt.rows) else None
