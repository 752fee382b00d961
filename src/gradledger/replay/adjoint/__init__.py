"""Derivatives through the recorded run: exact, by executing its loop forwards and backwards."""

from gradledger.replay.adjoint.belief import Belief, examine_beliefs
from gradledger.replay.adjoint.derive import Derivatives, derive, removal
from gradledger.replay.adjoint.explaining import compute_explanation
from gradledger.replay.adjoint.influence import compute_influence

__all__ = [
    "Belief",
    "Derivatives",
    "compute_explanation",
    "compute_influence",
    "derive",
    "examine_beliefs",
    "removal",
]
