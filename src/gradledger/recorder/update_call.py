"""The call of ``optimizer.step()``: which calls a recorded step accepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from gradledger.errors import InputError

if TYPE_CHECKING:
    from gradledger.recorder.step import Step


@dataclass(frozen=True)
class Done:
    """A closure that has been run: hands on what it returned."""

    result: Any

    def __call__(self) -> Any:
        """Return the result."""
        return self.result


def closure_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return the closure that was passed to ``optimizer.step``, None where there was none."""
    return kwargs.get("closure", args[1] if len(args) > 1 else None)


def run_closure(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Run a closure before the optimizer begins, which would run it first of all itself.

    Returns:
        The arguments with a closure that only hands on the result.
    """
    closure = closure_of(args, kwargs)
    if closure is None:
        return args, kwargs
    with torch.enable_grad():
        return args[:1], {**kwargs, "closure": Done(closure())}


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
    if closure_of(args, kwargs) is not None and not isinstance(closure_of(args, kwargs), Done):
        raise InputError(
            "I108",
            observed="a closure passed to optimizer.step",
            expected="optimizer.step() without arguments",
            where=f"step {step.number}",
            hint="call backward() yourself before optimizer.step()",
        )
    return step
