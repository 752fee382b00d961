"""Parameter groups: which tensors, in which block, captured how."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TensorRecord:
    """One parameter tensor (or buffer) of a group.

    Attributes:
        name: Dotted name within the model.
        shape: Lengths of its axes.
        dtype: Name of the torch dtype, without the ``torch.`` prefix.
        optimizer_param_group: Index of torch's optimizer param group; -1 where none updates it.
        capture: Layer kind that captures it; empty where it is unattributed.
        shared_with: Other names of the same tensor (tied weights).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    optimizer_param_group: int
    capture: str
    shared_with: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupRecord:
    """A named set of parameter tensors whose changes are booked together.

    Attributes:
        group: Dense number within the run; columns of the visits table end in it.
        name: By default the dotted name of the module that owns the tensors.
        block: The block it rolls up into.
        block_index: Place of the block from input (0) to output.
        role: ``"parameters"`` or ``"buffers"``.
        num_parameters: Elements over all tensors.
        tensors: The tensors, in model order.
    """

    group: int
    name: str
    block: str
    block_index: int
    role: str
    num_parameters: int
    tensors: tuple[TensorRecord, ...]


@dataclass(frozen=True)
class Coverage:
    """How much of what the optimizer updates has per-example capture.

    Attributes:
        num_updated: Elements of all tensors that the optimizer updates.
        num_captured: Elements of those with capture.
        unattributed: Name and reason of each tensor without capture.
        notes: Further facts named before the first step (coupled modules, frozen tensors, ...).
    """

    num_updated: int
    num_captured: int
    unattributed: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def percent(self) -> float:
        """Captured share of the updated elements, in percent; 100 where nothing is updated."""
        return 100.0 * self.num_captured / self.num_updated if self.num_updated else 100.0
