"""Examples of a run: numbers, decisions and commitments, looked up at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Subset

from gradledger.errors import InputError


class AdmittedDataset(Dataset[Any]):
    """The admitted part of a data set; items are the data set's own, untouched.

    Args:
        dataset: The whole data set.
        indices: Places of the admitted items in it.
        examples: Their example numbers in the run.
    """

    def __init__(self, dataset: Any, indices: Sequence[int], examples: Sequence[int]) -> None:
        self.dataset, self.indices, self.examples = dataset, list(indices), list(examples)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]


class Sources:
    """Source of every example, by number: few names, one code per example."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._codes: NDArray[np.int32] = np.empty(0, np.int32)

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self._codes)

    def __getitem__(self, number: int) -> str:
        """Return the source of one example."""
        return self._names[int(self._codes[number])]

    def extend(self, sources: Any) -> None:
        """Add the sources of further examples: an Arrow array or a sequence of text."""
        given = sources if isinstance(sources, pa.Array) else pa.array(sources, pa.string())
        coded = given.dictionary_encode()
        codes = coded.indices.to_numpy().astype(np.int32) + np.int32(len(self._names))
        self._names += coded.dictionary.to_pylist()
        self._codes = np.concatenate([self._codes, codes])


class Examples:
    """Everything the recorder must know of an example when it is presented."""

    def __init__(self) -> None:
        self.decision: NDArray[np.int32] = np.empty(0, np.int32)
        self.profile: NDArray[np.int32] = np.empty(0, np.int32)
        self.admitted: NDArray[np.bool_] = np.empty(0, np.bool_)
        self.sources = Sources()
        self.commitments: list[bytes | None] = []
        self._by_id: dict[str, int] = {}
        self._unread_ids: list[tuple[int, Any]] = []

    def __len__(self) -> int:
        return len(self.decision)

    @property
    def by_id(self) -> dict[str, int]:
        """Number of every example by its identifier; filled when it is first asked for."""
        while self._unread_ids:
            first, ids = self._unread_ids.pop()
            listed = ids.to_pylist() if isinstance(ids, pa.Array) else ids
            self._by_id.update({key: first + place for place, key in enumerate(listed)})
        return self._by_id

    def extend(
        self,
        decision: NDArray[np.int32],
        profile: NDArray[np.int32],
        admitted: NDArray[np.bool_],
        sources: Any,
        commitments: Sequence[bytes | None],
        ids: Any,
    ) -> NDArray[np.int32]:
        """Add examples; return their numbers.

        Args:
            decision: Number of the decision on each.
            profile: Number of its depth profile.
            admitted: Whether it may be presented.
            sources: Its source; an Arrow array or a sequence of text.
            commitments: Commitment to its content, None where none was taken.
            ids: Its identifier; an Arrow array or a sequence of text.
        """
        first = len(self)
        self.decision = np.concatenate([self.decision, decision])
        self.profile = np.concatenate([self.profile, profile])
        self.admitted = np.concatenate([self.admitted, admitted])
        self.sources.extend(sources)
        self.commitments += commitments
        self._unread_ids.append((first, ids))
        return np.arange(first, len(self), dtype=np.int32)

    def resolve(self, named: Sequence[int | str], where: str) -> NDArray[np.int32]:
        """Turn example numbers or ids into numbers; only admitted ones pass.

        Raises:
            InputError: An example is unknown or was not admitted. Code I101.
        """
        numbers = np.asarray(
            [self.by_id.get(name, -1) if isinstance(name, str) else int(name) for name in named],
            dtype=np.int64,
        )
        known = (numbers >= 0) & (numbers < len(self))
        for place in np.flatnonzero(~known):
            raise InputError(
                "I101",
                observed=f"example {named[int(place)]!r}",
                expected=f"one of the {len(self)} examples shown to run.admit",
                where=where,
                hint="admit the data set first: train_set = run.admit(dataset, metadata=...)",
            )
        for place in np.flatnonzero(~self.admitted[numbers]):
            raise InputError(
                "I101",
                observed=f"example {named[int(place)]!r}, which the policy did not admit",
                expected="admitted examples only",
                where=where,
                hint="train on the data set that run.admit returned",
            )
        return numbers.astype(np.int32)


def example_numbers(loader: DataLoader[Any], indices: Sequence[int]) -> list[int]:
    """Turn the indices that a loader drew into example numbers.

    Raises:
        InputError: The loader does not draw from an admitted data set. Code I101.
    """
    dataset: Any = loader.dataset
    places = list(indices)
    while isinstance(dataset, Subset):
        places = [dataset.indices[place] for place in places]
        dataset = dataset.dataset
    if not isinstance(dataset, AdmittedDataset):
        raise InputError(
            "I101",
            observed=f"a loader over {type(dataset).__name__}",
            expected="a loader over the data set that run.admit returned",
            where="run.batches",
            hint="build the loader from train_set = run.admit(dataset, metadata=...)",
        )
    return [dataset.examples[place] for place in places]
