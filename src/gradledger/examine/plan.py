"""The plan of a run: how it is going to be recorded, as far as an examination must know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradledger.policy import Policy


@dataclass(frozen=True)
class Plan:
    """How the run is going to be recorded.

    Attributes:
        run_dir: Where; only the room on its disk is looked at.
        steps: How many steps; None where that is not known.
        rounds: Measured steps of each arm.
        policy: Admission policy, or its file.
        level: As for ``record``.
        groups: As for ``record``.
        unattributed: As for ``record``.
        accept_coupled: As for ``record``.
        update_norms: As for ``record``.
        substitute: As for ``record``.
        state_every: As for ``record``.
        state_keep: As for ``record``.
    """

    run_dir: Path = Path()
    steps: int | None = None
    rounds: int = 8
    policy: Policy | str | Path | None = None
    level: str = "shares"
    groups: Mapping[str, str | Sequence[str]] | None = None
    unattributed: Sequence[str] = ()
    accept_coupled: bool = False
    update_norms: bool = False
    substitute: bool = False
    state_every: int | None = None
    state_keep: int | None = None
