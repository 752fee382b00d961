"""Absence: prove, and check, that content is not among the sealed commitments of a run.

One proof per source, since each source has its own salt. A source whose salt was destroyed cannot
be asked about content any more, and the evidence lists it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gradledger.canon import canonical_json, parse_json, read_leaf
from gradledger.errors import GradledgerError, InputError, LogError
from gradledger.evidence.check_receipt import check_signers
from gradledger.evidence.logged import LoggedRun
from gradledger.evidence.receipt import malformed
from gradledger.log import (
    AbsenceReceipt,
    QuorumPolicy,
    VerifierKey,
    prove_absence,
    read_commitments,
)
from gradledger.schema import CommitmentsLeaf
from gradledger.verify import Finding

ABSENCE_FORMAT: Final = "gradledger.absence/1"
SALT_GONE: Final = "its salt is destroyed"
NOT_SEALED: Final = "its commitments were not sealed"


@dataclass(frozen=True)
class AbsenceEvidence:
    """Proofs of absence, one or more per source, under one checkpoint.

    Attributes:
        run_id: The run.
        proofs: By index of the leaf and value.
        unprovable: Source -> why nothing can be proved about it.
        verifier_keys: Keys that the log names as its own.
    """

    run_id: str
    proofs: tuple[AbsenceReceipt, ...]
    unprovable: dict[str, str]
    verifier_keys: tuple[VerifierKey, ...]

    def __bytes__(self) -> bytes:
        """Return the canonical JSON file."""
        record = {
            "format": ABSENCE_FORMAT,
            "proofs": [proof.to_record() for proof in self.proofs],
            "run_id": self.run_id,
            "unprovable": self.unprovable,
            "verifier_keys": [str(key) for key in self.verifier_keys],
        }
        return canonical_json(record) + b"\n"

    @staticmethod
    def parse(content: bytes) -> AbsenceEvidence:
        """Read the file.

        Raises:
            LogError: It, or a receipt, key or checkpoint in it, is malformed (L161, L101, L111,
                L113).
        """
        try:
            record: Any = parse_json(content, "absence")
            unprovable = dict(record["unprovable"])
            found = AbsenceEvidence(
                str(record["run_id"]),
                tuple(AbsenceReceipt.from_record(item) for item in record["proofs"]),
                {source: str(why) for source, why in unprovable.items()},
                tuple(VerifierKey.parse(text) for text in record["verifier_keys"]),
            )
            same = record["format"] == ABSENCE_FORMAT and bytes(found) == content
        except LogError:
            raise
        except (GradledgerError, KeyError, TypeError, ValueError, AttributeError) as error:
            shown = str(error).splitlines()
            raise malformed(shown[0][:200] if shown else "nothing", ABSENCE_FORMAT) from error
        if not same:
            raise malformed("another spelling", ABSENCE_FORMAT)
        return found


def make_absence(
    logged: LoggedRun,
    run_id: str,
    values: Mapping[str, Sequence[bytes]],
    sources: Iterable[str],
) -> tuple[AbsenceEvidence, list[str]]:
    """Prove that values are not among the sealed commitments of their sources.

    Args:
        logged: The run's log.
        run_id: The run.
        values: Source -> commitments that are looked for; sources that lack cannot be asked.
        sources: All sources of the run.

    Returns:
        The evidence, and the sources that hold one of the values: where there is any, the evidence
        proves nothing about the content as a whole.

    Raises:
        LogError: Sealed commitments are damaged. Code L171.
        StorageError: A file cannot be read. Code S113.
    """
    proofs: list[AbsenceReceipt] = []
    present, sealed = [], set()
    unprovable: dict[str, str] = {}
    for index, leaf in logged.of_kind(CommitmentsLeaf):
        sealed.add(leaf.source)
        if leaf.source not in values:
            unprovable[leaf.source] = SALT_GONE
            continue
        held = set(read_commitments(logged.run_dir / leaf.files[0].path))
        if held.intersection(values[leaf.source]):
            present.append(leaf.source)
            continue
        receipt = logged.reader.receipt(index)
        proofs += [
            prove_absence(logged.run_dir, leaf, value, receipt)
            for value in sorted(set(values[leaf.source]))
        ]
    for source in set(sources) - sealed:
        unprovable[source] = NOT_SEALED
    keys = logged.reader.description.keys
    return AbsenceEvidence(run_id, tuple(proofs), unprovable, keys), present


def check_absence_evidence(
    evidence: AbsenceEvidence,
    trusted: Sequence[VerifierKey] = (),
    quorum: QuorumPolicy | None = None,
    place: str = "absence",
) -> list[Finding]:
    """Check proofs of absence; a source that cannot be asked is a notice.

    Args:
        evidence: The evidence.
        trusted: Keys of the log, from elsewhere.
        quorum: Which witnesses must have cosigned.
        place: What is checked, for the findings.
    """
    findings = []
    keys = [(proof.receipt.index, proof.value) for proof in evidence.proofs]
    if sorted(set(keys)) != keys:
        findings.append(Finding("V851", place, "proofs out of order", "each once, ascending"))
    for proof in evidence.proofs:
        findings += _check_proof(proof, evidence, f"{place}, leaf {proof.receipt.index}")
    if not evidence.proofs:
        findings.append(Finding("V859", place, "no proof at all", "one for some source"))
    else:
        head = evidence.proofs[0].receipt.checkpoint
        findings += check_signers(head, evidence.verifier_keys, trusted, quorum, place)
    if evidence.unprovable:
        observed = ", ".join(
            f"{source} ({why})" for source, why in sorted(evidence.unprovable.items())
        )
        findings.append(Finding("V908", place, observed[:400], "a proof for every source"))
    return findings


def _check_proof(proof: AbsenceReceipt, evidence: AbsenceEvidence, where: str) -> list[Finding]:
    findings = []
    try:
        leaf = read_leaf(proof.leaf)
    except InputError as error:
        return [Finding("V851", where, error.observed, error.expected)]
    if leaf.run_id != evidence.run_id:
        findings.append(Finding("V202", where, f"run {leaf.run_id}", f"run {evidence.run_id}"))
    if isinstance(leaf, CommitmentsLeaf) and leaf.source in evidence.unprovable:
        findings.append(
            Finding("V851", where, "a source also listed as unprovable", "one or other")
        )
    if bytes(proof.receipt.checkpoint) != bytes(evidence.proofs[0].receipt.checkpoint):
        findings.append(Finding("V851", where, "another checkpoint", "one for all proofs"))
    flaw = proof.check_log()
    if flaw:
        findings.append(Finding("V852", where, str(flaw), "a leaf of the checkpoint's tree"))
    objection = proof.objection()
    if objection:
        findings.append(Finding("V859", where, objection, "adjacent leaves around the value"))
    return findings
