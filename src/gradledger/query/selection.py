"""Keys to rank by and filters to follow: metadata columns, decisions, rules, single examples.

Names of columns come from the run itself; what a user looks for is always a bound parameter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gradledger.errors import QueryError
from gradledger.query.bounds import bound_of, bounded
from gradledger.query.names import nearest
from gradledger.query.records import Records
from gradledger.query.relations import quote
from gradledger.query.sorted_copies import copy_of
from gradledger.schema import EXAMPLES

#: Columns of the decision behind a visit. They win over metadata columns of the same name, which
#: are still reached as ``metadata.NAME``.
DECISION_KEYS: Final[dict[str, str]] = {
    "class": 'd."class"',
    "verdict": "d.verdict",
    "profile": "d.profile",
    "policy": "d.policy_id || '@' || d.policy_version",
    "decision": "d.decision",
    "reason": "d.reason",
}

#: Metadata columns that may name one example, in the order in which they are tried.
NAMING: Final[tuple[str, ...]] = ("key", "path", "url", "id", "name")

#: Up to so many examples, or such a part of all, are read from a copy sorted by example.
_FEW_EXAMPLES: Final = 16
_FEW_PART: Final = 0.05

#: Values that a hint lists.
_NAMED = 8

#: Credit of a rule: the rules on which a decision rests share it equally.
CREDIT: Final = (
    "(SELECT decision, rule, 1.0 / count(*) OVER (PARTITION BY decision) AS credit "
    "FROM truths WHERE determining)"
)


@dataclass(frozen=True)
class Key:
    """How rows keyed by (example, decision), alias ``a``, roll up.

    Attributes:
        name: What the user asked for.
        expression: SQL of the key.
        joins: SQL joins that the expression needs.
        weight: SQL of the part of a row that the key is credited with.
    """

    name: str
    expression: str
    joins: str = ""
    weight: str = "1.0"


def metadata_columns(records: Records) -> list[str]:
    """Return the names of the metadata columns of the run, in file order."""
    return [name for name in records.columns["examples"] if name not in EXAMPLES]


def key_of(records: Records, name: str) -> Key:
    """Return the key called ``name``.

    Raises:
        QueryError: Q105 where the run has no such column.
    """
    if name == "example":
        return Key(name, "a.example")
    if name == "rule":
        return Key(name, "r.rule", f"LEFT JOIN {CREDIT} r USING (decision)", "coalesce(credit, 1)")
    if name in DECISION_KEYS:
        return Key(name, DECISION_KEYS[name], "LEFT JOIN decisions d USING (decision)")
    column = _metadata(records, name)
    columns = f"(SELECT example, {quote(column)} AS found FROM examples)"
    return Key(name, "e.found", f"LEFT JOIN {columns} e USING (example)")


def condition(records: Records, name: str, value: Any, alias: str) -> tuple[str, list[Any]]:
    """Return SQL that is true for rows of relation ``alias`` with ``name`` equal to ``value``.

    Args:
        records: The run.
        name: ``example``, ``rule``, a column of the decision or a metadata column.
        value: Compared as text; ``None`` matches where nothing is recorded. For ``example`` also
            a tuple of numbers. With ``>=`` or ``<=`` behind a metadata column's name, a bound.
        alias: Relation with columns ``example`` and ``decision``.

    Raises:
        QueryError: Q105 where the run has no such column.
    """
    if name == "example":
        inner, values = _one_example(records, value)
        return f"{alias}.example IN (SELECT e.example FROM examples e WHERE {inner})", values
    if name == "rule" and value is None:
        return f"{alias}.decision NOT IN (SELECT decision FROM truths WHERE determining)", []
    if name == "rule":
        return (
            f"{alias}.decision IN (SELECT decision FROM truths WHERE determining AND rule = ?)",
            [str(value)],
        )
    if name in DECISION_KEYS:
        inner, values = _equal(DECISION_KEYS[name], value)
        return f"{alias}.decision IN (SELECT d.decision FROM decisions d WHERE {inner})", values
    column, sign = bound_of(name) if name not in metadata_columns(records) else (name, "")
    if sign:
        inner, values = bounded(records, _metadata(records, column), sign, value)
    else:
        inner, values = _equal(f"e.{quote(_metadata(records, name))}", value)
    return f"{alias}.example IN (SELECT e.example FROM examples e WHERE {inner})", values


def conditions(records: Records, where: Mapping[str, Any], alias: str) -> tuple[str, list[Any]]:
    """Return the conjunction of all filters of ``where``; ``true`` where there is none."""
    parts, values = ["true"], []
    for name, value in where.items():
        sql, bound = condition(records, name, value, alias)
        parts.append(sql)
        values += bound
    return " AND ".join(parts), values


def brought_together(records: Records, relation: str, where: Mapping[str, Any]) -> tuple[str, str]:
    """Return the relation to read the matching rows from, and the order to add them up in.

    Where few examples match, rows are put in the order of their places, so that the copy sorted by
    example, where it is at hand, gives the same bits as the table.

    Args:
        records: The run.
        relation: ``visits``, ``displacement_visits`` or ``probe_visits``.
        where: Filters; those on examples narrow what is read.

    Returns:
        Name of the relation, and ``ORDER BY`` on alias ``v``; empty where many examples match.
    """
    named = {name: value for name, value in where.items() if not _is_of_decision(name)}
    if not named:
        return relation, ""
    sql, values = conditions(records, named, "x")
    counted = f"SELECT count(*) FILTER ({sql}), count(*) FROM examples x"
    few, most = records.ask_once(counted, values)[0]
    if few > max(_FEW_EXAMPLES, most * _FEW_PART):
        return relation, ""
    place = [*([] if relation == "visits" else ["interval"]), "step", "micro_batch", "position"]
    order = f"ORDER BY {', '.join(f'v.{name}' for name in place)}"
    return copy_of(relation) if relation in records.sorted_relations else relation, order


def visits_of(records: Records, examples: Sequence[int]) -> dict[int, int]:
    """Return how many visits each of these examples has; those without any are left out.

    Args:
        records: The run.
        examples: Numbers; few.
    """
    relation = copy_of("visits") if "visits" in records.sorted_relations else "visits"
    listed = ", ".join(str(int(number)) for number in examples) or "NULL"
    rows = records.ask(
        f"SELECT example, count(*) FROM {relation} WHERE example IN ({listed}) GROUP BY 1"
    )
    return {int(number): int(count) for number, count in rows}


def _is_of_decision(name: str) -> bool:
    return name == "rule" or name in DECISION_KEYS


def matching_examples(records: Records, where: Mapping[str, Any]) -> int:
    """Return how many admitted or refused examples match.

    Raises:
        QueryError: Q105 unknown column; Q108 where neither an example nor a visit matches.
    """
    sql, values = conditions(records, where, "x")
    counted = f"SELECT count(*) FROM examples x WHERE {sql}"
    count = int(records.ask_once(counted, values)[0][0])
    if count:
        return count
    # A later decision may cover visits without being the one stored with the example.
    if int(records.ask(f"SELECT count(*) FROM visits x WHERE {sql}", values)[0][0]):
        return 0
    if set(where) == {"rule"} and _rule_exists(records, where["rule"]):
        return 0
    raise QueryError(
        "Q108",
        observed=", ".join(f"{name}={value!r}"[:120] for name, value in where.items()),
        expected="a value that the run holds",
        where=str(records.path),
        hint=_suggest(records, where),
    )


def selected_examples(records: Records, where: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the numbers of the examples that match, ascending; nothing given selects nothing.

    Raises:
        QueryError: Q105 unknown column; Q108 where nothing matches.
    """
    if not where:
        return ()
    matching_examples(records, where)
    sql, values = conditions(records, where, "x")
    rows = records.ask(f"SELECT x.example FROM examples x WHERE {sql} ORDER BY 1", values)
    return tuple(int(row[0]) for row in rows)


