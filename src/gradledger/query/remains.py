"""What remains of examples after they were erased from a model: states, copies, other runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gradledger.errors import GradledgerError
from gradledger.query.commitments import find_content, salts_of
from gradledger.query.records import Records, open_records
from gradledger.query.replays import RESULT_FILE, replays_folder
from gradledger.query.selection import metadata_columns
from gradledger.query.stored_states import read_state_record
from gradledger.rights import NAMED_BY
from gradledger.segment import ORPHANS, read_json

_STATES: Final = ("states/step=*", f"{ORPHANS}/*/states/step=*")
_WEIGHTS: Final = ("probes/weights/step=*.safetensors", f"{ORPHANS}/*/probes/weights/step=*")


@dataclass(frozen=True)
class Elsewhere:
    """What another run has of the erased.

    Attributes:
        path: The run.
        run_id: Its identifier.
        examples: Its examples with the same content or name, ascending.
        num_visits: Their visits.
        descends: Whether it began with a model state of the erased run that contains the erased.
        searched: How it was searched: ``content and names``, ``names`` or why it was not.
    """

    path: str
    run_id: str
    examples: tuple[int, ...]
    num_visits: int
    descends: bool
    searched: str


def states_after(records: Records, step: int | None) -> list[str]:
    """Return stored states and weights that contain what was first presented in a step.

    Args:
        records: The run.
        step: Step of the first visit; None where there was none.

    Returns:
        Paths below the run, in order.
    """
    if step is None:
        return []
    found = []
    for pattern in (*_STATES, *_WEIGHTS):
        for path in records.path.glob(pattern):
            number = path.name.removeprefix("step=").partition(".")[0]
            if number.isdecimal() and int(number) >= step:
                found.append(path.relative_to(records.path).as_posix())
    return sorted(found)


def other_models(records: Records, examples: Sequence[int]) -> list[str]:
    """Return models of stored replays that do not leave out all of the examples.

    Returns:
        Names of folders below that of the replays, in order.
    """
    wanted, found = frozenset(examples), []
    folder = replays_folder(records.path)
    for place in sorted(folder.glob(f"*/{RESULT_FILE}")):
        try:
            intervention: Any = read_json(place)["intervention"]
            is_removal = intervention["operation"] == "remove" and "steps" not in intervention
            if is_removal and wanted <= set(intervention["examples"]):
                continue
        except (GradledgerError, KeyError, TypeError):
            pass  # not readable: what it leaves out cannot be said
        found.append(place.parent.name)
    return found


def copies(records: Records, examples: Sequence[int]) -> list[int]:
    """Return other examples of the run with the same content under the same key, ascending."""
    source = "source" if "source" in metadata_columns(records) else "NULL"
    rows = records.ask(
        f"SELECT o.example FROM (SELECT example, content, {source} AS source FROM examples) o "
        f"JOIN (SELECT content, {source} AS source FROM examples WHERE example IN "
        "(SELECT unnest(?::INTEGER[])) AND content IS NOT NULL) c "
        "ON o.content = c.content AND o.source IS NOT DISTINCT FROM c.source "
        "WHERE o.example NOT IN (SELECT unnest(?::INTEGER[])) GROUP BY 1 ORDER BY 1",
        [list(examples), list(examples)],
    )
    return [int(row[0]) for row in rows]


def named_rows(records: Records, examples: Sequence[int]) -> list[dict[str, Any]]:
    """Return identifier, commitment, source and names of examples, in order."""
    names = [name for name in ("source", *NAMED_BY) if name in metadata_columns(records)]
    columns = "".join(f', "{name}"' for name in names)
    rows = records.ask(
        f"SELECT example, example_id, content{columns} FROM examples WHERE example IN "
        "(SELECT unnest(?::INTEGER[])) ORDER BY example",
        [list(examples)],
    )
    heads = ("example", "example_id", "content", *names)
    return [dict(zip(heads, row, strict=True)) for row in rows]


def search_runs(
    records: Records,
    others: Sequence[Path],
    rows: Sequence[Mapping[str, Any]],
    contents: Sequence[bytes],
    states: Sequence[str],
) -> list[Elsewhere]:
    """Search other runs for the erased.

    Args:
        records: The run that is erased from.
        others: Runs, or folders whose runs are searched.
        rows: Names of the erased, see ``named_rows``.
        contents: SHA-256 of their contents, where known.
        states: Their states, see ``states_after``.
    """
    digests = _state_digests(records, states)
    found = []
    for path in _runs_in(others, records.path):
        try:
            other = open_records(path)
        except GradledgerError as error:
            found.append(Elsewhere(str(path), "", (), 0, descends=False, searched=str(error.title)))
            continue
        try:
            found.append(_search(other, rows, contents, digests))
        finally:
            other.close()
    return found


def _search(
    other: Records,
    rows: Sequence[Mapping[str, Any]],
    contents: Sequence[bytes],
    digests: frozenset[str],
) -> Elsewhere:
    numbers, searched = set(_by_name(other, rows)), "names"
    try:
        salts = salts_of(other)
        if contents and salts:
            numbers |= set(find_content(other, contents).examples)
            searched = "content and names"
    except GradledgerError as error:
        searched = f"names; contents not: {error.title}"
    visits = other.ask(
        "SELECT count(*) FROM visits WHERE example IN (SELECT unnest(?::INTEGER[]))",
        [sorted(numbers)],
    )[0][0]
    balance = other.begin.opening_balance
    begun = {balance.get("state_digest"), balance.get("digest")}
    return Elsewhere(
        str(other.path),
        other.begin.run_id,
        tuple(sorted(numbers)),
        int(visits),
        descends=not digests.isdisjoint(begun),
        searched=searched,
    )


def _by_name(other: Records, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    present = metadata_columns(other)
    source = "CAST(source AS VARCHAR)" if "source" in present else "NULL"
    found: list[int] = []
    for column in NAMED_BY:
        named = [row for row in rows if isinstance(row.get(column), str)]
        named = [row for row in named if not str(row[column]).isdecimal()]
        if column not in present or not named:
            continue
        hits = other.ask(
            f'SELECT x.example FROM (SELECT example, CAST("{column}" AS VARCHAR) AS name, '
            f"coalesce({source}, '') AS source FROM examples) x JOIN (SELECT "
            "unnest(?::VARCHAR[]) AS name, unnest(?::VARCHAR[]) AS source) c "
            "ON x.name = c.name AND x.source = c.source GROUP BY 1",
            [[str(row[column]) for row in named], [str(row.get("source") or "") for row in named]],
        )
        found += [int(row[0]) for row in hits]
    return found


def _state_digests(records: Records, states: Sequence[str]) -> frozenset[str]:
    found = set()
    for name in states:
        folder = records.path / name
        if folder.is_dir():
            try:
                found.add(str(read_state_record(folder)["model_digest"]))
            except (GradledgerError, KeyError):
                continue
    if records.end is not None and states:
        found.add(records.end.final_digest)
    return frozenset(found)


def _runs_in(others: Sequence[Path], own: Path) -> list[Path]:
    """Return the runs that are named, and those in folders that are named; never the run itself."""
    found: list[Path] = []
    for path in map(Path, others):
        is_run = (path / "run.json").exists() or not path.is_dir()
        inside = [path] if is_run else sorted(item.parent for item in path.glob("*/run.json"))
        found += [item for item in inside if item.resolve() != own]
    return list(dict.fromkeys(found))
