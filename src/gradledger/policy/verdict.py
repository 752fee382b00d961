"""From the truth of rules to verdicts, and from the truth of classes to labels.

The order is deny, quarantine, defer, admit; a stronger rule overrides a weaker one, wherever it
stands. A rule against admission that is *unknown* quarantines; an admit rule that is unknown admits
nothing. Predicates are monotone in knowledge, hence: taking a value away from an example can only
turn rules into unknown, and then admission cannot arise. For if all rules against it are false and
one for it is true without the value, the same held with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gradledger.policy.sql import FALSE, TRUE, UNKNOWN
from gradledger.schema import VERDICTS

DENY: Final = VERDICTS.index("deny")
QUARANTINE: Final = VERDICTS.index("quarantine")
DEFER: Final = VERDICTS.index("defer")
ADMIT: Final = VERDICTS.index("admit")
#: Number of the class or band of examples for which it is not known.
NOT_KNOWN: Final = -1

Truths = NDArray[np.uint8]


def verdicts(truths: Truths, effects: Sequence[str]) -> NDArray[np.int8]:
    """Return the verdict on every tuple.

    Args:
        truths: Shape (rules, tuples).
        effects: Effect of every rule.

    Returns:
        Places in ``VERDICTS``; deny where no rule speaks.
    """
    names = np.asarray(effects)
    true = {effect: (truths[names == effect] == TRUE).any(axis=0) for effect in VERDICTS}
    against = (truths[names != "admit"] == UNKNOWN).any(axis=0)
    perhaps = (truths[names == "admit"] == UNKNOWN).any(axis=0)
    return np.select(
        [true["deny"], true["quarantine"] | against, true["defer"], true["admit"], perhaps],
        [DENY, QUARANTINE, DEFER, ADMIT, QUARANTINE],
        default=DENY,
    ).astype(np.int8)


def determining(truths: Truths, effects: Sequence[str], verdict: int) -> list[bool]:
    """Return for every rule of one tuple whether its verdict rests on it.

    Args:
        truths: Shape (rules,).
        effects: Effect of every rule.
        verdict: Place in ``VERDICTS``.
    """
    if verdict != QUARANTINE:
        name = VERDICTS[verdict]
        return [
            effect == name and truth == TRUE for effect, truth in zip(effects, truths, strict=True)
        ]
    against = [
        (effect == "quarantine" and truth == TRUE) or (effect != "admit" and truth == UNKNOWN)
        for effect, truth in zip(effects, truths, strict=True)
    ]
    if any(against):
        return against
    return [truth == UNKNOWN for truth in truths]


def first_matching(truths: Truths) -> NDArray[np.int32]:
    """Return the number of the first class that holds, for every tuple.

    A class after one that is unknown does not count: the unknown one might come first. So a value
    that is taken away can make a class unknown and never turn it into another.

    Args:
        truths: Shape (classes, tuples).

    Returns:
        Numbers of classes; ``NOT_KNOWN`` where none holds or an earlier one is unknown.
    """
    if not len(truths):
        return np.full(truths.shape[1], NOT_KNOWN, np.int32)
    speaks = truths != FALSE
    first = speaks.argmax(axis=0)
    value = np.take_along_axis(truths, first[None], axis=0)[0]
    return np.where(value == TRUE, first, NOT_KNOWN).astype(np.int32)


def bands_of(values: NDArray[np.float64], edges: Sequence[float]) -> NDArray[np.int32]:
    """Return the number of the band of every value; ``NOT_KNOWN`` for NaN.

    Args:
        values: The measure, NaN where missing.
        edges: Rising; a value on an edge belongs to the band above it.
    """
    found = np.searchsorted(np.asarray(edges, np.float64), values, side="right")
    return np.where(np.isnan(values), NOT_KNOWN, found).astype(np.int32)
