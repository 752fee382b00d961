"""The recorded order: feed a loader's batches and know which examples each one holds.

The loader's own sampler decides the order; we stand between sampler and loader and note the
indices. Items and collation are the user's, so batches come out exactly as without us.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from gradledger.errors import InputError
from gradledger.recorder.examples import example_numbers


@dataclass(frozen=True)
class Skip:
    """Batches of a resumed pass that count already: drawn, not loaded.

    Attributes:
        num_batches: How many.
        note: Called with the indices of each.
        arrive: Called once, with how many were drawn, before the next batch or the end.
    """

    num_batches: int
    note: Callable[[Sequence[int]], None]
    arrive: Callable[[int], None]


class NotedSampler:
    """A batch sampler that notes the indices which it passes on.

    Args:
        sampler: The loader's own batch sampler.
        order: In a replay, the recorded index lists; the loader's sampler is still drawn from, so
            that random numbers are consumed as they were.
        skip: In a resumed pass, what to draw past.
    """

    def __init__(
        self,
        sampler: Iterable[Sequence[int]],
        order: Iterator[Sequence[int]] | None = None,
        skip: Skip | None = None,
    ) -> None:
        self._sampler, self._order, self._skip = sampler, order, skip
        self.noted: deque[list[int]] = deque()

    def __iter__(self) -> Iterator[list[int]]:
        drawing = iter(self._sampler)
        if self._skip is not None:
            _draw_past(drawing, self._skip)
        for drawn in drawing:
            fed = drawn
            if self._order is not None:
                recorded = next(self._order, None)
                if recorded is None:
                    return
                fed = recorded
            indices = [int(index) for index in fed]
            self.noted.append(indices)
            yield indices

    def __len__(self) -> int:
        return len(self._sampler)  # type: ignore[arg-type]


def _draw_past(drawing: Iterator[Sequence[int]], skip: Skip) -> None:
    num_drawn = 0
    while num_drawn < skip.num_batches:
        indices = next(drawing, None)
        if indices is None:
            break
        skip.note([int(index) for index in indices])
        num_drawn += 1
    skip.arrive(num_drawn)


def recorded_order(
    loader: DataLoader[Any], recorded: Iterator[Sequence[int]] | None
) -> Iterator[list[int]] | None:
    """Turn recorded example numbers into places of a loader's data set; None stays None.

    Raises:
        InputError: The loader does not draw from an admitted data set. Code I101.
    """
    if recorded is None:
        return None
    numbers = example_numbers(loader, range(len(loader.dataset)))  # type: ignore[arg-type]
    places = {number: place for place, number in enumerate(numbers)}
    return ([places[int(number)] for number in batch] for batch in recorded)


def noted_loader(
    loader: DataLoader[Any],
    order: Iterator[Sequence[int]] | None = None,
    skip: Skip | None = None,
) -> tuple[DataLoader[Any], NotedSampler]:
    """Return a loader with the same settings whose batches are noted.

    Raises:
        InputError: The data set is iterable, or batching is off. Code I110.
    """
    if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
        raise InputError(
            "I110",
            observed="a loader without a batch sampler (iterable data set or batch_size=None)",
            expected="a map-style data set with batches",
            where="run.batches",
            hint="iterate the loader yourself and name the examples: run.step(batch, examples=ids)",
        )
    sampler = NotedSampler(loader.batch_sampler, order, skip)
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
