"""A probe: a named set of inputs with a loss, whose value is followed through training."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from torch import Tensor, nn

from gradledger.errors import InputError
from gradledger.probe.inputs import inputs_digest

#: Takes the model and the probe's inputs; returns one number, the mean loss in nats.
ProbeLoss = Callable[[nn.Module, Any], Tensor]

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,62}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Probe:
    """A behaviour of the model: inputs, and a loss that says how well they are handled.

    The loss is measured in evaluation mode, without autocast, and with the same random numbers each
    time, so that its value depends on parameters and buffers alone.

    Attributes:
        name: Letters, digits, spaces, ``.``, ``_`` and ``-``; 64 at most.
        inputs: Any batch: tensors, arrays, numbers and text, in mappings, sequences or dataclasses.
        loss: ``loss(model, inputs)``: a tensor with one element, mean nats. It must call the model
            that it is given.
        every: Measure after every so many steps; 0 for the beginning and the end alone.
        description: What the behaviour is, in words.
        also_at: Further steps to measure after, such as early ones, where much moves.
        digest: SHA-256 of the inputs, 64 hex digits.
    """

    name: str
    inputs: Any
    loss: ProbeLoss
    every: int = 10
    description: str = ""
    also_at: Sequence[int] = ()
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        """Refuse what could not be recorded."""
        name: object = self.name
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise self._malformed(
                f"name {self.name!r}", "1 to 64 letters, digits, ' ', '.', '_', '-'"
            )
        if not callable(self.loss):
            raise self._malformed(f"a loss of type {type(self.loss).__name__}", "a function")
        if not is_step(self.every) or not all(is_step(step) for step in self.also_at):
            raise self._malformed(
                f"every={self.every!r}, also_at={self.also_at!r}", "whole numbers, 0 or more"
            )
        object.__setattr__(self, "also_at", tuple(sorted(set(self.also_at))))
        object.__setattr__(self, "digest", inputs_digest(self.inputs, f"probe {self.name!r}"))

    def is_due(self, step: int) -> bool:
        """Whether the probe is measured after a step, besides the last one."""
        return step == 0 or step in self.also_at or bool(self.every and step % self.every == 0)

    def record(self) -> dict[str, Any]:
        """Return what the begin record says of the probe."""
        return {
            "name": self.name,
            "description": self.description,
            "inputs_digest": self.digest,
            "every": self.every,
            "also_at": list(self.also_at),
            "mode": "evaluation",
            "unit": "nats",
        }

    def _malformed(self, observed: str, expected: str) -> InputError:
        return InputError("I131", observed=observed, expected=expected, where="gl.Probe")


def check_probes(probes: Sequence[Probe]) -> tuple[Probe, ...]:
    """Return the probes of a run.

    Raises:
        InputError: Something is no probe, or two bear the same name. Code I131.
    """
    names: set[str] = set()
    for probe in probes:
        if not isinstance(probe, Probe):
            raise InputError(
                "I131",
                observed=f"a {type(probe).__name__} among the probes",
                expected="gl.Probe objects",
                where="gl.record",
                hint="probes=[gl.Probe(name, inputs, loss), ...]",
            )
        if probe.name in names:
            raise InputError(
                "I131",
                observed=f"two probes named {probe.name!r}",
                expected="each name once",
                where="gl.record",
            )
        names.add(probe.name)
    return tuple(probes)


def is_step(value: object) -> bool:
    """Whether a value can number a step or a count of steps: a whole number, 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
