"""Which visits an intervention changes, and to what: worked out before anything is executed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from gradledger.errors import ReplayError
from gradledger.replay.recorded import RecordedRun, RecordedVisit
from gradledger.schema import (
    Intervention,
    Remove,
    Renormalise,
    Substitute,
    changed_weights,
    parts_of,
)
from gradledger.segment import read_table

Weights = tuple[float, ...]


@dataclass(frozen=True)
class Plan:
    """What an intervention changes in a run.

    Attributes:
        weights: Step -> example -> its weights per block in that step, where they change.
        substituted: Example -> the substitution that gives it other content.
        examples: Examples of the selection with a visit that changes, ascending.
        first_step: Step of the first visit that changes; None where none does.
        num_visits: Visits of the selection that change.
        num_rescaled: Visits of other examples whose weights change with theirs.
    """

    weights: dict[int, dict[int, Weights]] = field(default_factory=dict)
    substituted: dict[int, Substitute] = field(default_factory=dict)
    examples: tuple[int, ...] = ()
    first_step: int | None = None
    num_visits: int = 0
    num_rescaled: int = 0


def plan_of(run: RecordedRun, intervention: Intervention) -> Plan:
    """Work out which visits an intervention changes.

    Args:
        run: The recorded run.
        intervention: What is done, to which examples.

    Raises:
        ReplayError: One step would need two weights of one example (R151), content would change
            in some steps only (R152), or tokens were not recorded (R153).
    """
    substituted = _substituted(run, intervention)
    wanted = frozenset(intervention.examples)
    decision, _, profiles = run.decisions()
    in_force, full = run.begin["settings"]["profiles"], [1.0] * len(run.begin["blocks"])
    tokens = _tokens(run, intervention)
    weights: dict[int, dict[int, Weights]] = {}
    steps, examples, num_visits, num_rescaled = [], set(), 0, 0
    for step, visits in _steps(run, wanted):
        in_step: dict[int, Weights] = {}
        for _, together in groupby(visits, key=lambda visit: visit.micro_batch):
            micro = list(together)
            numbers = [visit.example for visit in micro]
            old = [in_force.get(profiles[decision[number]], full) for number in numbers]
            sizes = [tokens.get((step, visit.micro_batch, visit.position), 1.0) for visit in micro]
            new = changed_weights(intervention, step, numbers, old, sizes)
            for number, before, after in zip(numbers, old, new, strict=True):
                _refuse_two(run, step, number, in_step.setdefault(number, after), after)
                if tuple(before) == after and number not in substituted:
                    continue
                num_visits += number in wanted
                num_rescaled += number not in wanted
                examples.add(number)
                steps.append(step)
                if tuple(before) != after:
                    weights.setdefault(step, {})[number] = after
    return Plan(
        weights,
        substituted,
        tuple(sorted(examples & wanted)),
        min(steps, default=None),
        num_visits,
        num_rescaled,
    )


def is_removal(intervention: Intervention) -> bool:
    """Whether all that is done is removing examples from the whole run."""
    return all(
        isinstance(part, Remove) and not isinstance(part, Renormalise) and part.steps is None
        for part in parts_of(intervention)
    )


def _steps(run: RecordedRun, wanted: frozenset[int]) -> Iterator[tuple[int, list[RecordedVisit]]]:
    """Give the visits of the steps that present a chosen example."""
    for step, visits in groupby(run.visits, key=lambda visit: visit.step):
        together = list(visits)
        if any(visit.example in wanted for visit in together):
            yield step, together


def _refuse_two(run: RecordedRun, step: int, number: int, earlier: Weights, after: Weights) -> None:
    """Refuse two weights of an example in one step: the recorder knows one at a time."""
    if earlier != after:
        raise ReplayError(
            "R151",
            observed=f"example {number} in two micro-batches of step {step}, with other weights "
            "in each",
            expected="one weight for an example in a step",
            where=str(run.run_dir),
            hint="remove instead of renormalising, or renormalise another range of steps",
        )


def _substituted(run: RecordedRun, intervention: Intervention) -> dict[int, Substitute]:
    found: dict[int, Substitute] = {}
    for part in parts_of(intervention):
        if not isinstance(part, Substitute):
            continue
        if part.steps is not None:
            raise ReplayError(
                "R152",
                observed=f"other content in the steps {part.steps[0]} to {part.steps[1]}",
                expected="other content in the whole run",
                where=str(run.run_dir),
                hint="a loader draws items ahead of the step that they are presented in",
            )
        found.update({number: part for number in part.examples if number not in part.same})
    return found


def _tokens(run: RecordedRun, intervention: Intervention) -> dict[tuple[int, int, int], float]:
    """Return the tokens of every visit where a mean over tokens is renormalised."""
    if not any(isinstance(p, Renormalise) and p.by == "tokens" for p in parts_of(intervention)):
        return {}
    names = ["step", "micro_batch", "position", "tokens"]
    rows: Sequence[dict[str, int | None]] = read_table(run.run_dir, "visits", names).to_pylist()
    found = {}
    for row in rows:
        place, count = tuple(row[name] for name in names[:3]), row["tokens"]
        if count is None:
            raise ReplayError(
                "R153",
                observed=f"no tokens of the visits of step {place[0]}",
                expected="tokens of every visit",
                where=str(run.run_dir),
                hint="renormalise by visits",
            )
        found[place] = float(count)
    return found  # type: ignore[return-value]
