"""Decide: which examples may train the model, as what, and how deep. Reads policies, never data."""

from gradledger.policy.decide import decide
from gradledger.policy.decided import Decisions
from gradledger.policy.evaluate import EvidenceFunction
from gradledger.policy.explain import explain
from gradledger.policy.load import load_policy
from gradledger.policy.model import FORMAT, json_schema
from gradledger.policy.policy import Policy
from gradledger.policy.profile import Profile, resolve_profile

__all__ = [
    "FORMAT",
    "Decisions",
    "EvidenceFunction",
    "Policy",
    "Profile",
    "decide",
    "explain",
    "json_schema",
    "load_policy",
    "resolve_profile",
]
