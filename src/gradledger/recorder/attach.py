"""Attach: everything a recorder observes with, built the same way for recording and replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn, optim

from gradledger.gradient import Capture, survey
from gradledger.recorder.attention import Attention
from gradledger.recorder.booking import Booker
from gradledger.recorder.buffers import BufferGroups
from gradledger.recorder.groups import Grouping, build_groups
from gradledger.recorder.guards import refuse_sparse
from gradledger.recorder.journal import Journal
from gradledger.recorder.recorder import Recorder
from gradledger.recorder.row_probe import RowProbe
from gradledger.recorder.weights import DepthWeights
from gradledger.update import find_family


@dataclass(frozen=True)
class Observation:
    """What is observed of one model and optimizer.

    Attributes:
        grouping: Parameter groups and coverage.
        booker: The books, with capture inside.
        buffers: Buffer groups.
        weights: Depth weights by profile.
        probe: Row probe; None where no visits are measured.
        family: Name of the optimizer family.
    """

    grouping: Grouping
    booker: Booker
    buffers: BufferGroups
    weights: DepthWeights
    probe: RowProbe | None
    family: str

    def recorder(self, model: nn.Module, optimizer: optim.Optimizer, journal: Journal) -> Recorder:
        """Attach the hooks and begin."""
        return Recorder(
            model,
            optimizer,
            grouping=self.grouping,
            booker=self.booker,
            buffers=self.buffers,
            weights=self.weights,
            probe=self.probe,
            journal=journal,
        )


def observe(
    model: nn.Module,
    optimizer: optim.Optimizer,
    *,
    groups: Mapping[str, str | Sequence[str]] | None,
    unattributed: Sequence[str],
    later: Sequence[str] = (),
    accept_coupled: bool,
    attention: Attention,
    update_norms: bool = False,
    substitute: bool = False,
) -> Observation:
    """Survey the model and prepare the books; nothing is attached yet.

    Raises:
        UpdateError: The optimizer cannot be booked (U101 to U103).
        InputError: The optimizer holds tensors of another model (I109).
    """
    family = find_family(optimizer)
    family.check(optimizer)
    updated = [value for group in optimizer.param_groups for value in group["params"]]
    found = survey(model, updated, unattributed, later)
    grouping = build_groups(model, optimizer, found, groups, later)
    refuse_sparse(
        model, [value for group in grouping.groups for value in group.parameters.values()]
    )
    units = found.units if attention.gradients else ()
    capture = Capture(units, collect_passive=attention.visits, substitute=substitute)
    uncaptured = [name for name, _ in grouping.coverage.unattributed]
    booker = Booker(
        grouping.groups,
        optimizer,
        family,
        capture,
        uncaptured,
        attention=attention,
        update_norms=update_norms,
    )
    blocks = {name: place for place, name in enumerate(grouping.blocks)}
    return Observation(
        grouping,
        booker,
        BufferGroups(model, blocks, len(grouping.groups)),
        DepthWeights(grouping, accept_coupled=accept_coupled),
        RowProbe(model, found.units) if attention.visits else None,
        family.name,
    )
