"""How parameters stand against the copies that were taken of them, tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from gradledger.recorder.crew import work_together
from gradledger.recorder.norms import tensor_norms
from gradledger.recorder.tracked import Tracked
from gradledger.update import change_norm, same_bits


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
    return work_together(jobs, [entry.raw.numel() for entry in entries])


def all_stand(entries: Sequence[Tracked]) -> bool:
    """Whether every parameter has the bits of its copy."""
    jobs = [partial(same_bits, entry.theta_before, entry.parameter) for entry in entries]
    if not on_cpu(entries):
        return all(job() for job in jobs)
    return all(work_together(jobs, [entry.raw.numel() for entry in entries]))
