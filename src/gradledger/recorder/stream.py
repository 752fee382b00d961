"""Streams: batches of a data set without length, whose examples are admitted as they come.

A few batches are drawn ahead and decided together, so that decisions fill whole files. Rows that
the policy does not admit are taken out of their batch before anybody sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_map

from gradledger.errors import InputError
from gradledger.recorder.admission import metadata_table

if TYPE_CHECKING:
    from gradledger.recorder.recorder import Recorder

#: Returns the metadata of a batch, one row per example, as ``run.admit`` takes it.
Describe = Callable[[Any], Any]

#: Batches that are drawn before they are decided together.
AHEAD: Final = 16


def stream_batches(
    recorder: Recorder, loader: Iterable[Any], describe: Describe
) -> Generator[tuple[Any, list[int]]]:
    """Yield the admitted rows of every batch with their example numbers.

    Args:
        recorder: The run.
        loader: Yields batches; read in this process, whatever its workers do.
        describe: Metadata of a batch. Rows with a ``key`` that was seen before are the same example
            again; without the column every row is an example of its own.

    Raises:
        InputError: The run was resumed: a stream cannot be wound back. Code I110.
    """
    if recorder.is_resumed:
        raise InputError(
            "I110",
            observed="a stream in a run that was resumed",
            expected="a map-style data set, whose order can be drawn again",
            where="run.batches",
            hint="record the rest of the stream as a run of its own",
        )
    known: dict[str, int] = {}
    drawing = iter(loader)
    while ahead := list(islice(drawing, AHEAD)):
        tables = [_table(describe(batch)) for batch in ahead]
        numbers = _admit(recorder, ahead, tables, known)
        for batch, found in zip(ahead, numbers, strict=True):
            keep = recorder.examples.admitted[found]
            if keep.any():
                rows = None if keep.all() else torch.from_numpy(np.flatnonzero(keep))
                yield _rows(batch, rows, len(found)), found[keep].tolist()


def _table(described: Any) -> pa.Table:
    """Return metadata as a table, whatever its number of rows."""
    if isinstance(described, Mapping):
        described = pa.table({name: pa.array(list(value)) for name, value in described.items()})
    num_rows = described.num_rows if isinstance(described, pa.Table) else len(described)
    return metadata_table(described, num_rows)


def _admit(
    recorder: Recorder, batches: list[Any], tables: list[pa.Table], known: dict[str, int]
) -> list[NDArray[np.int64]]:
    """Admit the rows that are new; return example numbers batch by batch."""
    numbers, items, taken = [], [], []
    following = len(recorder.examples)
    for batch, table in zip(batches, tables, strict=True):
        keys = table["key"].to_pylist() if "key" in table.column_names else [None] * table.num_rows
        found, new = np.empty(table.num_rows, np.int64), []
        for row, key in enumerate(keys):
            if key is None or key not in known:
                new.append(row)
                items.append(_item(batch, row, table.num_rows))
                found[row], following = following, following + 1
                if key is not None:
                    known[key] = int(found[row])
            else:
                found[row] = known[key]
        taken.append(table.take(new))
        numbers.append(found)
    if items:
        recorder.admit(items, pa.concat_tables(taken, promote_options="default"))
    return numbers


def _item(batch: Any, row: int, num_rows: int) -> Any:
    """Return what one row of a batch would be as an item of a data set."""
    return tree_map(lambda leaf: leaf[row] if _counts(leaf, num_rows) else leaf, batch)


def _rows(batch: Any, rows: Tensor | None, num_rows: int) -> Any:
    """Restrict a batch to some of its rows; None for all of them, untouched."""
    if rows is None:
        return batch
    return tree_map(
        lambda leaf: leaf[rows.to(leaf.device)] if _counts(leaf, num_rows) else leaf, batch
    )


def _counts(leaf: Any, num_rows: int) -> bool:
    return isinstance(leaf, Tensor) and leaf.dim() > 0 and leaf.shape[0] == num_rows
