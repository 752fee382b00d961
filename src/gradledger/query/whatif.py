"""What if: an executed replay beside what was estimated, each under its own name.

The executed columns are truth: the run again, with nothing changed but the intervention. Estimates
are accounting or prediction. They stand side by side, are never added, and their agreement is
shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradledger.query.answer import Answer, Column, Table
from gradledger.query.books import UNITS
from gradledger.query.calibration import COVERAGE, Calibrated
from gradledger.query.choice import Choice, cost_of_executing, doubts, not_reliable
from gradledger.query.estimate import Estimate
from gradledger.query.estimators import ESTIMATORS
from gradledger.query.influence import calibrated_changes
from gradledger.query.intervention import Resolved
from gradledger.query.names import allowed
from gradledger.query.records import Records
from gradledger.query.stored_states import Distance, together
from gradledger.query.whatif_tables import (
    Estimates,
    agreement_over_groups,
    answers_table,
    observations_table,
    texts_table,
)
from gradledger.schema import GroupRecord

_ALONG = "along D: inner product of the change with D, over |D|^2; D is the change over the run"
_EXECUTED = "executed: truth for this run, its order, seeds and learning rates; the run again"
_UNBOUNDED = (
    "no interval: it needs three trial removals (--removals of influence), and a removal over the "
    "whole run of at most half again as many examples"
)
_OTHER_QUESTION = (
    "a training that never had these examples in its data set would see another order: "
    "another question"
)


def whatif(
    records: Records,
    resolved: Resolved,
    result: Mapping[str, Any] | None,
    *,
    by: str = "block",
    how: str = "replay",
    choice: Choice | None = None,
) -> Answer:
    """Return what an intervention does, executed where there is a result, and as estimated.

    Args:
        records: The run.
        resolved: What is done, to which examples.
        result: Stored result of its replay; ``None`` gives one estimate alone.
        by: ``block`` or ``group``.
        how: Without a result, which estimate.
        choice: Why it was chosen, where it was.

    Raises:
        QueryError: Q110 argument, Q111 no steps, Q173 a prediction that is not reliable.
    """
    allowed("by", by, UNITS)
    chosen = choice.facts() if choice else {}
    if result is None:
        return _estimated(records, resolved, by, how, chosen)
    intervention = resolved.intervention
    estimates = {name: item.groups(records, intervention) for name, item in ESTIMATORS.items()}
    tables = [_units_table(records, result, estimates, by)] if result["groups"] else []
    if result["observations"]:
        nats = {name: item.probes(records, intervention) for name, item in ESTIMATORS.items()}
        tables.append(observations_table(result, nats))
    if result.get("texts"):
        tables.append(texts_table(result))
    tables.append(answers_table(records, result, estimates))
    return Answer(
        question="whatif",
        title=f"What if: {resolved.title}, executed",
        kind="truth",
        measure="executed replay",
        facts={**chosen, **_facts(result, estimates)},
        tables=tuple(tables),
        notes=(
            _EXECUTED,
            _ALONG,
            *resolved.notes,
            *(_method(name) for name in ESTIMATORS),
            *_unsettled(estimates),
            *_notes(records, result),
        ),
    )


def _estimated(
    records: Records, resolved: Resolved, by: str, how: str, chosen: Mapping[str, Any]
) -> Answer:
    """Return one estimate alone; of predictions, those that executed runs did not contradict."""
    estimator = ESTIMATORS[allowed("how", how, list(ESTIMATORS))]
    estimates = {how: estimator.groups(records, resolved.intervention)}
    nats = dict(estimator.probes(records, resolved.intervention))
    foretold = estimator.kind == "prediction"
    doubtful = doubts(records) if foretold else {}
    left_out = {name: doubtful[name] for name in sorted(nats.keys() & doubtful.keys())}
    if left_out and left_out.keys() == nats.keys():
        cost = cost_of_executing(records, resolved.intervention)
        raise not_reliable(records, left_out, cost)
    for name in left_out:
        del nats[name]
    tables = [_estimate_table(records, estimates[how], by, how)]
    near: dict[str, Calibrated] = {}
    if nats:
        near = calibrated_changes(records, resolved.intervention, nats) if foretold else {}
        tables.append(_predictions_table(how, nats, near))
    sides = {"accounting": "as the books say", "prediction": "as predicted"}
    return Answer(
        question="whatif",
        title=f"What if: {resolved.title}, {sides[estimator.kind]}",
        kind=estimator.kind,
        measure="displacement",
        facts={**chosen, "examples": len(resolved.intervention.examples)},
        tables=tuple(tables),
        notes=(
            _ALONG,
            *resolved.notes,
            _method(how),
            *(f"{name}: left out, not reliable: {why}" for name, why in left_out.items()),
            *([_UNBOUNDED] if foretold and not near else _unsettled(estimates)),
        ),
    )


def _predictions_table(
    how: str, nats: Mapping[str, float], near: Mapping[str, Calibrated]
) -> Table:
    rows = tuple(
        (name, nats[name], *((c.value, c.low, c.high) if (c := near.get(name)) else [None] * 3))
        for name in sorted(nats)
    )
    columns = (
        Column("name", "probe"),
        Column(how, f"{how} [nats]", "share"),
        *(
            Column(name, header, "share", in_text=bool(near))
            for name, header in (
                ("calibrated", "calibrated"),
                ("low", f"{COVERAGE:.0%} from"),
                ("high", "to"),
            )
        ),
    )
    return Table("observations", "Behaviour: estimated change", columns, rows)


def _method(name: str) -> str:
    item = ESTIMATORS[name]
    return f"{name}: {item.kind}, {item.method}; {item.leaves_out}"


def _facts(result: Mapping[str, Any], estimates: Estimates) -> dict[str, Any]:
    first, steps = result["first_affected_step"], result["num_steps"]
    until = "the whole run" if first is None else f"first affected visit in step {first}"
    facts: dict[str, Any] = {
        "examples affected": result["num_affected_examples"],
        "visits affected": result["num_affected_visits"],
    }
    if result.get("num_rescaled_visits"):
        facts["other visits rescaled"] = result["num_rescaled_visits"]
    start = result.get("start_step") or 0
    begun = f", begun from the state after step {start}" if start else ""
    facts |= {
        "bit-identical steps": f"{result['num_identical_steps']} of {steps}; {until}{begun}",
        "first step that differs": result["first_different_step"],
        "same final model": result["final_digest"] == result["run_final_digest"],
        "seconds to execute": round(float(result["wall_seconds"]), 1),
    }
    for name, by_group in estimates.items():
        agreement = agreement_over_groups(result, by_group)
        if agreement is not None:
            facts[f"rank agreement over groups ({name})"] = round(agreement, 3)
    return facts


def _units(records: Records, by: str) -> dict[str, list[GroupRecord]]:
    units: dict[str, list[GroupRecord]] = {}
    parameters = [group for group in records.begin.groups if group.role == "parameters"]
    for item in sorted(parameters, key=lambda item: (item.block_index, item.group)):
        units.setdefault(item.block if by == "block" else item.name, []).append(item)
    return {**units, "total": parameters}


def _units_table(
    records: Records, result: Mapping[str, Any], estimates: Estimates, by: str
) -> Table:
    of_group = {row["group"]: row for row in result["groups"]}
    rows = []
    for name, groups in _units(records, by).items():
        found = [of_group[group.group] for group in groups]
        moved = together([Distance(row["distance"], row["displacement"]) for row in found])
        dot = sum(row["dot"] for row in found)
        shares = [_joined_share(by_group, groups) for by_group in estimates.values()]
        rows.append(
            (
                name,
                moved.norm,
                moved.norm / moved.before if moved.before else None,
                dot / moved.before**2 if moved.before else None,
                *shares,
            )
        )
    columns = (
        Column(by, by),
        Column("distance", "|change|", "number"),
        Column("relative", "over |D|", "number"),
        Column("executed", "executed, along D", "share"),
        *(Column(name, f"{name}, along D", "share") for name in estimates),
    )
    return Table("units", "The model: executed change and what was estimated", columns, tuple(rows))


def _joined_share(by_group: Mapping[int, Estimate], groups: list[GroupRecord]) -> float | None:
    parts = [by_group[group.group] for group in groups if group.group in by_group]
    return Estimate.joined(parts).share if parts else None


def _estimate_table(
    records: Records, estimates: Mapping[int, Estimate], by: str, how: str
) -> Table:
    rows = []
    for name, groups in _units(records, by).items():
        parts = [estimates[group.group] for group in groups if group.group in estimates]
        joined = Estimate.joined(parts) if parts else None
        rows.append(
            (name, joined.booked_share if joined else None, joined.share if joined else None)
        )
    columns = (
        Column(by, by),
        Column("booked", "booked, along D", "share"),
        Column(how, "estimated change, along D", "share"),
    )
    return Table("units", f"The estimate: {how}", columns, tuple(rows))


def _unsettled(estimates: Estimates) -> list[str]:
    if any(estimates.values()):
        return []
    return ["no estimate: displacement was not settled for the whole run, or content was exchanged"]


def _notes(records: Records, result: Mapping[str, Any]) -> list[str]:
    notes = [f"executed {result['executed_at']}; a stored result is shown until asked for anew"]
    if result.get("num_rates_set"):
        notes.append(
            f"{result['num_rates_set']} learning rates that the loop chose otherwise were set as "
            "recorded"
        )
    if result.get("first_other_rng_step"):
        notes.append(
            f"from step {result['first_other_rng_step']} on the loop drew other random numbers "
            "than recorded: the change is that of loop and examples together"
        )
    if result.get("factual_model") == "removed":
        notes.append("an erasure removed the recorded model: distances to it are not known")
    probes = [str(probe.get("name")) for probe in records.begin.settings.get("probes") or []]
    missing = [name for name in probes if name not in result["observations"]]
    if missing:
        notes.append(
            f"recorded probes that were not evaluated: {', '.join(missing[:4])}; give them with "
            "observe"
        )
    return [*notes, _OTHER_QUESTION]
