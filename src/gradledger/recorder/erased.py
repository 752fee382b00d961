"""Deny what was erased: lists of it stand above every policy.

A denial can only take away, so it is no matter of the policy's text. Its decisions follow those of
the policy in the tables, with the class ``erased`` and no rules, and a check repeats the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from gradledger.errors import ReplayError
from gradledger.recorder.admission import Admission
from gradledger.rights import ErasedLists, Erasure

#: Content class of what may not be admitted because it was erased.
ERASED_CLASS: Final = "erased"
_DENIED: Final[dict[str, str]] = {
    "verdict": "deny",
    "class": ERASED_CLASS,
    "profile": "full",
    "attributes": "{}",
}


def erased_among(
    known: ErasedLists, contents: Sequence[bytes | None], table: pa.Table
) -> dict[int, Erasure]:
    """Return which items of a data set were erased, by place.

    Args:
        known: The lists.
        contents: SHA-256 of every item; None where it was not taken.
        table: Metadata, one row per item.
    """
    if not known.erasures:
        return {}
    found = {}
    for place, (content, row) in enumerate(zip(contents, table.to_pylist(), strict=True)):
        erasure = known.match(content, row)
        if erasure is not None:
            found[place] = erasure
    return found


def deny_erased(admission: Admission, erased: dict[int, Erasure]) -> Admission:
    """Return an admission in which erased items are denied, whatever the policy said."""
    if not erased:
        return admission
    code = admission.code.copy()
    certificates = sorted({erasure.certificate for erasure in erased.values()})
    number = {name: len(admission) + place for place, name in enumerate(certificates)}
    for place, erasure in erased.items():
        code[place] = number[erasure.certificate]
    columns: dict[str, Any] = {}
    for name, values in admission.columns.items():
        listed = values.to_pylist() if hasattr(values, "to_pylist") else list(values)
        last = listed[-1] if listed else ""
        if name == "reason":
            added = [f"erased; certificate {certificate}" for certificate in certificates]
        else:
            added = [_DENIED.get(name, last)] * len(certificates)
        columns[name] = pa.array([*listed, *added])
    profiles = [*admission.profiles.to_pylist(), *["full"] * len(certificates)]
    return replace(
        admission,
        code=code,
        admitted=np.concatenate([admission.admitted, np.zeros(len(certificates), np.bool_)]),
        profiles=pa.array(profiles).dictionary_encode(),
        columns=columns,
        num_ruled=len(admission),
    )


def refuse_erased(erased: dict[int, Erasure], admitted: Sequence[bool], where: str) -> None:
    """Refuse to go on with a run that admitted what was erased since.

    Raises:
        ReplayError: Code R155.
    """
    places = [place for place in erased if admitted[place]]
    if places:
        raise ReplayError(
            "R155",
            observed=f"{len(places)} admitted items that were erased since, first item {places[0]}",
            expected="a run without them",
            where=where,
            hint="begin a new run: its admission denies them; recorded decisions are never changed",
        )
