"""Explanations: a text that a model wrote, span by span, and the examples behind each.

Influence is a prediction, by the derivative through the run. Text match says how much of the span
stands in an example letter for letter: a resemblance, no cause. The two stand side by side and are
never mixed: what was copied may have been learned elsewhere, and what was learned is seldom a copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gradledger.canon import parse_json, record_digest
from gradledger.errors import GradledgerError, QueryError
from gradledger.query.answer import Answer, Column, Table
from gradledger.query.candidates import Sought, Texts, texts_of
from gradledger.query.derivatives import StoredDerivatives, needed_derivatives
from gradledger.query.influence import influence
from gradledger.query.records import Records
from gradledger.query.relations import quote
from gradledger.query.replays import identity, replays_folder
from gradledger.query.resemblance import longest_shared

EXPLANATION_FORMAT: Final = "gradledger.explanation/1"
EXPLANATION_FILE: Final = "explanation.json"
_FIELDS: Final = frozenset({"format", "prompt", "pieces", "spans", "run_id", "run_final_digest"})

_PREDICTION: Final = (
    "prediction: the exact derivative of each span's loss through the recorded run; negative "
    "influence made the span likelier"
)
_MATCH: Final = (
    "text match: longest stretch of the span that stands in the example's text, over the span's "
    "length; a resemblance, neither cause nor part of the influence"
)


@dataclass(frozen=True)
class Span:
    """Consecutive pieces of what a model wrote.

    Attributes:
        number: From 1.
        text: The pieces together.
        behaviour: Name of its loss among stored derivatives.
    """

    number: int
    text: str
    behaviour: str


def cut_spans(prompt: str, pieces: Sequence[str], length: int) -> list[Span]:
    """Cut what a model wrote into spans of so many pieces."""
    texts = ["".join(pieces[at : at + length]) for at in range(0, len(pieces), length)]
    return [
        Span(place + 1, text, f"written after {prompt!r:.60}, span {place + 1}: {text!r}")
        for place, text in enumerate(texts)
    ]


def explanation_folder(records: Records, prompt: str, length: int) -> Path:
    """Return where the explanation of a prompt lies, whether it exists or not."""
    record = {**identity(records), "prompt": prompt, "pieces_per_span": length}
    name = "explanation-" + record_digest("explanation/1", record)[:32]
    return replays_folder(records.path) / name


def stored_explanation(records: Records, prompt: str, length: int) -> list[Span] | None:
    """Return the spans of a stored explanation; ``None`` where there is none.

    Raises:
        QueryError: It is damaged or one of another run. Code Q172.
    """
    place = explanation_folder(records, prompt, length) / EXPLANATION_FILE
    if not place.exists():
        return None
    try:
        record = parse_json(place.read_bytes(), str(place))
        expected = {"format": EXPLANATION_FORMAT, **identity(records), "prompt": prompt}
        known = isinstance(record, dict) and record.keys() >= _FIELDS
        if not known or any(record[key] != value for key, value in expected.items()):
            raise _damaged(place, "an explanation of another run or prompt")
        return [Span(int(s["number"]), s["text"], s["behaviour"]) for s in record["spans"]]
    except QueryError:
        raise
    except (OSError, GradledgerError, KeyError, TypeError, ValueError) as error:
        raise _damaged(place, f"{type(error).__name__}: {error}") from error


def explain(
    records: Records,
    prompt: str,
    spans: Sequence[Span],
    *,
    by: str = "example",
    top: int = 5,
    texts: Texts | None = None,
) -> Answer:
    """Say which examples are behind each span of a text that the final model wrote.

    Args:
        records: The run.
        prompt: What the model continued.
        spans: The spans, with the names of their losses.
        by: ``example`` or any metadata column.
        top: Rows per span and table at most.
        texts: Texts of examples, for the column of text matches.

    Raises:
        QueryError: Q105 column, Q110 argument, Q171 not computed, Q172 damaged.
    """
    found = [needed_derivatives(records, span.behaviour) for span in spans]
    whose = _keys(records, by)
    written = dict(texts_of(records, Sought({}, texts=texts))) if texts is not None else {}
    matches = [_matches(span.text, written, whose) for span in spans]
    rankings = [_ranking(records, stored, by, top) for stored in found]
    tables = [_spans_table(spans, found), _examples_table(spans, rankings, matches, by)]
    if texts is not None:
        tables.append(_matches_table(spans, found, matches, (by, whose), top))
    doubtful = sum(not stored.belief["reliable"] for stored in found)
    return Answer(
        question="explain",
        title=f"What is behind the text after {prompt!r:.60}, by {by}",
        kind="prediction",
        measure="derivative",
        facts={
            "text": "".join(span.text for span in spans),
            "spans": len(spans),
            "spans whose ranking is not reliable": doubtful,
            "texts compared": len(written),
        },
        tables=tuple(tables),
        notes=(
            _PREDICTION,
            *([_MATCH] if texts is not None else []),
            *(["NOT RELIABLE in some spans: read those rankings as candidates"] * bool(doubtful)),
        ),
    )


def _keys(records: Records, by: str) -> dict[int, Any]:
    if by == "example":
        return {int(row[0]): int(row[0]) for row in records.ask("SELECT example FROM examples")}
    if by not in records.columns.get("examples", {}):
        known = " | ".join(records.columns.get("examples", {}))
        raise QueryError("Q105", observed=repr(by), expected=known, where=str(records.path))
    return dict(records.ask(f"SELECT example, {quote(by)} FROM examples"))


def _matches(
    text: str, written: Mapping[int, str | None], whose: Mapping[int, Any]
) -> dict[Any, float]:
    """Return the largest share of a span that stands in the texts of each key."""
    best: dict[Any, int] = {}
    for example, other in written.items():
        key = whose.get(example)
        shared = longest_shared(text, other or "", best.get(key, 0))
        if shared:
            best[key] = shared
    return {key: shared / len(text) for key, shared in best.items()}


def _ranking(
    records: Records, stored: StoredDerivatives, by: str, top: int
) -> list[tuple[Any, ...]]:
    answer = influence(records, stored, by=by, top=top, order="negative")
    return list(answer.tables[0].rows)


def _spans_table(spans: Sequence[Span], found: Sequence[StoredDerivatives]) -> Table:
    rows = tuple(
        (
            span.number,
            span.text,
            stored.record["value"],
            stored.belief["expected"],
            "yes" if stored.belief["reliable"] else "no",
        )
        for span, stored in zip(spans, found, strict=True)
    )
    columns = (
        Column("span", "span", "integer"),
        Column("text", "text"),
        Column("loss", "loss [nats]", "number"),
        Column("expected", "expected agreement", "number"),
        Column("reliable", "reliable"),
    )
    return Table("spans", "What the model wrote", columns, rows)


def _examples_table(
    spans: Sequence[Span],
    rankings: Sequence[list[tuple[Any, ...]]],
    matches: Sequence[Mapping[Any, float]],
    by: str,
) -> Table:
    rows = tuple(
        (span.number, row[0], row[1], row[2], row[3], matched.get(row[1]))
        for span, ranking, matched in zip(spans, rankings, matches, strict=True)
        for row in ranking
    )
    columns = (
        Column("span", "span", "integer"),
        Column("rank", "#", "integer"),
        Column(by, by, "integer" if by == "example" else "text"),
        Column("influence", "influence", "share"),
        Column("removed", "if removed", "share"),
        Column("text_match", "text match", "number"),
    )
    return Table("examples", "Behind each span, as the derivative foretells", columns, rows)


def _matches_table(
    spans: Sequence[Span],
    found: Sequence[StoredDerivatives],
    matches: Sequence[Mapping[Any, float]],
    keys: tuple[str, Mapping[int, Any]],
    top: int,
) -> Table:
    by, whose = keys
    rows = []
    for span, stored, matched in zip(spans, found, matches, strict=True):
        sums: dict[Any, float] = {}
        pairs = zip(stored.visits["example"].tolist(), stored.by_visit.tolist(), strict=True)
        for example, value in pairs:
            sums[whose.get(example)] = sums.get(whose.get(example), 0.0) + value
        order = sorted(matched.items(), key=lambda pair: (-pair[1], str(pair[0])))
        rows += [(span.number, key, share, sums.get(key)) for key, share in order[:top]]
    columns = (
        Column("span", "span", "integer"),
        Column(by, by, "integer" if by == "example" else "text"),
        Column("text_match", "text match", "number"),
        Column("influence", "influence", "share"),
    )
    return Table("matches", "Whose text is most like each span", columns, tuple(rows))


def _damaged(place: Path, observed: str) -> QueryError:
    return QueryError(
        "Q172",
        observed=observed[:300],
        expected="the explanation of this prompt on this run",
        where=str(place),
        hint="remove the folder and compute it again",
    )
