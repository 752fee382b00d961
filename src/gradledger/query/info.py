"""What a run is: model, coverage, policy, optimizer, opening balance, counts, environment."""

from __future__ import annotations

from typing import Any

from gradledger.errors import GradledgerError
from gradledger.log import LogReader, has_log
from gradledger.query.answer import Answer, Column, Table
from gradledger.query.intervals import all_intervals
from gradledger.query.orphans import resumes_table, unfinished
from gradledger.query.probes import probe_records
from gradledger.query.records import Records
from gradledger.query.selection import metadata_columns

#: More groups than this are left to Arrow and JSON.
_FEW_GROUPS = 24


def info(records: Records) -> Answer:
    """Return what was known at the begin of the run, and its counts and totals so far."""
    begin = records.begin
    return Answer(
        question="info",
        title=f"Run {begin.run_id}",
        kind="accounting",
        facts=_facts(records),
        tables=(
            _blocks(records),
            _verdicts(records),
            *_unattributed(records),
            _groups(records),
            *([resumes_table(records)] if records.resumes else []),
        ),
        notes=_notes(records),
    )


def _facts(records: Records) -> dict[str, Any]:
    begin, end = records.begin, records.end
    coverage = begin.coverage
    num_visits = int(records.ask("SELECT count(*) FROM visits")[0][0])
    num_steps = int(records.ask("SELECT count(*) FROM steps")[0][0])
    num_examples = int(records.ask("SELECT count(*) FROM examples")[0][0])
    span = records.span
    facts: dict[str, Any] = {
        "directory": str(records.path),
        "created": begin.created_at,
        "closed": end.closed_at if end else "no: the run is open or was cut off",
        "recording level": begin.level,
        "on imbalance": begin.on_imbalance,
        "steps": f"{num_steps} ({span[0]} to {span[1]})" if span else 0,
        "visits": num_visits,
        "examples": num_examples,
        "coverage": f"{coverage.percent:.4g} % of {coverage.num_updated:,} updated parameters",
        "policy": begin.policy or "none: everything was admitted unchecked",
        "optimizer": begin.optimizer,
        "opening balance": begin.opening_balance,
        **_fork(records),
        "balance": _balance(records),
        "displacement": [f"{item.start + 1} to {item.stop}" for item in all_intervals(records)]
        or "not settled",
        **_frozen(records),
        "probes": [entry["name"] for entry in probe_records(records)] or "none",
        "metadata": metadata_columns(records),
        "log": _log(records),
        "seeds": begin.seeds,
        "environment": begin.environment,
    }
    if records.resumes:
        num_steps = sum(resume.num_orphan_steps for resume in records.resumes)
        facts["resumes"] = f"{len(records.resumes)}; orphan steps: {num_steps} (see orphans)"
    if end is None:
        facts["cut off or open"] = unfinished(records)
    if end:
        facts["final model state"] = end.final_digest
        facts["totals"] = end.totals
    if begin.notes:
        facts["notes"] = begin.notes
    return facts


def _fork(records: Records) -> dict[str, Any]:
    """Say which state of which run this one began with; nothing where it is no fork."""
    said = records.begin.settings.get("fork")
    if not said:
        return {}
    return {"forked from": f"run {said['run_id']} after step {said['step']}, log {said['origin']}"}


def _frozen(records: Records) -> dict[str, Any]:
    """Return the intervals that the second measure was settled for, where it was."""
    found = [f"{item.start + 1} to {item.stop}" for item in all_intervals(records, "frozen")]
    return {"frozen-curvature adjoint": found} if found else {}


def _log(records: Records) -> str:
    """Say how long the log is and who signs it; whether it holds is for verification to say."""
    if not has_log(records.path):
        return "none: the run was recorded without one"
    try:
        reader = LogReader(records.path)
    except GradledgerError as error:
        return f"cannot be read: {error.observed}"
    keys = reader.description.keys
    signed = f"signed by {keys[-1]}" if keys else "unsigned: it shows accidents only"
    return f"{reader.origin}, {reader.size} leaves, {signed} (see verify)"


def _balance(records: Records) -> dict[str, Any]:
    """Return the booked balance of the end record, or what the books say so far."""
    if records.end and records.end.balance:
        return {
            name: {key: count for key, count in value.items() if count or name != "verdicts"}
            if isinstance(value, dict)
            else value
            for name, value in records.end.balance.items()
        }
    return dict(records.ask("SELECT verdict, count(*) FROM books GROUP BY 1 ORDER BY 1"))


def _blocks(records: Records) -> Table:
    rows = []
    place = {name: index for index, name in enumerate(records.begin.blocks)}
    extra = [group.block for group in records.begin.groups if group.block not in place]
    for name in dict.fromkeys([*records.begin.blocks, *extra]):
        groups = [group for group in records.begin.groups if group.block == name]
        parameters = [group for group in groups if group.role == "parameters"]
        size = sum(group.num_parameters for group in parameters)
        missing = {tensor for tensor, _ in records.begin.coverage.unattributed}
        lost = sum(
            _elements(tensor.shape)
            for group in parameters
            for tensor in group.tensors
            if tensor.name in missing
        )
        captured = 100.0 * (size - lost) / size if size else None
        rows.append((name, len(parameters), len(groups) - len(parameters), size, captured))
    columns = (
        Column("block", "block"),
        Column("groups", "groups", "integer"),
        Column("buffer_groups", "buffer groups", "integer"),
        Column("parameters", "parameters", "integer"),
        Column("captured", "captured [%]", "number"),
    )
    return Table("blocks", "Blocks, from input to output", columns, tuple(rows))


def _elements(shape: tuple[int, ...]) -> int:
    total = 1
    for length in shape:
        total *= length
    return total


def _verdicts(records: Records) -> Table:
    rows = records.ask(
        "SELECT d.verdict, count(*), count(DISTINCT d.decision) FROM examples e "
        "LEFT JOIN decisions d USING (decision) GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    columns = (
        Column("verdict", "verdict"),
        Column("examples", "examples", "integer"),
        Column("decisions", "distinct decisions", "integer"),
    )
    return Table("verdicts", "Admission", columns, tuple(rows))


def _unattributed(records: Records) -> list[Table]:
    rows = records.begin.coverage.unattributed
    if not rows:
        return []
    columns = (Column("tensor", "tensor"), Column("reason", "reason"))
    return [Table("unattributed", "Updated without per-example capture", columns, rows)]


def _groups(records: Records) -> Table:
    rows = tuple(
        (
            group.group,
            group.name,
            group.block,
            group.role,
            group.num_parameters,
            ", ".join(dict.fromkeys(t.capture for t in group.tensors if t.capture)),
        )
        for group in records.begin.groups
    )
    columns = (
        Column("group", "number", "integer"),
        Column("name", "name"),
        Column("block", "block"),
        Column("role", "role"),
        Column("parameters", "elements", "integer"),
        Column("capture", "captured as"),
    )
    return Table("groups", "Parameter groups", columns, rows, in_text=len(rows) <= _FEW_GROUPS)


def _notes(records: Records) -> tuple[str, ...]:
    notes = list(records.begin.coverage.notes)
    if records.end is None:
        notes.append("the run was not closed: figures cover what is on disk")
    else:
        booked = int(records.ask("SELECT count(*) FROM visits")[0][0])
        if booked != records.end.num_visits:
            notes.append(
                f"the end record says {records.end.num_visits} visits, the tables hold {booked}"
            )
    return tuple(notes)
