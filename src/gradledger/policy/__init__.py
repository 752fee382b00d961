"""Decide: which examples may train the model, as what, and how deep. Reads policies, never data."""

from gradledger.policy.check import PolicyCheck, check
from gradledger.policy.decide import decide
from gradledger.policy.decided import Decisions
from gradledger.policy.diff import PolicyDiff, Transition, diff
from gradledger.policy.evaluate import EvidenceFunction
from gradledger.policy.explain import Explanation, explain
from gradledger.policy.load import load_policy
from gradledger.policy.metadata import read_blocks, read_metadata, read_record
from gradledger.policy.model import FORMAT, json_schema
from gradledger.policy.policy import Policy
from gradledger.policy.problems import line_and_column
from gradledger.policy.profile import Profile, resolve_profile
from gradledger.policy.simulate import Simulation, simulate

__all__ = [
    "FORMAT",
    "Decisions",
    "EvidenceFunction",
    "Explanation",
    "Policy",
    "PolicyCheck",
    "PolicyDiff",
    "Profile",
    "Simulation",
    "Transition",
    "check",
    "decide",
    "diff",
    "explain",
    "json_schema",
    "line_and_column",
    "load_policy",
    "read_blocks",
    "read_metadata",
    "read_record",
    "resolve_profile",
    "simulate",
]
