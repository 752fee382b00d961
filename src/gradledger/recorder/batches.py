"""The recorded order: feed a loader's batches and know which examples each one holds.

The loader's own sampler decides the order; we stand between sampler and loader and note the
indices. Items and collation are the user's, so batches come out exactly as without us.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from gradledger.errors import InputError
from gradledger.recorder.examples import example_numbers
from gradledger.recorder.order import Feed, RecordedOrder


@dataclass(frozen=True)
class Skip:
    """Batches of a pass that count already, because it goes on in its middle.

    Attributes:
        num_batches: How many.
        note: Called with the indices of each.
        arrive: Called once, with how many were drawn, before the next batch or the end.
        load: Whether they are loaded too: worker processes draw random numbers of their own for
            every item, which no state holds.
    """

    num_batches: int
    note: Callable[[Sequence[int]], None]
    arrive: Callable[[int], None]
    load: bool = False


class NotedSampler:
    """A batch sampler that notes the indices which it passes on.

    Args:
        sampler: The loader's own batch sampler.
        feed: In a replay, what is handed out; the loader's sampler is still drawn from, so that
            random numbers are consumed as they were.
        skip: In a pass that goes on, what to draw past.
    """

    def __init__(
        self,
        sampler: Iterable[Sequence[int]],
        feed: Feed | None = None,
        skip: Skip | None = None,
    ) -> None:
        self._sampler, self._feed, self._skip = sampler, feed, skip
        self.noted: deque[list[int]] = deque()

    def __iter__(self) -> Iterator[list[int]]:
        drawing = iter(self._sampler)
        if self._skip is not None and self._skip.load:
            yield from _noted(drawing, self._skip)
        elif self._skip is not None:
            num_drawn = sum(1 for _ in _noted(drawing, self._skip))
            self._skip.arrive(num_drawn)
        for drawn in drawing:
            indices = [int(index) for index in drawn]
            fed = indices if self._feed is None else self._feed.batch(indices)
            if fed is None:
                return
            self.noted.append(fed)
            yield fed

    def __len__(self) -> int:
        return len(self._sampler)  # type: ignore[arg-type]


def _noted(drawing: Iterator[Sequence[int]], skip: Skip) -> Iterator[list[int]]:
    """Yield the batches to be drawn past, as they are noted."""
    for drawn in islice(drawing, skip.num_batches):
        indices = [int(index) for index in drawn]
        skip.note(indices)
        yield indices


def loaded_after(loader: DataLoader[Any], skip: Skip | None) -> Iterator[Any]:
    """Yield what a noted loader loads, past the batches that count already."""
    loading = iter(loader)
    if skip is not None and skip.load:
        skip.arrive(sum(1 for _ in islice(loading, skip.num_batches)))
    yield from loading


def feed_of(loader: DataLoader[Any], order: RecordedOrder | None) -> Feed | None:
    """Return what a pass over a loader hands out in a replay; None where nothing is replayed.

    Raises:
        InputError: The loader does not draw from an admitted data set. Code I101.
    """
    if order is None:
        return None
    example_numbers(loader, ())
    size: int = len(loader.dataset)  # type: ignore[arg-type]
    return Feed(order, size, partial(example_numbers, loader))


def noteworthy(loader: Iterable[Any]) -> DataLoader[Any]:
    """Return a loader whose order can be noted.

    Raises:
        InputError: No ``DataLoader``, an iterable data set, or batching is off. Code I110.
    """
    if (
        not isinstance(loader, DataLoader)
        or isinstance(loader.dataset, IterableDataset)
        or loader.batch_sampler is None
    ):
        raise InputError(
            "I110",
            observed="a loader without a batch sampler (iterable data set or batch_size=None)"
            if isinstance(loader, DataLoader)
            else f"batches from a {type(loader).__name__}",
            expected="a DataLoader over a map-style data set, with batches",
            where="run.batches",
            hint="say what a batch holds: run.batches(loader, describe=lambda batch: columns); or "
            "iterate the loader yourself and name the examples: run.step(batch, examples=ids)",
        )
    return loader


def noted_loader(
    loader: DataLoader[Any],
    feed: Feed | None = None,
    skip: Skip | None = None,
) -> tuple[DataLoader[Any], NotedSampler]:
    """Return a loader with the same settings whose batches are noted."""
    sampler = NotedSampler(loader.batch_sampler or (), feed, skip)
    workers: dict[str, Any] = {}
    if loader.num_workers:
        workers = {
            "prefetch_factor": loader.prefetch_factor,
            "persistent_workers": loader.persistent_workers,
            "multiprocessing_context": loader.multiprocessing_context,
            "timeout": loader.timeout,
        }
    noted: DataLoader[Any] = DataLoader(
        loader.dataset,
        batch_sampler=sampler,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        worker_init_fn=loader.worker_init_fn,
        generator=loader.generator,
        **workers,
    )
    return noted, sampler
