"""Answers to "what if" without executing: one entry for each way to come to one.

An estimator reads records and stored predictions; it never executes anything. A further one is a
module with its two functions and one line here: commands, tables and checks take it from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gradledger.query.estimate import Estimate, estimate, estimated_nats
from gradledger.query.influence import predicted_changes
from gradledger.query.records import Records
from gradledger.schema import Intervention


@dataclass(frozen=True)
class Estimator:
    """One way to answer without executing.

    Attributes:
        name: What ``--how`` calls it, and the heading of its columns.
        kind: ``accounting`` or ``prediction``; never ``truth``.
        method: How it comes to its figures.
        leaves_out: What it takes as it was, and so gets wrong.
        groups: Change of every parameter group; empty where it has no answer.
        probes: Change of every probe in nats, by name; empty where it has no answer.
    """

    name: str
    kind: str
    method: str
    leaves_out: str
    groups: Callable[[Records, Intervention], Mapping[int, Estimate]]
    probes: Callable[[Records, Intervention], Mapping[str, float]]


ESTIMATORS: Final[dict[str, Estimator]] = {
    item.name: item
    for item in (
        Estimator(
            name="ledger",
            kind="accounting",
            method="booked entries scaled as their weights would be; minus the booked part for a "
            "removal",
            leaves_out="clip factors, second moments and all other gradients stay as they were",
            groups=estimate,
            probes=estimated_nats,
        ),
        Estimator(
            name="adjoint",
            kind="prediction",
            method="derivatives of behaviours by the weights of visits through the recorded run, "
            "stored by influence, times the change of the weights",
            leaves_out="whatever bends on the way: influence says how far they can be believed",
            groups=lambda _records, _intervention: {},
            probes=predicted_changes,
        ),
    )
}

#: Ways to an answer: executing, or one of the estimators.
HOW: Final[tuple[str, ...]] = ("replay", *ESTIMATORS)
