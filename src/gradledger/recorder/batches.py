"""The recorded order: feed a loader's batches and know which examples each one holds.

The loader's own sampler decides the order; we stand between sampler and loader and note the
indices. Items and collation are the user's, so batches come out exactly as without us.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from gradledger.errors import InputError


class NotedSampler:
    """A batch sampler that notes the indices which it passes on.

    Args:
        sampler: The loader's own batch sampler.
        order: In a replay, the recorded index lists; the loader's sampler is still drawn from, so
            that random numbers are consumed as they were.
    """

    def __init__(
        self, sampler: Iterable[Sequence[int]], order: Iterator[Sequence[int]] | None = None
    ) -> None:
        self._sampler, self._order = sampler, order
        self.noted: deque[list[int]] = deque()

    def __iter__(self) -> Iterator[list[int]]:
        for drawn in self._sampler:
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


def noted_loader(
    loader: DataLoader[Any], order: Iterator[Sequence[int]] | None = None
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
    sampler = NotedSampler(loader.batch_sampler, order)
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
