"""On whose authority each visit acted: admitted, as admitted, and not deeper than permitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradledger.log import read_commitments
from gradledger.merkle import HASH_BYTES
from gradledger.schema import CommitmentsLeaf, Leaf
from gradledger.verify.finding import Finding
from gradledger.verify.recorded import Recorded

#: Findings of one kind that are listed one by one.
_LISTED = 100


def check_authority(found: Recorded) -> Iterator[Finding]:
    """Check that every visit rests on an admitted example, its content and its depth profile."""
    yield from _admitted(found)
    yield from _content(found)
    if found.begin["level"] != "decisions":
        yield from _weights(found)


def check_commitments(found: Recorded, leaves: Sequence[Leaf | None]) -> Iterator[Finding]:
    """Compare the sealed commitments with those of the tables: absence rests on all being there."""
    # What an interrupted close sealed was set aside, and sealed again under the same name.
    latest = {leaf.files[0].path: leaf for leaf in leaves if isinstance(leaf, CommitmentsLeaf)}
    sealed = latest.values()
    if found.end is None or not found.scope.whole or not sealed:
        return
    expected = _by_source(found)
    for leaf in sealed:
        place = leaf.files[0].path
        values, wanted = (
            set(read_commitments(found.run_dir / place)),
            expected.pop(leaf.source, set()),
        )
        if values != wanted:
            observed = f"{len(wanted - values)} missing, {len(values - wanted)} in no table"
            yield Finding("V604", place, observed, "the commitments of its source in the tables")
    for source, values in sorted(expected.items()):
        if values:
            yield Finding("V604", "log", f"no commitments of {source!r:.80}", "a leaf per source")


def _admitted(found: Recorded) -> Iterator[Finding]:
    visits, decision = found.visits, found.examples["decision"].to_numpy()
    example = visits["example"].to_numpy()
    known = (example >= 0) & (example < len(decision))
    own = np.where(known, decision[np.where(known, example, 0)] if len(decision) else -1, -1)
    under = visits["decision"].to_numpy()
    admits = np.append(found.admitted, False)
    allowed = known & (own == under) & admits[np.clip(own, -1, len(found.admitted) - 1)]
    for row in np.flatnonzero(~allowed).tolist()[:_LISTED]:
        observed = f"example {example[row]} under decision {under[row]}"
        expected = f"decision {own[row]}, which admits" if known[row] else "an admitted example"
        yield Finding("V701", _place(found, row), observed, expected)


def _content(found: Recorded) -> Iterator[Finding]:
    texts = found.examples["content"].to_pylist()
    if not any(texts):
        return
    content = np.frombuffer(
        b"".join(bytes.fromhex(text) if text else bytes(HASH_BYTES) for text in texts), np.uint8
    ).reshape(len(texts), HASH_BYTES)
    given = np.asarray([text is not None for text in texts], np.bool_)
    example = found.visits["example"].to_numpy()
    inside = (example >= 0) & (example < len(texts))
    own = np.where(inside, example, 0)
    digests, there = _digests(found.visits["digest"])
    other = (content[own] != digests).any(axis=1) & inside & given[own] & there
    for row in np.flatnonzero(other).tolist()[:_LISTED]:
        observed = f"commitment {digests[row].tobytes().hex()}"
        yield Finding("V703", _place(found, row), observed, str(texts[example[row]]))


def _digests(column: pa.ChunkedArray) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the bytes of a column of digests, one row each, and which are there."""
    parts = [np.empty((0, HASH_BYTES), np.uint8)]
    for chunk in column.chunks:
        # Absent values may have no bytes at all: they are filled first.
        filled = chunk.fill_null(bytes(HASH_BYTES)) if chunk.null_count else chunk
        values = np.frombuffer(filled.buffers()[1], np.uint8).reshape(-1, HASH_BYTES)
        parts.append(values[filled.offset : filled.offset + len(filled)])
    return np.concatenate(parts), column.is_valid().to_numpy()


def _weights(found: Recorded) -> Iterator[Finding]:
    """A group whose weight is 0 must have received nothing, to the bit."""
    profiles = found.begin["settings"]["profiles"]
    place = {name: index for index, name in enumerate(found.begin["blocks"])}
    closed = {
        name: [
            group["group"]
            for group in found.begin["groups"]
            if group["role"] == "parameters" and weights[place[group["block"]]] == 0.0
        ]
        for name, weights in profiles.items()
    }
    groups = sorted({group for numbers in closed.values() for group in numbers})
    if not groups:
        return
    rows = found.gradient_norms(groups)
    decision = rows["decision"].to_numpy()
    for name, numbers in closed.items():
        under = [n for n, (_, profile) in found.decisions.items() if profile == name]
        mine = np.isin(decision, under)
        for group in numbers:
            norms = rows[f"gnorm_{group}"].to_numpy()
            for row in np.flatnonzero(mine & (np.nan_to_num(norms) != 0)).tolist()[:_LISTED]:
                observed = f"gradient norm {norms[row]:.6g} in group {group}"
                expected = f"0: profile {name!r} closes its block"
                yield Finding("V702", _place(found, row), observed, expected)


def _by_source(found: Recorded) -> dict[str, set[bytes]]:
    examples = found.examples
    names = ["data"] * examples.num_rows
    if "source" in examples.column_names:
        names = [str(value) for value in examples["source"].to_pylist()]
    values: dict[str, set[bytes]] = {}
    for source, content in zip(names, examples["content"].to_pylist(), strict=True):
        values.setdefault(source, set())
        if content is not None:
            values[source].add(bytes.fromhex(content))
    distinct = found.visits.group_by(["example", "digest"]).aggregate([])
    pairs = (distinct[name].to_pylist() for name in ("example", "digest"))
    for example, digest in zip(*pairs, strict=True):
        if digest is not None and 0 <= example < len(names):
            values[names[example]].add(digest)
    return values


def _place(found: Recorded, row: int) -> str:
    names = ("step", "micro_batch", "position")
    step, micro, position = (found.visits[name][row].as_py() for name in names)
    return f"visits, step {step}, micro-batch {micro}, position {position}"
