"""Check a statement: its envelope, its form, who signed it, and the model that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from gradledger.evidence.certificate import ERASURE_TYPE
from gradledger.evidence.check_erasure import erasure_objections
from gradledger.evidence.dsse import Envelope
from gradledger.evidence.model_digest import model_digest
from gradledger.evidence.statements import POLICY_TYPE, PROVENANCE_TYPE, RESULT_TYPE
from gradledger.log import VerifierKey
from gradledger.query import inert
from gradledger.verify import Finding

_NAMES: Final[dict[str, str]] = {
    ERASURE_TYPE: "that examples were erased from a model",
    POLICY_TYPE: "the admission policies of a run",
    PROVENANCE_TYPE: "how a model was trained",
    RESULT_TYPE: "the result of a verification",
}
#: Statements whose subjects are no model's files.
_OF_NO_MODEL: Final = frozenset({POLICY_TYPE, RESULT_TYPE})


def check_statement(
    content: bytes, trusted: Sequence[VerifierKey] = (), model: Path | None = None
) -> tuple[str, list[Finding], list[str]]:
    """Check a statement in its envelope.

    Args:
        content: The envelope.
        trusted: Keys from elsewhere; a statement without one of them proves nothing.
        model: Folder of the model, to compare digests with.

    Returns:
        What it is about; findings; what it proves.

    Raises:
        LogError: The envelope or the statement is malformed (L161), or the folder holds no model
            (L184).
        StorageError: A file cannot be read. Code S113.
    """
    envelope = Envelope.parse(content)
    record = envelope.statement()
    findings = []
    signers = envelope.signers(trusted)
    if not signers:
        expected = f"signed by {trusted[0]}" if trusted else "a key to check it with"
        findings.append(Finding("V860", "envelope", "no signature by a trusted key", expected))
    kind = record["predicateType"]
    if kind not in _NAMES:
        known = ", ".join(_NAMES)
        findings.append(Finding("V861", "predicateType", inert(kind), known))
    if kind == ERASURE_TYPE:
        fits = "a certificate that fits itself"
        findings += [
            Finding("V861", "predicate", inert(text, 300), fits)
            for text in erasure_objections(record)
        ]
    if model is not None and kind in _OF_NO_MODEL:
        expected = "one about a model: check this one without a model"
        findings.append(Finding("V861", "subject", _NAMES[kind], expected))
    elif model is not None:
        findings += _check_model(record, model)
    by = ", ".join(inert(key.name) for key in signers)
    proved = [f"{by or 'nobody known'} states {_NAMES.get(kind, inert(kind))}"]
    if model is not None:
        proved.append("the model in the folder is the one that the statement is about")
    return _NAMES.get(kind, inert(kind)), findings, proved


def _check_model(record: dict[str, Any], model: Path) -> list[Finding]:
    stated = {item["digest"].get("sha256") for item in record["subject"]}
    digest = model_digest(model)
    findings = [
        Finding("V861", inert(path), f"SHA-256 {found}", "a subject of the statement")
        for path, found in digest.files.items()
        if found not in stated
    ]
    if digest.root not in stated:
        expected = "a subject of the statement"
        findings.append(Finding("V861", "model", f"root digest {digest.root}", expected))
    return findings
