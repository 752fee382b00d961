"""Choosing how a what-if is answered within a time: truth where it fits, else what can be believed.

    1  a stored result of this intervention             truth, at no cost
    2  executing, where it fits                         truth
    3  stored derivatives that are called reliable      prediction
    4  the estimate of the books, where no derivative
       says that training was not smooth                accounting
    5  nothing: refused, with what truth would cost

What executing costs is known before it is done: steps from the last stored state before the first
affected visit, times seconds per step in earlier replays of this run, or else in the run itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gradledger.canon import parse_json
from gradledger.errors import GradledgerError, QueryError
from gradledger.query.derivatives import stored_behaviours, stored_derivatives
from gradledger.query.estimators import ESTIMATORS
from gradledger.query.influence import predicted_changes
from gradledger.query.records import Records
from gradledger.query.replays import RESULT_FILE, replays_folder, stored_result
from gradledger.query.stored_states import stored_steps
from gradledger.schema import Intervention, parts_of

_FIRST: Final = (
    "SELECT min(v.step) FROM visits v JOIN (SELECT unnest(?::INTEGER[]) AS example) c "
    "ON v.example = c.example WHERE v.step BETWEEN ? AND ?"
)


@dataclass(frozen=True)
class Cost:
    """What executing an intervention takes.

    Attributes:
        num_steps: Steps to execute.
        seconds: Estimated wall time; None where no step says how long it took.
        basis: What the estimate stands on.
    """

    num_steps: int
    seconds: float | None
    basis: str

    def __str__(self) -> str:
        """Return both in one phrase."""
        steps = f"{self.num_steps} steps to execute"
        return steps if self.seconds is None else f"about {self.seconds:.2g} s: {steps}"


@dataclass(frozen=True)
class Choice:
    """How a question is answered, and why.

    Attributes:
        how: ``replay`` or the name of an estimator.
        reason: Why not another way.
        cost: What truth costs.
    """

    how: str
    reason: str
    cost: Cost

    def facts(self) -> dict[str, Any]:
        """Return what an answer says of it."""
        return {
            "answered by": f"{self.how}: {self.reason}",
            "truth would cost": f"{self.cost}; estimated from {self.cost.basis}",
        }


def cost_of_executing(records: Records, intervention: Intervention) -> Cost:
    """Return what executing an intervention takes."""
    last = records.span[1] if records.span else 0
    firsts = [
        records.ask(_FIRST, [list(part.examples), *(part.steps or (0, last))])[0][0]
        for part in parts_of(intervention)
        if part.examples
    ]
    known = [int(first) for first in firsts if first is not None]
    begun = max((s for s in stored_steps(records) if known and s < min(known)), default=0)
    num = last - begun
    per_step, basis = _seconds_per_step(records)
    return Cost(num, None if per_step is None else num * per_step, basis)


def choose(records: Records, intervention: Intervention, within_seconds: float) -> Choice:
    """Choose how to answer.

    Args:
        records: The closed run.
        intervention: What is done, to which examples.
        within_seconds: Wall time that executing may take.

    Raises:
        QueryError: Nothing that can be believed fits: not reliable (Q173) or no other way (Q174).
    """
    cost = cost_of_executing(records, intervention)
    if stored_result(records, intervention) is not None:
        return Choice("replay", "executed before, and stored", cost)
    budget = f"{within_seconds:g} s"
    if cost.seconds is not None and cost.seconds <= within_seconds:
        return Choice("replay", f"executing fits into {budget}", cost)
    beyond = f"executing does not fit into {budget}"
    doubtful = doubts(records)
    foretold = predicted_changes(records, intervention).keys() - doubtful.keys()
    if foretold:
        return Choice("adjoint", f"{beyond}; derivatives are stored and called reliable", cost)
    if doubtful:
        raise not_reliable(records, doubtful, cost)
    if ESTIMATORS["ledger"].groups(records, intervention):
        return Choice("ledger", f"{beyond}, and no derivative is stored: only what is booked", cost)
    raise QueryError(
        "Q174",
        observed=f"{budget}, and neither derivatives nor settled displacement",
        expected=f"{cost}",
        where="whatif",
        hint="allow that time, or settle the run once (gradledger settle RUN)",
    )


def doubts(records: Records) -> dict[str, str]:
    """Return behaviours whose stored derivatives are not called reliable, with the reason."""
    found = {}
    for name in stored_behaviours(records):
        stored = stored_derivatives(records, name)
        if stored is not None and not stored.belief["reliable"]:
            belief = stored.belief
            found[name] = f"expected agreement {belief['expected']:.2f}: {belief['reason']}"
    return found


def not_reliable(records: Records, doubtful: Mapping[str, str], cost: Cost) -> QueryError:
    """Return the refusal of a prediction that executed runs have contradicted."""
    name, reason = next(iter(doubtful.items()))
    return QueryError(
        "Q173",
        observed=f"{name!r:.100}, {reason}",
        expected="agreement with executed removals of at least 0.7",
        where=str(records.path),
        hint=f"execute it: --how replay ({cost})",
    )


def _seconds_per_step(records: Records) -> tuple[float | None, str]:
    """Return wall seconds of one executed step, and what says so."""
    rates = []
    for path in replays_folder(records.path).glob(f"*/{RESULT_FILE}"):
        try:
            result = parse_json(path.read_bytes(), str(path))
            taken = int(result["num_steps"]) - int(result.get("start_step") or 0)
            rates.append(float(result["wall_seconds"]) / taken)
        except (OSError, GradledgerError, KeyError, TypeError, ValueError, ZeroDivisionError):
            continue
    if rates:
        return sorted(rates)[len(rates) // 2], f"{len(rates)} replays of this run"
    (row,) = records.ask("SELECT median(wall_seconds) FROM steps WHERE wall_seconds > 0")
    return (None if row[0] is None else float(row[0])), "the time that recorded steps took"
