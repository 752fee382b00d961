"""Evidence that leaves the house: receipts, bundles, proofs of absence, statements, and erasure.

What is made here is checked here too, without the run and without a network. Nothing needs torch.
"""

from gradledger.evidence.absence import AbsenceEvidence, check_absence_evidence
from gradledger.evidence.certificate import ERASURE_LIMITS, Remains, Request
from gradledger.evidence.check import Checked, check_evidence
from gradledger.evidence.check_erasure import check_erasures, erased_before
from gradledger.evidence.check_receipt import check_receipt
from gradledger.evidence.dsse import Envelope
from gradledger.evidence.erasure import ERASURES, Certified, issue_erasure, needs_key
from gradledger.evidence.forget import LIMITS, Forgotten, forget_source
from gradledger.evidence.handover import hand_absence, hand_bundle, hand_receipt
from gradledger.evidence.model_digest import ModelDigest, model_digest
from gradledger.evidence.receipt import EvidenceReceipt
from gradledger.evidence.statements import policy_statement, provenance, verification
from gradledger.evidence.thin import Thinned, thin_states

__all__ = [
    "ERASURES",
    "ERASURE_LIMITS",
    "LIMITS",
    "AbsenceEvidence",
    "Certified",
    "Checked",
    "Envelope",
    "EvidenceReceipt",
    "Forgotten",
    "ModelDigest",
    "Remains",
    "Request",
    "Thinned",
    "check_absence_evidence",
    "check_erasures",
    "check_evidence",
    "check_receipt",
    "erased_before",
    "forget_source",
    "hand_absence",
    "hand_bundle",
    "hand_receipt",
    "issue_erasure",
    "model_digest",
    "needs_key",
    "policy_statement",
    "provenance",
    "thin_states",
    "verification",
]
