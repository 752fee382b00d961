"""How parameters stand against the copies that were taken of them, tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import nn, optim

from gradledger.native import share
from gradledger.recorder.crew import LEAST_ELEMENTS
from gradledger.recorder.norms import tensor_norms
from gradledger.recorder.tracked import Tracked
from gradledger.state.torch_state import Copies, training_fingerprint
from gradledger.update import change_norm, same_bits

_T = TypeVar("_T")


def on_cpu(entries: Sequence[Tracked]) -> bool:
    """Whether a crew may work on these tensors."""
    return all(entry.raw.device.type == "cpu" for entry in entries)


def change_norms(entries: Sequence[Tracked]) -> list[float]:
    """Return how far each parameter is from its copy, which may be overwritten on the way."""
    if not on_cpu(entries):
        # In place, and fetched from the device at once. Signs do not matter.
        deltas = [entry.theta_before for entry in entries]
        torch._foreach_sub_(deltas, [entry.parameter for entry in entries])
        norms: list[float] = tensor_norms(deltas).double().tolist()
        return norms
    jobs = [partial(change_norm, entry.parameter.detach(), entry.theta_before) for entry in entries]
    return _each(entries, jobs)


def all_stand(entries: Sequence[Tracked], copies: Copies) -> bool:
    """Whether every parameter has the bits of its copy.

    Args:
        entries: Everything that is tracked.
        copies: From ``copy_and_fingerprint``.
    """
    unknown = copies.stand(entry.parameter for entry in entries)
    if unknown is None:
        return False
    open_ids = {id(tensor) for tensor in unknown}
    entries = [entry for entry in entries if id(entry.parameter) in open_ids]
    jobs = [partial(same_bits, entry.theta_before, entry.parameter) for entry in entries]
    return all(job() for job in jobs) if not on_cpu(entries) else all(_each(entries, jobs))


def _each(entries: Sequence[Tracked], jobs: Sequence[Callable[[], _T]]) -> list[_T]:
    """Run a job for each tensor, several at once where that pays."""
    sizes = [entry.raw.numel() for entry in entries]
    return share(jobs, torch.get_num_threads() if sum(sizes) >= LEAST_ELEMENTS else 1, sizes)


def copy_parameters(entries: Sequence[Tracked]) -> None:
    """Copy every parameter, all of them in one call."""
    if entries:
        torch._foreach_copy_(
            [entry.theta_before for entry in entries], [entry.parameter for entry in entries]
        )


def copy_and_fingerprint(
    entries: Sequence[Tracked], model: nn.Module, optimizer: optim.Optimizer
) -> tuple[str, Copies]:
    """Copy every parameter and return the fingerprint of the training, in one reading of both.

    Returns:
        The fingerprint, and what is known of the copies that it took.
    """
    copies = Copies({id(entry.parameter): entry.theta_before for entry in entries})
    found = training_fingerprint(model, optimizer, copies)
    copy_parameters([entry for entry in entries if entry.parameter not in copies])
    return found, copies
