"""Derivatives through the recorded run: exact, by executing its loop forwards and backwards."""

from gradledger.replay.adjoint.belief import Belief, examine_beliefs
from gradledger.replay.adjoint.derive import Derivatives, derive, removal
from gradledger.replay.adjoint.explaining import compute_explanation
from gradledger.replay.adjoint.influence import compute_influence
from gradledger.replay.adjoint.tangent import Tangent, differentiate_along

__all__ = [
    "Belief",
    "Derivatives",
    "Tangent",
    "compute_explanation",
    "compute_influence",
    "derive",
    "differentiate_along",
    "examine_beliefs",
    "removal",
]
