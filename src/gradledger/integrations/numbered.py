"""Numbered data sets: items carry their example number through workers, samplers and wrappers.

A framework that builds loaders of its own decides the order; what arrives says what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch.utils.data import Dataset

from gradledger.errors import InputError
from gradledger.recorder.examples import AdmittedDataset

__all__ = ["KEY", "NumberedCollate", "NumberedDataset", "take_numbers"]

#: Where a batch holds the numbers of its examples.
KEY: Final = "gradledger_examples"


class NumberedDataset(Dataset[dict[str, Any]]):
    """Items of an admitted data set, with their numbers beside them.

    Args:
        admitted: What ``run.admit`` returned; items are mappings.
    """

    def __init__(self, admitted: AdmittedDataset) -> None:
        self.admitted = admitted

    def __len__(self) -> int:
        return len(self.admitted)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = self.admitted[index]
        if not isinstance(item, Mapping):
            raise InputError(
                "I161",
                observed=f"an item of type {type(item).__name__}",
                expected="a mapping of names to values",
                where=f"item {index} of the data set",
                hint="return a dict from the data set, as the trainer's collator wants it",
            )
        return {**item, KEY: self.admitted.examples[index]}


class NumberedCollate:
    """Collates items as somebody else does, and the numbers beside.

    Args:
        collate: The user's own; sees the items without numbers.
    """

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self._collate = collate

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the batch, with the numbers of its examples."""
        numbers = [item[KEY] for item in items]
        bare = [{name: value for name, value in item.items() if name != KEY} for item in items]
        batch = dict(self._collate(bare))
        return {**batch, KEY: torch.tensor(numbers)}


def take_numbers(batch: Any) -> list[int]:
    """Take the example numbers out of a batch.

    Raises:
        InputError: The batch has none. Code I161.
    """
    if not isinstance(batch, dict) or KEY not in batch:
        raise InputError(
            "I161",
            observed=f"a batch of type {type(batch).__name__} without example numbers",
            expected="a batch of a numbered data set",
            where="gradledger.integrations",
            hint="leave the trainer's loader over the data set that the run admitted",
        )
    return [int(number) for number in batch.pop(KEY)]
