"""Check whatever one was handed: a receipt, a bundle, proofs of absence, a statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gradledger.canon import parse_json
from gradledger.errors import InputError, LogError
from gradledger.evidence.absence import ABSENCE_FORMAT, AbsenceEvidence, check_absence_evidence
from gradledger.evidence.bundle import LEAF_SUFFIX
from gradledger.evidence.check_bundle import check_bundle
from gradledger.evidence.check_receipt import check_receipt, check_signers
from gradledger.evidence.check_statement import check_statement
from gradledger.evidence.container import MAX_BYTES, ZIP_MAGIC, read_container, read_zip
from gradledger.evidence.receipt import RECEIPT_FORMAT, EvidenceReceipt, malformed
from gradledger.evidence.subject import is_subject
from gradledger.evidence.text import not_proved_words, proved_words, subject_words
from gradledger.log import QuorumPolicy, Receipt, RowReceipt, VerifierKey
from gradledger.segment import cannot_read
from gradledger.verify import Finding

ROW_RECEIPT_FORMAT: Final = "gradledger.row-receipt/1"
_PROOF_HEADS: Final = (b"c2sp.org/tlog-proof@", b"gradledger.unsigned-proof/")


@dataclass
class Checked:
    """What a check of one piece of evidence came to.

    Attributes:
        kind: ``receipt``, ``bundle``, ``absence``, ``leaf``, ``statement`` or ``unknown``.
        about: What it is about, in words.
        findings: All findings and notices.
        proved: What it proves where nothing is wrong, one sentence each.
        not_proved: What it does not prove.
    """

    kind: str
    about: str
    findings: list[Finding]
    proved: list[str] = field(default_factory=list)
    not_proved: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong; notices do not count."""
        return all(finding.is_notice for finding in self.findings)


def check_evidence(
    path: Path,
    trusted: Sequence[VerifierKey] = (),
    quorum: QuorumPolicy | None = None,
    model: Path | None = None,
) -> Checked:
    """Check a file or folder of evidence, offline and without the run.

    Args:
        path: A receipt, bundle (folder or ZIP), proofs of absence, ``.tlog-proof`` with its leaf
            beside it, or statement.
        trusted: Keys from elsewhere than the evidence.
        quorum: Which witnesses must have cosigned the checkpoint.
        model: Folder of the model that a statement is about, to compare digests with.

    Raises:
        StorageError: Something cannot be read. Code S113.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _bundle(read_container(path), trusted, quorum)
        content = _read(path)
        if content.startswith(ZIP_MAGIC):
            return _bundle(read_zip(content), trusted, quorum)
        if content.startswith(_PROOF_HEADS):
            leaf = _read(path.with_suffix(LEAF_SUFFIX))
            return _leaf(Receipt.parse(content), leaf, trusted, quorum)
        return _json(content, trusted, quorum, model)
    except (LogError, InputError) as error:
        wrong = Finding("V851", path.name, error.observed, error.expected)
        return Checked("unknown", "nothing that can be read", [wrong])


def _json(
    content: bytes,
    trusted: Sequence[VerifierKey],
    quorum: QuorumPolicy | None,
    model: Path | None,
) -> Checked:
    record: Any = parse_json(content, "evidence")
    form = record.get("format") if isinstance(record, dict) else None
    if form == RECEIPT_FORMAT:
        receipt = EvidenceReceipt.parse(content)
        return _receipt("receipt", receipt, check_receipt(receipt, trusted, quorum))
    if form == ROW_RECEIPT_FORMAT:
        return _row(RowReceipt.parse(content), trusted, quorum)
    if form == ABSENCE_FORMAT:
        evidence = AbsenceEvidence.parse(content)
        return _absence(evidence, check_absence_evidence(evidence, trusted, quorum))
    if isinstance(record, dict) and "payloadType" in record:
        about, findings, proved = check_statement(content, trusted, model)
        limits = ["that what is stated is true: it says who states it"]
        return Checked("statement", about, findings, proved, limits)
    raise malformed(f"the format {form!r:.60}", "receipt, bundle, absence or statement")


def _bundle(
    files: dict[str, bytes], trusted: Sequence[VerifierKey], quorum: QuorumPolicy | None
) -> Checked:
    receipt, findings = check_bundle(files, trusted, quorum)
    if receipt is None:
        return Checked("bundle", "nothing that can be read", findings)
    return _receipt("bundle", receipt, findings)


def _receipt(kind: str, receipt: EvidenceReceipt, findings: list[Finding]) -> Checked:
    found = Checked(kind, "no known subject", findings)
    if is_subject(receipt.subject):
        found.about = subject_words(receipt.subject)
        found.proved, found.not_proved = proved_words(receipt), not_proved_words(receipt)
    return found


def _row(
    receipt: RowReceipt, trusted: Sequence[VerifierKey], quorum: QuorumPolicy | None
) -> Checked:
    findings = []
    objection, flaw = receipt.check_row(), receipt.check_log()
    if objection:
        findings.append(Finding("V855", "row", objection, "a row of the leaf's segment"))
    if flaw:
        findings.append(Finding("V852", "leaf", str(flaw), "a leaf of the checkpoint's tree"))
    findings += check_signers(receipt.receipt.checkpoint, None, trusted, quorum, "row receipt")
    return Checked("receipt", f"row {receipt.index} of a segment", findings, ["the row is logged"])


def _leaf(
    receipt: Receipt, leaf: bytes, trusted: Sequence[VerifierKey], quorum: QuorumPolicy | None
) -> Checked:
    findings = []
    flaw = receipt.check_inclusion(leaf)
    if flaw:
        findings.append(Finding("V852", "leaf", str(flaw), "a leaf of the checkpoint's tree"))
    findings += check_signers(receipt.checkpoint, None, trusted, quorum, "receipt")
    return Checked("leaf", f"leaf {receipt.index}", findings, ["the leaf is in the log"])


def _absence(evidence: AbsenceEvidence, findings: list[Finding]) -> Checked:
    num = len(evidence.proofs)
    return Checked(
        "absence",
        f"{num} values that are not among sealed commitments",
        findings,
        [f"{num} commitments are not among those that the run sealed for their sources"],
        [
            "that a commitment stands for certain content: only the holder of the salt can tell",
            "that content which differs in a single byte was not used",
            "that the run sealed the commitments of all that it used: replay is the test of that",
        ],
    )


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise malformed(f"{path.stat().st_size} bytes", f"file of at most {MAX_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise cannot_read(path, error) from error
