"""Whether anything was written to model or optimizer since a moment, as torch itself counts it."""

from __future__ import annotations

from torch import Tensor, nn, optim

from gradledger.gradient.again import count_changes

#: Place in memory and count of in-place writes of every tensor, in a fixed order.
WriteCounts = tuple[tuple[int, int], ...]


def write_counts(model: nn.Module, optimizer: optim.Optimizer) -> WriteCounts:
    """Return where every tensor of model and optimizer lies and how often it was written to.

    Equal counts mean that no tensor was replaced and none was written to by torch's operations.
    Writes through ``.data`` or through another library's view of the memory are not counted.
    """
    tensors: list[Tensor] = [*model.parameters(), *model.buffers()]
    for state in optimizer.state.values():
        tensors += [value for value in state.values() if isinstance(value, Tensor)]
    return tuple([(tensor.data_ptr(), count_changes(tensor)) for tensor in tensors])
