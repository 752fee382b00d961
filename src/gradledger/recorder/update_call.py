"""The call of ``optimizer.step()``: which calls a recorded step accepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradledger.errors import InputError

if TYPE_CHECKING:
    from gradledger.recorder.step import Step


def step_of_update(
    step: Step | None, num_steps: int, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Step:
    """Return the step that an update belongs to; called before the optimizer does anything.

    Args:
        step: The step that is open; None outside ``run.step``.
        num_steps: Steps that have ended.
        args: Positional arguments of ``optimizer.step``, the optimizer itself first.
        kwargs: Its keyword arguments.

    Raises:
        InputError: The update is outside a step or the second in one (I107), or a closure was
            passed (I108).
    """
    if step is None or step.updated or not step.micro_batches:
        raise InputError(
            "I107",
            observed="a second optimizer.step() in one run.step"
            if step is not None and step.updated
            else "optimizer.step() outside run.step",
            expected="exactly one update per recorded step",
            where=f"after step {num_steps}",
            hint="put the update inside `with run.step(batch):`, or run.close() first",
        )
    if kwargs.get("closure", args[1] if len(args) > 1 else None) is not None:
        raise InputError(
            "I108",
            observed="a closure passed to optimizer.step",
            expected="optimizer.step() without arguments",
            where=f"step {step.number}",
            hint="call backward() yourself before optimizer.step()",
        )
    return step
