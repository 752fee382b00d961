"""The first recorded forward pass: find out by experiment whether rows stay apart."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from gradledger.recorder.bypass_probe import find_bypassed, refuse_bypassed
from gradledger.recorder.loss_probe import LossProbe
from gradledger.recorder.row_probe import RowProbe, refuse_mixed

if TYPE_CHECKING:
    from gradledger.recorder.recorder import Recorder


class FirstForward:
    """A hook on the model that probes modules, and then the loss, once.

    Args:
        recorder: The run.
        probe: Probes the captured modules.
    """

    def __init__(self, recorder: Recorder, probe: RowProbe) -> None:
        self._recorder, self._probe = recorder, probe
        self._accepts = recorder.weights.accept_coupled
        self._handle = recorder.model.register_forward_hook(
            # A compiled model must not trace it.
            torch.compiler.disable(self._probe_rows),  # type: ignore[no-untyped-call]
            with_kwargs=True,
        )
        accept = partial(recorder.mixed.append, "the loss") if self._accepts else None
        self._loss = LossProbe(recorder.capture.paused, accept)

    def remove(self) -> None:
        """Probe no more."""
        self._handle.remove()
        self._loss.detach()

    def _probe_rows(self, _module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        recorder = self._recorder
        step, watches = recorder.open_step, recorder.capture.active and torch.is_grad_enabled()
        if step is None or not watches:
            return
        num_rows = len(step.micro_batches[-1])
        if num_rows <= 1:
            return  # One row cannot be told from another: wait for a larger batch.
        self._handle.remove()
        if recorder.coupled():
            return
        with recorder.capture.paused():
            mixed = self._probe.run(args, kwargs, num_rows)
            bypassed = find_bypassed(recorder.model, self._probe.units, args, kwargs)
        refuse_bypassed(bypassed, f"step {step.number}")
        if self._accepts:
            recorder.mixed += [path or "the model" for path in mixed]
        else:
            refuse_mixed(mixed, f"step {step.number}")
        self._loss.watch(output, num_rows, f"step {step.number}")
