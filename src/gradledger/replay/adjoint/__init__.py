"""Derivatives through the recorded run: exact, by executing its loop forwards and backwards."""

from gradledger.replay.adjoint.derive import Derivatives, derive, removal

__all__ = ["Derivatives", "derive", "removal"]
