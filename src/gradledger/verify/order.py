"""The order of leaves, and whether small records in the log are those on the disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from gradledger.errors import GradledgerError
from gradledger.log import DESCRIPTION_NAME, LOG_FOLDER, LogDescription
from gradledger.schema import (
    DERIVED_TABLES,
    CommitmentsLeaf,
    DerivedLeaf,
    ErasureLeaf,
    KeyLeaf,
    Leaf,
    PolicyLeaf,
    RunBeginLeaf,
    RunEndLeaf,
    SegmentLeaf,
    StateLeaf,
)
from gradledger.segment import read_json
from gradledger.verify.finding import Finding
from gradledger.verify.recorded import Recorded

#: What may stand behind the end of a run, besides segments of derived tables.
_AFTER_END: Final = (DerivedLeaf, ErasureLeaf, KeyLeaf)


def check_order(found: Recorded, leaves: Sequence[Leaf | None]) -> Iterator[Finding]:
    """Check that a run begins once, first, and ends once; behind its end only what is derived."""
    ended = derived = False
    for index, leaf in enumerate(leaves):
        place = f"leaf {index}"
        if leaf is None:
            continue
        if isinstance(leaf, RunBeginLeaf) != (index == 0):
            yield Finding("V204", place, f"kind {leaf.kind!r}", "the run's begin first, and once")
        table = leaf.table if isinstance(leaf, SegmentLeaf) else ""
        is_derived = table in DERIVED_TABLES
        if is_derived and not derived:
            yield Finding("V204", place, f"a segment of {table}", "a leaf 'derived' before it")
        if ended and not is_derived and not isinstance(leaf, _AFTER_END):
            yield Finding("V204", place, f"kind {leaf.kind!r} after the end", "derived tables only")
        derived |= isinstance(leaf, DerivedLeaf)
        ended |= isinstance(leaf, RunEndLeaf)
    if found.end is not None and not ended:
        yield Finding("V204", "log", "no leaf of the run's end", "one, as end.json is there")


def check_records(found: Recorded, leaves: Sequence[Leaf | None]) -> Iterator[Finding]:
    """Compare what leaves say of the run with its documents."""
    said = found.begin.get("log", {})
    description = LogDescription.read(found.run_dir / LOG_FOLDER)
    if said and said["origin"] != description.origin:
        place = f"{LOG_FOLDER}/{DESCRIPTION_NAME}"
        yield Finding("V205", place, description.origin, f"{said['origin']}, as run.json says")
    first = str(description.keys[0]) if description.keys else ""
    if said and said["verifier_key"] != first:
        place = f"{LOG_FOLDER}/{DESCRIPTION_NAME}"
        expected = said["verifier_key"] or "no key"
        yield Finding("V205", place, first or "no key", f"{expected}, as run.json says")
    digests = [leaf.policy_sha256 for leaf in leaves if isinstance(leaf, PolicyLeaf)]
    wanted = [found.begin["policy"]["digest"]] if found.begin["policy"] else []
    if digests != wanted:
        yield Finding("V205", "log", f"policies {digests}", f"{wanted}, as run.json says")
    # A state that was stored again after a resume stands in the log twice: the last one counts.
    states = {leaf.step: leaf for leaf in leaves if isinstance(leaf, StateLeaf)}
    for step, state in sorted(states.items()):
        yield from _state(found, state, step)
    for leaf in leaves:
        if isinstance(leaf, RunEndLeaf) and found.end is not None:
            pair = (found.end["num_steps"], found.end["final_digest"])
            if (leaf.num_steps, leaf.final_sha256) != pair:
                observed = f"{leaf.num_steps} steps, {leaf.final_sha256}"
                yield Finding("V205", "end.json", observed, f"{pair[0]} steps, {pair[1]}")
        if isinstance(leaf, CommitmentsLeaf) and len(leaf.files) != 1:
            yield Finding("V201", "log", f"{len(leaf.files)} files of commitments", "one")


def _state(found: Recorded, leaf: StateLeaf, step: int) -> Iterator[Finding]:
    name = f"states/step={step}/state.json"
    try:
        digest = read_json(found.run_dir / name)["model_digest"]
    except (GradledgerError, KeyError, TypeError):
        return  # missing or malformed: its file says so
    if digest != leaf.state_sha256:
        yield Finding("V205", name, str(digest), f"{leaf.state_sha256}, as its leaf says")
