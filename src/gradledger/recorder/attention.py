"""How closely a recorder looks: a replay that only compares states need not look at everything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Attention:
    """What a recorder observes of every step.

    Attributes:
        visits: Gradients of single visits are kept and measured.
        deltas: Parameters are copied before every update, so that its size is known.
        finite: Gradients that are not finite are refused before the update. A replay that compares
            every state with the record finds them there.
        laws: What the optimizer did is read although no visits are measured.
        profiles: Depth profiles other than full may be in force. Without them, and without
            ``visits``, the modules are left alone.
    """

    visits: bool = True
    deltas: bool = True
    finite: bool = True
    laws: bool = False
    profiles: bool = True

    @property
    def gradients(self) -> bool:
        """Whether gradients are looked at on their way through the model."""
        return self.visits or self.profiles
