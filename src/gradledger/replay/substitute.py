"""Other content in the place of examples: of the same form, so that nothing else changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from gradledger.errors import ReplayError
from gradledger.schema import Substitute


class Substituted(Dataset[Any]):
    """A data set with other items at some places.

    Args:
        dataset: The data set.
        items: Place -> item.
    """

    def __init__(self, dataset: Any, items: Mapping[int, Any]) -> None:
        self.dataset, self.items = dataset, dict(items)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        place = int(index)
        return self.items[place] if place in self.items else self.dataset[index]


def substitutes(dataset: Any, first: int, substituted: Mapping[int, Substitute]) -> dict[int, Any]:
    """Return the items that take the place of others in one data set, by place.

    Args:
        dataset: The data set as it was admitted.
        first: Number of its first example.
        substituted: Example -> its substitution, of all data sets.

    Raises:
        ReplayError: An item has another form, or lies in another data set. Code R154.
    """
    count, found = len(dataset), {}
    for example, part in substituted.items():
        if not first <= example < first + count:
            continue
        if example in part.by_example:
            place = part.by_example[example] - first
            if not 0 <= place < count:
                raise _unfit(example, f"example {place + first}", "one of the same data set")
            given = dataset[place]
        else:
            given = part.items[example]
        found[example - first] = _fitted(example, dataset[example - first], given, "item")
    return found


def _fitted(example: int, original: Any, given: Any, path: str) -> Any:
    """Return what was given in the form of the original, which it must have."""
    if isinstance(original, Mapping):
        if not isinstance(given, Mapping) or given.keys() != original.keys():
            raise _unfit(example, f"{path}: {_shape(given)}", f"names {', '.join(original)}")
        return {name: _fitted(example, original[name], given[name], f"{path}.{name}")
                for name in original}  # fmt: skip
    if isinstance(original, list | tuple):
        if not isinstance(given, Sequence) or len(given) != len(original):
            raise _unfit(example, f"{path}: {_shape(given)}", f"{len(original)} parts")
        parts = [
            _fitted(example, part, other, f"{path}.{place}")
            for place, (part, other) in enumerate(zip(original, given, strict=True))
        ]
        named = hasattr(original, "_fields")
        return type(original)(*parts) if named else type(original)(parts)
    if isinstance(original, Tensor) or hasattr(original, "__array__"):
        return _tensor(example, original, given, path)
    if type(given) is not type(original):
        raise _unfit(example, f"{path}: {_shape(given)}", type(original).__name__)
    return given


def _tensor(example: int, original: Any, given: Any, path: str) -> Any:
    wanted = torch.as_tensor(original)
    try:
        other = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _unfit(example, f"{path}: {_shape(given)}", _shape(wanted)) from error
    if (other.shape, other.dtype) != (wanted.shape, wanted.dtype):
        raise _unfit(example, f"{path}: {_shape(other)}", _shape(wanted))
    if isinstance(original, Tensor):
        return other.to(original.device)
    return other.numpy()


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    return type(value).__name__


def _unfit(example: int, observed: str, expected: str) -> ReplayError:
    return ReplayError(
        "R154",
        observed=observed,
        expected=f"{expected}, as example {example} has it",
        where="substitute",
        hint="give an item as the data set yields it, of the same shapes and number formats",
    )
