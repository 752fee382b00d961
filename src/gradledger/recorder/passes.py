"""Passes over loaders: how far each one is, so that a resumed run goes on at the right batch.

A pass is one call of ``run.batches``. We keep what decides its order: the random state and the
generators of the loader when it began, how many batches it gave, and a digest of their indices. A
run that goes on in the middle begins the pass again from there and draws past the batches that
count already; the digest shows that the order is the same. They are loaded once more only where
worker processes load, whose random numbers no state holds.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from gradledger.errors import StorageError
from gradledger.recorder.batches import Skip, feed_of, loaded_after, noted_loader
from gradledger.recorder.examples import example_numbers
from gradledger.recorder.order import Feed, RecordedOrder
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
        _set_generators(loader, self.generators)


@dataclass
class Passes:
    """All passes of a run, by number: waiting for their first batch, open, or over."""

    _open: dict[int, Pass] = field(default_factory=dict)
    _recorded: dict[int, Pass] = field(default_factory=dict)
    _over: set[int] = field(default_factory=set)
    _waiting: set[int] = field(default_factory=set)
    _loaders: list[weakref.ref[DataLoader[Any]]] = field(default_factory=list)
    _loader_of: list[int] = field(default_factory=list)
    _present: dict[int, dict[str, Tensor]] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Number of the pass that was begun last, from 0."""
        return max(len(self._loader_of) - 1, 0)

    def feed(
        self,
        loader: DataLoader[Any],
        order: RecordedOrder | None,
        between: Callable[[], bool],
    ) -> Generator[tuple[Any, list[int]]]:
        """Return batches with their example numbers; none where the pass was over already.

        Passes are numbered in the order of these calls, whichever is drawn from first.

        Args:
            loader: The user's.
            order: In a replay, the recorded order.
            between: Called whenever the loop is between two steps; returns whether it has restored
                the random state.
        """
        feed = feed_of(loader, order)
        number = len(self._loader_of)
        self._loader_of.append(self._place(loader))
        if number in self._over:
            # What it drew, later passes over the same loader must not draw again.
            _set_generators(loader, self._present.get(number, {}))
        else:
            self._waiting.add(number)
        return self._give(number, loader, feed, between)

    def _give(
        self,
        number: int,
        loader: DataLoader[Any],
        feed: Feed | None,
        between: Callable[[], bool],
    ) -> Generator[tuple[Any, list[int]]]:
        if number in self._over:
            return
        self._waiting.discard(number)
        recorded, skip = self._recorded.pop(number, None), None
        if recorded is None:
            states = {name: value.get_state() for name, value in _generators(loader).items()}
            self._open[number] = current = Pass(read_rng(), states)
            between()
        else:
            self._open[number] = current = recorded
            if recorded.num_batches:
                skip = _skip(recorded, number, between, feed, load=loader.num_workers > 0)
            recorded.rewind(loader)
            if skip is None:
                between()
        noted, sampler = noted_loader(loader, feed, skip)
        try:
            for batch in loaded_after(noted, skip):
                indices = sampler.noted.popleft()
                current.note(indices)
                yield batch, example_numbers(loader, indices)
                between()
        finally:
            self._open.pop(number, None)
            if feed is not None:
                feed.give_back(sampler.noted)

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
        for place, found in enumerate(self._loaders):
            loader = found()
            for name, value in _generators(loader).items() if loader is not None else ():
                tensors[f"{_PREFIX}/loader/{place}/{name}"] = value.get_state()
        waiting = sorted(self._waiting)
        return {"open": values, "waiting": waiting, "loaders": list(self._loader_of)}, tensors

    def expect(self, values: Mapping[str, Any], extra: Mapping[str, Tensor]) -> None:
        """Go on from what ``read`` returned: passes that are over give nothing any more."""
        standing = {*map(int, values["open"]), *values["waiting"]}
        self._over = set(range(len(values["loaders"]))) - standing
        for number, place in enumerate(values["loaders"]):
            self._present[number] = _below(extra, f"{_PREFIX}/loader/{place}/")
        for number, kept in values["open"].items():
            rng = _below(extra, f"{_PREFIX}/{number}/rng/")
            arrays = {name: tensor_array(value, name) for name, value in rng.items()}
            generators = _below(extra, f"{_PREFIX}/{number}/generator/")
            self._recorded[int(number)] = Pass(
                RngState(arrays, kept["rng"]), generators, kept["batches"], kept["order"]
            )

    def _place(self, loader: DataLoader[Any]) -> int:
        """Return the place of a loader among those that were fed; loaders that are gone count."""
        for place, found in enumerate(self._loaders):
            if found() is loader:
                return place
        self._loaders.append(weakref.ref(loader))
        return len(self._loaders) - 1


def _skip(
    recorded: Pass,
    number: int,
    between: Callable[[], bool],
    feed: Feed | None,
    *,
    load: bool,
) -> Skip:
    """Return what draws past the batches of a recorded pass and then restores the present."""
    present = read_rng()
    drawn: list[str] = [""]

    def note(indices: Sequence[int]) -> None:
        drawn[0] = _chained(drawn[0], indices)
        if feed is not None:
            feed.drawn_again = drawn[0] == recorded.order

    def arrive(num_drawn: int) -> None:
        if feed is None and (drawn[0] != recorded.order or num_drawn != recorded.num_batches):
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

    return Skip(recorded.num_batches, note, arrive, load)


def _chained(order: str, indices: Sequence[int]) -> str:
    text = f"{order} {' '.join(map(str, indices))}"
    return hashlib.sha256(text.encode()).hexdigest()


def _below(tensors: Mapping[str, Tensor], begin: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin so, by the rest of their names."""
    return {
        name.removeprefix(begin): value for name, value in tensors.items() if name.startswith(begin)
    }


def _set_generators(loader: DataLoader[Any], states: Mapping[str, Tensor]) -> None:
    for name, generator in _generators(loader).items():
        if name in states:
            generator.set_state(states[name])


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
