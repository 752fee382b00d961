"""Exclusion: was this content presented, to which groups, and with which weight?

Content is found by commitments (equal bytes), by key or by metadata. Likeness of texts gives
candidates for a person to look at: it never counts as having been found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gradledger.errors import QueryError
from gradledger.query.answer import Answer, Column, Table
from gradledger.query.candidates import Sought, candidates_table, examples_by_number
from gradledger.query.commitments import Found, find_content
from gradledger.query.content import item_digest, read_items
from gradledger.query.measures import Scope, columns_of
from gradledger.query.names import match_groups, match_steps
from gradledger.query.profiles import profiles_of, weights_in_words
from gradledger.query.records import Records
from gradledger.query.selection import conditions, matching_examples, preferred_metadata, words
from gradledger.query.touch import touches
from gradledger.schema import GroupRecord

#: Sources that a note lists.
_NAMED: Final = 5

_EQUAL_BYTES = (
    "content is found by equal bytes of the item as the data set yields it: another cut, another "
    "tokenisation or one changed character is other content"
)
_CANDIDATE = (
    "candidates share runs of words with the text; whether one is a copy is for a person to say"
)
_INDIRECT = (
    "weight 0 stops the direct gradient; indirect channels remain (clip factor, other blocks, "
    "optimizer state)"
)


def exclude(records: Records, sought: Sought) -> Answer:
    """Say whether what is sought was presented, and to which groups.

    Returns:
        Tables ``examples`` (those found), ``units`` (blocks that their visits acted on, and those
        that no visit could act on) and ``candidates`` (similar texts). ``findings`` counts the
        examples found that were presented, and 1 where missing salts leave the question open.

    Raises:
        QueryError: Q105 column, Q110 argument, Q131 content, Q132 salts.
    """
    _check(sought)
    found = None if sought.content is None else _find(records, sought.content)
    exact = sought.content is not None or bool(sought.where)
    examples = _matching(records, sought.where, found) if exact else ()
    rows = examples_by_number(records, examples)
    visited = sum(1 for row in rows if row[-1])
    is_open = found is not None and bool(found.unsalted) and not rows
    tables = []
    if exact:
        tables.append(_examples_table(records, rows))
    if visited:
        tables.append(_units_table(records, examples))
    if sought.text is not None:
        tables.append(candidates_table(records, sought, frozenset(examples)))
    return Answer(
        question="exclude",
        title=f"Exclusion: {_title(sought)}",
        kind="accounting",
        facts=_facts(records, rows, is_open=is_open, exact=exact),
        tables=tuple(tables),
        notes=tuple(_notes(records, sought, found, visited=visited)),
        findings=visited + is_open,
    )


def _check(sought: Sought) -> None:
    if not sought.where and sought.content is None and sought.text is None:
        raise _argument("nothing to look for", "content, a text, an example or filters")
    if (sought.text is None) != (sought.texts is None):
        raise _argument(
            "a text without texts to compare" if sought.text else "texts without a text",
            "both: the text, and a column or function that gives the texts of the examples",
        )
    if not 0.0 < sought.threshold <= 1.0:
        raise _argument(f"threshold {sought.threshold}", "above 0, at most 1")


def _find(records: Records, content: Any) -> Found:
    items = read_items(Path(content)) if isinstance(content, str | Path) else [content]
    return find_content(records, [item_digest(item) for item in items])


def _matching(records: Records, where: Mapping[str, Any], found: Found | None) -> tuple[int, ...]:
    """Return the examples that match everything; an unknown value matches none."""
    sql, values = conditions(records, where, "x")
    rows = records.ask(f"SELECT x.example FROM examples x WHERE {sql} ORDER BY 1", values)
    matching = [int(row[0]) for row in rows]
    return tuple(n for n in matching if found is None or n in set(found.examples))


def _facts(
    records: Records, rows: Sequence[tuple[Any, ...]], *, is_open: bool, exact: bool
) -> dict[str, Any]:
    num_examples = int(records.ask("SELECT count(*) FROM examples")[0][0])
    if not exact:
        return {"answer": "candidates only: no content was compared", "examples": num_examples}
    admitted = sum(1 for row in rows if row[-4] == "admit")
    visits = sum(int(row[-1]) for row in rows)
    if visits:
        answer = f"presented: visited {visits} times"
    elif is_open:
        answer = "not found, but not excluded: salts are gone for some sources"
    elif not rows:
        answer = "never admitted: none of the examples that the run was shown"
    elif admitted:
        answer = "admitted but never visited"
    else:
        answer = "never admitted: shown to the policy and refused"
    return {
        "answer": answer,
        "examples of the run": num_examples,
        "found among them": len(rows),
        "of these admitted": admitted,
        "visits": visits,
    }


def _examples_table(records: Records, rows: Sequence[tuple[Any, ...]]) -> Table:
    columns = (
        Column("example", "example", "integer"),
        *(Column(name, name) for name in preferred_metadata(records)),
        Column("verdict", "verdict"),
        Column("first_step", "first", "integer"),
        Column("last_step", "last", "integer"),
        Column("visits", "visits", "integer"),
    )
    return Table("examples", "Examples found", columns, tuple(rows))


def _units_table(records: Records, examples: Sequence[int]) -> Table:
    matched, span = match_groups(records, None), match_steps(records, None, None)
    scope = Scope(records, matched, span, "energy")
    units: dict[str, list[GroupRecord]] = {}
    for group in sorted(matched.groups, key=lambda group: (group.block_index, group.group)):
        units.setdefault(group.block, []).append(group)
    where = {"example": tuple(examples)}
    profiles, measured = profiles_of(scope, where), columns_of(scope, "visits", "gnorm")
    numbers = {name: [group.group for group in groups] for name, groups in units.items()}
    in_units, _ = touches(scope, where, numbers, span.stop - span.start + 1)
    rows = []
    for name, groups in units.items():
        weight, touch = weights_in_words(records, groups, profiles), in_units[name]
        known = not set(numbers[name]).isdisjoint(measured)
        rows.append(
            (
                name,
                touch.visits if known else None,
                touch.first if known else None,
                touch.last if known else None,
                weight,
                "no visit could act here" if weight == "0" else "",
            )
        )
    columns = (
        Column("block", "block"),
        Column("visits", "visits acting", "integer"),
        Column("first_step", "first", "integer"),
        Column("last_step", "last", "integer"),
        Column("weight", "weight"),
        Column("note", "weight 0 throughout"),
    )
    return Table("units", "Blocks that it touched, from input to output", columns, tuple(rows))


def _title(sought: Sought) -> str:
    parts = []
    if sought.content is not None:
        named = isinstance(sought.content, str | Path)
        parts.append(f"content of {Path(sought.content).name}" if named else "this content")
    if sought.where:
        parts.append(words(sought.where))
    if sought.text is not None:
        parts.append(f"texts like one of {len(sought.text)} characters")
    return "was it used? " + "; ".join(parts)


def _notes(records: Records, sought: Sought, found: Found | None, *, visited: int) -> list[str]:
    notes = _unknown(records, sought.where)
    if found is not None:
        notes.append(_EQUAL_BYTES)
        if found.unsalted:
            shown, more = ", ".join(found.unsalted[:_NAMED]), len(found.unsalted) - _NAMED
            notes.append(
                f"sources whose salts are gone, so that nothing can be said: {shown}"
                + (f" and {more} more" if more > 0 else "")
            )
        if found.num_uncommitted:
            notes.append(
                f"{found.num_uncommitted} examples were not digested at admission: of them only "
                "what was presented, after padding, cropping or augmenting, was compared"
            )
    if sought.text is not None:
        notes.append(_CANDIDATE)
    if visited:
        notes.append(_INDIRECT)
    if records.end is None:
        notes.append("the run was not closed: later visits may not be on disk")
    return notes


def _unknown(records: Records, where: Mapping[str, Any]) -> list[str]:
    """Say so where no example at all has what was asked for: it may be misspelt."""
    try:
        if where:
            matching_examples(records, where)
    except QueryError as error:
        if error.code != "Q108":
            raise
        hint = f" ({error.hint})" if error.hint else ""
        return [f"no example of the run has {words(where)}: check how it is spelt{hint}"]
    return []


def _argument(observed: str, expected: str) -> QueryError:
    return QueryError("Q110", observed=observed, expected=expected, where="exclude")
