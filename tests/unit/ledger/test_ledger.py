"""The ledger object: the same answers as the questions, by the names of the commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from make_run import Truth

import gradledger
from gradledger import query
from gradledger.errors import QueryError
from gradledger.ledger import Ledger, open_ledger
from gradledger.query import open_records


@pytest.fixture(scope="module")
def ledger(truth: Truth) -> Ledger:
    return open_ledger(truth.path)


def test_every_method_is_its_question(truth: Truth, ledger: Ledger) -> None:
    records = open_records(truth.path)
    pairs = [
        (ledger.info(), query.info(records)),
        (ledger.steps(2, 4), query.steps(records, 2, 4)),
        (ledger.books("head", step=3), query.books(records, "head", step=3)),
        (ledger.trace(group="head", by="source"), query.trace(records, "head", by="source")),
        (ledger.follow(source="pkg:a"), query.follow(records, {"source": "pkg:a"})),
        (ledger.follow(3, by="group"), query.follow(records, {"example": 3}, by="group")),
        (
            ledger.follow(content_class="open", license="MIT"),
            query.follow(records, {"class": "open", "license": "MIT"}),
        ),
        (ledger.follow(license=None), query.follow(records, {"license": None})),
        (ledger.capabilities(), query.capabilities(records)),
        (
            ledger.capability("code", by="class", group="head", stop=10, top=2, order="negative"),
            query.capability(
                records, "code", by="class", group="head", stop=10, top=2, order="negative"
            ),
        ),
        (ledger.policies("code"), query.policies(records, "code")),
        (ledger.policies(group="head"), query.policies(records, group="head")),
        (ledger.decide(7), query.decide(records, {"example": 7})),
        (ledger.decide(where={"class": "open"}), query.decide(records, {"class": "open"})),
        (ledger.decide(), query.decisions(records)),
    ]
    for one, other in pairs:
        assert one.to_dict() == other.to_dict()
        assert one.kind == "accounting"


def test_the_package_opens_it(truth: Truth) -> None:
    with gradledger.open(truth.path) as ledger:
        assert isinstance(ledger, Ledger)
        assert ledger.path == truth.path.resolve()
        assert ledger.begin.level == "shares"
        assert ledger.end is not None
        assert "closed" in repr(ledger)


def test_reading_changes_nothing(truth: Truth) -> None:
    def snapshot() -> dict[Path, tuple[int, int]]:
        return {
            path: (path.stat().st_mtime_ns, path.stat().st_size)
            for path in truth.path.parent.rglob("*")
        }

    before = snapshot()
    with open_ledger(truth.path) as ledger:
        ledger.trace()
        ledger.follow(1)
    assert snapshot() == before


def test_two_threads_give_the_same_figures(truth: Truth, ledger: Ledger) -> None:
    with open_ledger(truth.path, threads=2) as other:
        for one, two in zip(ledger.trace(top=50).rows, other.trace(top=50).rows, strict=True):
            assert one["example"] == two["example"]
            assert one["share"] == pytest.approx(two["share"], rel=1e-12)


def test_a_filter_twice_is_refused(ledger: Ledger) -> None:
    with pytest.raises(QueryError, match="Q110"):
        ledger.follow(content_class="open", where={"class": "copyleft"})
    with pytest.raises(QueryError, match="Q105"):
        ledger.follow(colour="red")
