"""The catalogue of findings: each code with its title.

Each code has an entry in ``docs/reference/findings.md``; a test holds the two together.
"""

from __future__ import annotations

from typing import Final

#: The catalogue of findings: what verification can find, code -> title. Codes are never reused.
#: From V900 on they are notices: what a reader must know, and nothing that is wrong.
FINDINGS: Final[dict[str, str]] = {
    # V1: the log
    "V101": "log is missing",
    "V102": "file of the log is malformed",
    "V103": "checkpoint is another log's",
    "V104": "checkpoint is not signed by the keys it should be",
    "V105": "tile is missing",
    "V106": "tile or bundle differs from the leaves",
    "V107": "root hash differs from the leaves",
    "V108": "checkpoints contradict each other",
    "V109": "log is shorter than what was signed",
    "V110": "file does not belong to the log",
    "V111": "quorum of witnesses is not met",
    "V112": "witness saw another history",
    "V113": "leaves behind the end are not signed",
    # V2: leaves
    "V201": "leaf is malformed",
    "V202": "leaf is another run's",
    "V203": "file is in two leaves",
    "V204": "leaf is out of order",
    "V205": "leaf differs from the record",
    # V3: files that leaves commit to
    "V301": "file is missing",
    "V302": "file is altered",
    "V303": "rows differ from the leaf",
    "V304": "segment is not in the log",
    "V305": "commitments differ from the leaf",
    "V306": "file differs from the manifest",
    "V307": "file is in no leaf",
    "V308": "change in a file is located",
    # V4: sequence of steps and visits
    "V401": "steps are not dense",
    "V402": "state changed between steps",
    "V403": "visits do not fit their step",
    "V404": "totals differ from the records",
    "V405": "records cannot be read",
    # V5: books
    "V501": "lines do not add up to the change",
    "V502": "books do not fit their step",
    "V503": "books do not balance",
    # V6: decisions
    "V601": "decision is not what the policy says",
    "V602": "policy text is not the one recorded",
    "V603": "numbers of examples or decisions are not dense",
    "V604": "commitments differ from the tables",
    # V7: authority of visits
    "V701": "visit rests on no admitted example",
    "V702": "weight above the permitted one",
    "V703": "content differs from what was admitted",
    # V8: model states
    "V801": "model state differs from its digest",
    "V802": "final digest is not the model's",
    # V85: evidence
    "V851": "evidence is malformed",
    "V852": "leaf is not in the checkpoint",
    "V853": "checkpoint of evidence is not signed by a trusted key",
    "V854": "evidence is not about its subject",
    "V855": "row is not in its segment",
    "V856": "text is not the one in the row",
    "V857": "file of a bundle is missing, altered or foreign",
    "V858": "tiles of a bundle do not lead to the checkpoint",
    "V859": "absence is not proved",
    "V860": "statement is not signed by a trusted key",
    "V861": "statement does not fit",
    # V87: answers to challenges
    "V871": "answer is malformed",
    "V872": "challenge is not what its seed draws",
    "V873": "drawn step is not answered",
    "V874": "state of a step differs when it is executed again",
    "V875": "visits of a step differ when it is executed again",
    "V876": "booked figure differs when it is executed again",
    # V88: forks
    "V880": "fork does not fit its record",
    "V881": "parent of the fork is another",
    # V89: erasures
    "V890": "certificate of an erasure is missing or malformed",
    "V891": "certificate of an erasure differs from the record",
    "V892": "certificate of an erasure is not signed by the log's key",
    "V893": "what an erasure removed is still there",
    # V9: notices
    "V901": "log is unsigned",
    "V902": "signatures were checked with the log's own keys only",
    "V903": "leaves wait for a checkpoint",
    "V904": "run is not closed",
    "V905": "decisions cannot be checked again",
    "V906": "resume was cut off",
    "V907": "witness knows nothing of the log",
    "V908": "absence cannot be proved for some sources",
    "V909": "model state was thinned",
    "V910": "state was removed by an erasure",
    "V911": "text of a bundle has other words",
    "V920": "parent of the fork is not at hand",
    "V921": "witness cannot be compared",
}