def words(where: Mapping[str, Any]) -> str:
    """Return the filters in words, for titles."""
    return ", ".join(f"{name} {_in_words(value)}" for name, value in where.items())


def _in_words(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} of a list"
    return "not recorded" if value is None else str(value)


def preferred_metadata(records: Records) -> list[str]:
    """Return up to three metadata columns that tell a reader which example a row is."""
    present = metadata_columns(records)
    naming = [name for name in ("path", *NAMING) if name in present][:1]
    wanted = [*naming, *(name for name in ("source", "license", "licence") if name in present)]
    return (wanted or present)[:3]


def _metadata(records: Records, name: str) -> str:
    present = metadata_columns(records)
    column = name.removeprefix("metadata.")
    if column in present:
        return column
    choices = ["example", "rule", *DECISION_KEYS, *present]
    raise QueryError(
        "Q105",
        observed=repr(name),
        expected=" | ".join(choices),
        where=str(records.path),
        hint=nearest(name, choices),
    )


def _equal(expression: str, value: Any) -> tuple[str, list[Any]]:
    if value is None:
        return f"({expression}) IS NULL", []
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return f"CAST({expression} AS VARCHAR) = ?", [shown]


def _one_example(records: Records, value: Any) -> tuple[str, list[Any]]:
    """Match by number, else by id or by a metadata column that names examples.

    A tuple of numbers matches each of them.
    """
    if isinstance(value, tuple):
        return f"e.example IN ({', '.join(str(int(number)) for number in value) or 'NULL'})", []
    given = str(value)
    if given.isascii() and given.isdigit() and int(given) < 2**31:
        return "e.example = ?", [int(given)]
    names: Sequence[str] = [name for name in NAMING if name in metadata_columns(records)]
    tests = ["e.example_id = ?", *(f"CAST(e.{quote(name)} AS VARCHAR) = ?" for name in names)]
    return f"({' OR '.join(tests)})", [given] * len(tests)


def _rule_exists(records: Records, rule: Any) -> bool:
    found = records.ask("SELECT count(*) FROM truths WHERE rule = ?", [str(rule)])
    return bool(found[0][0])


def _suggest(records: Records, where: Mapping[str, Any]) -> str:
    for name, value in where.items():
        if name == "example":
            continue
        if name == "rule":
            sql = "SELECT DISTINCT rule FROM truths ORDER BY 1 LIMIT 5000"
        elif name in DECISION_KEYS:
            sql = f"SELECT DISTINCT {DECISION_KEYS[name]} FROM decisions d ORDER BY 1 LIMIT 5000"
        else:
            column = quote(_metadata(records, bound_of(name)[0]))
            sql = f"SELECT DISTINCT {column} FROM examples ORDER BY 1 LIMIT 5000"
        choices = [str(row[0]) for row in records.ask(sql) if row[0] is not None]
        hint = nearest(str(value), choices)
        if hint:
            return hint
        if choices:
            more = ", ..." if len(choices) > _NAMED else ""
            return f"{name} is one of {', '.join(choices[:_NAMED])}{more}"
    return ""
