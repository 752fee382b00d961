"""Passes over loaders: how far each one is, so that a resumed run goes on at the right batch.

A pass is one call of ``run.batches``. We keep what decides its order: the random state and the
generators of the loader when it began, how many batches it gave, and a digest of their indices. A
resumed run begins the pass again from there and draws past the batches that count already, without
loading one; the digest shows that the order is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from gradledger.errors import StorageError
from gradledger.recorder.batches import Skip, noted_loader
from gradledger.recorder.examples import example_numbers
from gradledger.state.torch_state import (
    RngState,
    array_tensor,
    read_rng,
    tensor_array,
    write_rng,
)

_PREFIX = "~passes"


@dataclass
class Pass:
    """One pass.

    Attributes:
        rng: Global random number generators when it began.
        generators: State of the loader's own generators when it began.
        num_batches: Batches that were handed out.
        order: Digest over their indices, hex.
    """

    rng: RngState
    generators: dict[str, Tensor]
    num_batches: int = 0
    order: str = ""

    def note(self, indices: Sequence[int]) -> None:
        """Count one batch."""
        self.num_batches += 1
        self.order = _chained(self.order, indices)

    def rewind(self, loader: DataLoader[Any]) -> None:
        """Bring the random state back to where the pass began."""
        write_rng(self.rng)
        for name, generator in _generators(loader).items():
            if name in self.generators:
                generator.set_state(self.generators[name])


@dataclass
class Passes:
    """All passes of a run.

    Attributes:
        num_begun: Passes that have begun in this process, recorded ones included.
    """

    num_begun: int = 0
    _open: dict[int, Pass] = field(default_factory=dict)
    _recorded: dict[int, Pass] = field(default_factory=dict)
    _num_recorded: int = 0

    def feed(
        self,
        loader: DataLoader[Any],
        order: Iterator[Sequence[int]] | None,
        between: Callable[[], bool],
    ) -> Generator[tuple[Any, list[int]]]:
        """Yield batches with their example numbers; nothing where the pass was over already.

        Args:
            loader: The user's.
            order: In a replay, the recorded order.
            between: Called whenever the loop is between two steps; returns whether it has restored
                the random state.
        """
        number, self.num_begun = self.num_begun, self.num_begun + 1
        recorded = self._recorded.pop(number, None)
        if recorded is None and number < self._num_recorded:
            return
        skip = None
        if recorded is None:
            states = {name: value.get_state() for name, value in _generators(loader).items()}
            self._open[number] = current = Pass(read_rng(), states)
            between()
        else:
            self._open[number] = current = recorded
            if recorded.num_batches:
                skip = _skip(recorded, number, between)
            recorded.rewind(loader)
            if skip is None:
                between()
        noted, sampler = noted_loader(loader, order, skip)
        try:
            for batch in noted:
                indices = sampler.noted.popleft()
                current.note(indices)
                yield batch, example_numbers(loader, indices)
                between()
        finally:
            self._open.pop(number, None)

    def read(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return where every pass is: values that JSON knows, and tensors."""
        values: dict[str, Any] = {}
        tensors: dict[str, Tensor] = {}
        for number, current in self._open.items():
            values[str(number)] = {
                "batches": current.num_batches,
                "order": current.order,
                "rng": current.rng.values,
            }
            for name, array in current.rng.arrays.items():
                tensors[f"{_PREFIX}/{number}/rng/{name}"] = array_tensor(array)
            for name, state in current.generators.items():
                tensors[f"{_PREFIX}/{number}/generator/{name}"] = state
        return {"begun": self.num_begun, "open": values}, tensors

    def expect(self, values: Mapping[str, Any], extra: Mapping[str, Tensor]) -> None:
        """Go on from what ``read`` returned: passes that are over give nothing any more."""
        self._num_recorded = int(values["begun"])
        for number, kept in values["open"].items():
            begin = f"{_PREFIX}/{number}/"
            parts = {
                name.removeprefix(begin): value
                for name, value in extra.items()
                if name.startswith(begin)
            }
            arrays = {
                name.removeprefix("rng/"): tensor_array(value, name)
                for name, value in parts.items()
                if name.startswith("rng/")
            }
            generators = {
                name.removeprefix("generator/"): value
                for name, value in parts.items()
                if name.startswith("generator/")
            }
            self._recorded[int(number)] = Pass(
                RngState(arrays, kept["rng"]), generators, kept["batches"], kept["order"]
            )


def _skip(recorded: Pass, number: int, between: Callable[[], bool]) -> Skip:
    """Return what draws past the batches of a recorded pass and then restores the present."""
    present = read_rng()
    drawn: list[str] = [""]

    def note(indices: Sequence[int]) -> None:
        drawn[0] = _chained(drawn[0], indices)

    def arrive(num_drawn: int) -> None:
        if drawn[0] != recorded.order or num_drawn != recorded.num_batches:
            raise StorageError(
                "S103",
                observed=f"another order of the first {recorded.num_batches} batches "
                f"({num_drawn} drawn)",
                expected="the order that was recorded",
                where=f"pass {number} over run.batches",
                hint="build data set, sampler and loader as they were; a sampler must draw from "
                "the loader's generator or from torch's when its pass begins",
            )
        if not between():
            write_rng(present)

    return Skip(recorded.num_batches, note, arrive)


def _chained(order: str, indices: Sequence[int]) -> str:
    text = f"{order} {' '.join(map(str, indices))}"
    return hashlib.sha256(text.encode()).hexdigest()


def _generators(loader: DataLoader[Any]) -> dict[str, torch.Generator]:
    """Return the generators that decide a loader's order, each once."""
    places = {
        "loader": loader,
        "batch_sampler": loader.batch_sampler,
        "sampler": getattr(loader.batch_sampler, "sampler", None),
    }
    found: dict[str, torch.Generator] = {}
    for name, place in places.items():
        generator = getattr(place, "generator", None)
        if isinstance(generator, torch.Generator) and not any(
            generator is other for other in found.values()
        ):
            found[name] = generator
    return found
