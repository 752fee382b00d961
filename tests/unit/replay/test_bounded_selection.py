"""Selections by ranges of attributes and by wall time: the same as naming what lies within them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gradledger.errors import QueryError
from gradledger.ledger import Ledger, open_ledger
from gradledger.query import open_records, resolve, selected_examples
from gradledger.query.step_times import step_ends

sys.path.insert(0, str(Path(__file__).parents[1] / "recorder"))
from conftest import OPTIMIZERS, Training

SIZES = [3, 14, 15, 9, 26, 5, 35, 8, 97, 93, 23, None]
DAYS = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=10 * place) for place in range(12)]


@pytest.fixture(scope="module")
def run() -> Training:
    metadata: dict[str, list[Any]] = {
        "size": SIZES,
        "day": list(DAYS),
        "written": [day.date().isoformat() for day in DAYS],
        "odd>=": [str(place % 2) for place in range(12)],
    }
    return Training(OPTIMIZERS["adamw"], metadata=metadata, steps=6)


@pytest.fixture(scope="module")
def ledger(run: Training, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    folder = tmp_path_factory.mktemp("bounded") / "run"
    run.recorded(folder)
    with open_ledger(folder) as opened:
        yield opened


def chosen(ledger: Ledger, where: dict[str, Any]) -> list[int]:
    records = open_records(ledger.path)
    try:
        return list(selected_examples(records, where))
    finally:
        records.close()


@pytest.mark.parametrize(("low", "high"), [(9, 30), (14, 14), ("8.5", "9.5"), (-1, "1e2")])
def test_numbers_are_compared_as_numbers(ledger: Ledger, low: Any, high: Any) -> None:
    expected = [
        place
        for place, size in enumerate(SIZES)
        if size is not None and float(low) <= size <= float(high)
    ]
    assert chosen(ledger, {"size>=": low, "size<=": high}) == expected


@pytest.mark.parametrize("column", ["day", "written"])
def test_dates_are_compared_in_time(ledger: Ledger, column: str) -> None:
    found = chosen(ledger, {f"{column}>=": "2024-01-21", f"{column}<=": "2024-02-20"})
    assert found == [2, 3, 4, 5]


def test_a_column_may_be_called_so(ledger: Ledger) -> None:
    assert chosen(ledger, {"odd>=": "1"}) == [1, 3, 5, 7, 9, 11]


def test_what_is_not_there_is_said(ledger: Ledger) -> None:
    with pytest.raises(QueryError) as caught:
        chosen(ledger, {"size>=": "nine"})
    assert caught.value.code == "Q110"
    with pytest.raises(QueryError) as caught:
        chosen(ledger, {"size>=": 1000})
    assert caught.value.code == "Q108"
    with pytest.raises(QueryError) as caught:
        chosen(ledger, {"sizes>=": 1})
    assert caught.value.code == "Q105"
    assert "size" in caught.value.hint


def test_a_range_is_removed_as_its_members_are(ledger: Ledger, run: Training) -> None:
    loop: dict[str, Any] = {"build": run.build, "train": run.loop}
    members = tuple(place for place, size in enumerate(SIZES) if size is not None and size >= 26)
    by_range = ledger.whatif(remove={"size>=": 26}, fresh=True, **loop)
    by_number = ledger.whatif(remove={"example": members}, fresh=True, **loop)
    assert by_range.rows == by_number.rows
    assert "size>= 26" in by_range.title


def test_moments_stand_for_steps(ledger: Ledger) -> None:
    records = open_records(ledger.path)
    try:
        ends = dict(step_ends(records))
        assert list(ends) == [1, 2, 3, 4, 5, 6]
        assert sorted(ends.values()) == list(ends.values())
        asked = {"remove": {"size>=": 26}, "time": (ends[2].isoformat(), ends[4])}
        found = resolve(records, [asked])
        assert found.intervention.steps == (2, 4)
        assert any("wall time" in note for note in found.notes)
        open_end = resolve(records, [{"remove": 3, "time": (ends[5].isoformat(), None)}])
        assert open_end.intervention.steps == (5, 6)
        for span, code in (
            (("2001-01-01", "2001-01-02"), "Q106"),
            (("yesterday", None), "Q110"),
            ((ends[4], ends[2]), "Q110"),
            ("2024-01-01", "Q110"),
        ):
            with pytest.raises(QueryError) as caught:
                resolve(records, [{"remove": 3, "time": span}])
            assert caught.value.code == code
        with pytest.raises(QueryError) as caught:
            resolve(records, [{"remove": 3, "time": (None, None), "steps": (1, 2)}])
        assert caught.value.code == "Q110"
    finally:
        records.close()
