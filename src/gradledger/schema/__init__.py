"""Records: what is written, as frozen, versioned dataclasses. Standard library only."""

from gradledger.schema.decision import VERDICTS, Decision, RuleTruth
from gradledger.schema.group import Coverage, GroupRecord, TensorRecord
from gradledger.schema.intervention import Intervention, Remove, Reprofile, Reweight
from gradledger.schema.leaf import (
    LEAF_FORMAT,
    LEAF_KINDS,
    CommitmentsLeaf,
    ErasureLeaf,
    FileDigest,
    KeyLeaf,
    Leaf,
    PolicyLeaf,
    ResumeLeaf,
    RunBeginLeaf,
    RunEndLeaf,
    SegmentLeaf,
    StateLeaf,
)
from gradledger.schema.lines import ACCRUAL_LINES, CASH_LINES, VERDICT_NAMES
from gradledger.schema.resume import RESUME_FORMAT, Resume
from gradledger.schema.run import FORMAT, RunBegin, RunEnd
from gradledger.schema.table import (
    BOOKS,
    BUFFERS_LINE,
    DISPLACEMENT_LINES,
    EXAMPLES,
    PROBE_INTERVALS,
    PROBE_LINES,
    STEPS,
    TABLES,
    VISITS,
)

__all__ = [
    "ACCRUAL_LINES",
    "BOOKS",
    "BUFFERS_LINE",
    "CASH_LINES",
    "DISPLACEMENT_LINES",
    "EXAMPLES",
    "FORMAT",
    "LEAF_FORMAT",
    "LEAF_KINDS",
    "PROBE_INTERVALS",
    "PROBE_LINES",
    "RESUME_FORMAT",
    "STEPS",
    "TABLES",
    "VERDICTS",
    "VERDICT_NAMES",
    "VISITS",
    "CommitmentsLeaf",
    "Coverage",
    "Decision",
    "ErasureLeaf",
    "FileDigest",
    "GroupRecord",
    "Intervention",
    "KeyLeaf",
    "Leaf",
    "PolicyLeaf",
    "Remove",
    "Reprofile",
    "Resume",
    "ResumeLeaf",
    "Reweight",
    "RuleTruth",
    "RunBegin",
    "RunBeginLeaf",
    "RunEnd",
    "RunEndLeaf",
    "SegmentLeaf",
    "StateLeaf",
    "TensorRecord",
]
