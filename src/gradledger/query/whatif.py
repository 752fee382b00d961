"""What if: an executed replay beside what the books had said, each under its own name.

The executed columns are truth: the run again, with nothing changed but the intervention. The
estimate is accounting. They stand side by side, are never added, and their agreement is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gradledger.query.agreement import spearman
from gradledger.query.answer import Answer, Column, Table
from gradledger.query.books import UNITS
from gradledger.query.derivatives import stored_behaviours, stored_derivatives
from gradledger.query.estimate import Estimate, estimate, estimated_nats
from gradledger.query.influence import predicted_change
from gradledger.query.names import allowed
from gradledger.query.records import Records
from gradledger.query.stored_states import Distance, together
from gradledger.schema import GroupRecord, Intervention, Remove, Reweight

HOW: Final[tuple[str, ...]] = ("replay", "ledger", "adjoint")

_ALONG = "along D: inner product of the change with D, over |D|^2; D is the change over the run"
_ESTIMATE = (
    "ledger: accounting, minus the booked part for a removal; it holds clip factors, second "
    "moments and all other gradients as they were"
)
_EXECUTED = "executed: truth for this run, its order, seeds and learning rates; the run again"
_OTHER_QUESTION = (
    "a training that never had these examples in its data set would see another order: "
    "another question"
)


def whatif(
    records: Records,
    intervention: Intervention,
    label: str,
    result: Mapping[str, Any] | None,
    *,
    by: str = "block",
) -> Answer:
    """Return what an intervention does, executed where there is a result, and as the books say.

    Args:
        records: The run.
        intervention: What is done, to which examples.
        label: The selection in words.
        result: Stored result of its replay; ``None`` gives the ledger's estimate alone.
        by: ``block`` or ``group``.

    Raises:
        QueryError: Q110 argument, Q111 no steps.
    """
    allowed("by", by, UNITS)
    estimates = estimate(records, intervention)
    title = f"What if: {in_words(intervention, label)}"
    if result is None:
        return Answer(
            question="whatif",
            title=f"{title}, as the books say",
            kind="accounting",
            measure="displacement",
            facts={"examples": len(intervention.examples)},
            tables=(_estimate_table(records, estimates, by),),
            notes=(_ALONG, _ESTIMATE, *_unsettled(estimates)),
        )
    tables = [_units_table(records, result, estimates, by)]
    if result["observations"]:
        estimated = estimated_nats(records, intervention)
        tables.append(_observations_table(result, estimated, _predicted(records, intervention)))
    return Answer(
        question="whatif",
        title=f"{title}, executed",
        kind="truth",
        measure="executed replay",
        facts=_facts(result, estimates),
        tables=tuple(tables),
        notes=(_EXECUTED, _ALONG, _ESTIMATE, *_unsettled(estimates), *_notes(result)),
    )


def in_words(intervention: Intervention, label: str) -> str:
    """Return an intervention in words."""
    if not intervention.examples:
        return "nothing is changed"
    if isinstance(intervention, Remove):
        return f"without {label}"
    if isinstance(intervention, Reweight):
        return f"{label} with {intervention.factor:g} times its weight"
    weights = ", ".join(f"{weight:g}" for weight in intervention.weights)
    return f"{label} under the profile {weights}"


def _facts(result: Mapping[str, Any], estimates: Mapping[int, Estimate]) -> dict[str, Any]:
    rows = [
        row for row in result["groups"] if row["displacement"] > 0 and row["group"] in estimates
    ]
    pairs = [(row["dot"] / row["displacement"] ** 2, estimates[row["group"]].share) for row in rows]
    paired = [(executed, share) for executed, share in pairs if share is not None]
    agreement = spearman([pair[0] for pair in paired], [pair[1] for pair in paired])
    first, steps = result["first_affected_step"], result["num_steps"]
    until = "the whole run" if first is None else f"first affected visit in step {first}"
    facts: dict[str, Any] = {
        "examples affected": result["num_affected_examples"],
        "visits affected": result["num_affected_visits"],
        "bit-identical steps": f"{result['num_identical_steps']} of {steps}; {until}",
        "first step that differs": result["first_different_step"],
        "same final model": result["final_digest"] == result["run_final_digest"],
        "seconds to execute": round(float(result["wall_seconds"]), 1),
    }
    if agreement is not None:
        facts["rank agreement over groups"] = round(agreement, 3)
    return facts


def _units(records: Records, by: str) -> dict[str, list[GroupRecord]]:
    units: dict[str, list[GroupRecord]] = {}
    parameters = [group for group in records.begin.groups if group.role == "parameters"]
    for item in sorted(parameters, key=lambda item: (item.block_index, item.group)):
        units.setdefault(item.block if by == "block" else item.name, []).append(item)
    return {**units, "total": parameters}


def _units_table(
    records: Records, result: Mapping[str, Any], estimates: Mapping[int, Estimate], by: str
) -> Table:
    of_group = {row["group"]: row for row in result["groups"]}
    rows = []
    for name, groups in _units(records, by).items():
        found = [of_group[group.group] for group in groups]
        moved = together([Distance(row["distance"], row["displacement"]) for row in found])
        dot = sum(row["dot"] for row in found)
        parts = [estimates[group.group] for group in groups if group.group in estimates]
        share = Estimate.joined(parts).share if parts else None
        rows.append(
            (
                name,
                moved.norm,
                moved.norm / moved.before if moved.before else None,
                dot / moved.before**2 if moved.before else None,
                share,
            )
        )
    columns = (
        Column(by, by),
        Column("distance", "|change|", "number"),
        Column("relative", "over |D|", "number"),
        Column("executed", "executed, along D", "share"),
        Column("ledger", "ledger, along D", "share"),
    )
    return Table(
        "units", "The model: executed change and the ledger's estimate", columns, tuple(rows)
    )


def _estimate_table(records: Records, estimates: Mapping[int, Estimate], by: str) -> Table:
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
        Column("ledger", "estimated change, along D", "share"),
    )
    return Table("units", "The ledger's estimate", columns, tuple(rows))


def _predicted(records: Records, intervention: Intervention) -> dict[str, float]:
    """Return first-order changes of the behaviours of which derivatives are stored."""
    found = {}
    for name in stored_behaviours(records):
        stored = stored_derivatives(records, name)
        change = None if stored is None else predicted_change(records, stored, intervention)
        if change is not None:
            found[name] = change
    return found


def _observations_table(
    result: Mapping[str, Any], estimates: Mapping[str, float], predicted: Mapping[str, float]
) -> Table:
    rows = []
    for name, values in result["observations"].items():
        recorded, executed = values["recorded"], values["executed"]
        change = None if recorded is None or executed is None else executed - recorded
        rows.append((name, recorded, executed, change, predicted.get(name), estimates.get(name)))
    columns = (
        Column("name", "observed"),
        Column("recorded", "recorded run", "number"),
        Column("executed", "executed", "number"),
        Column("change", "executed change", "share"),
        Column("adjoint", "adjoint", "share", in_text=any(row[-2] is not None for row in rows)),
        Column("ledger", "ledger", "share", in_text=any(row[-1] is not None for row in rows)),
    )
    return Table("observations", "Behaviour: the two final models", columns, tuple(rows))


def _unsettled(estimates: Mapping[int, Estimate]) -> list[str]:
    if estimates:
        return []
    return ["no estimate: displacement was not settled for the whole run"]


def _notes(result: Mapping[str, Any]) -> list[str]:
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
    return [*notes, _OTHER_QUESTION]
