"""A text in pieces: lines cover every piece once, and their losses add up."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_run import make_run

from gradledger.query import open_records, read_text, text_name


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory):
    place: Path = tmp_path_factory.mktemp("read") / "run"
    make_run(place)
    return open_records(place)


@given(
    st.lists(
        st.tuples(st.text("ab \n", min_size=1, max_size=4), st.floats(0, 20)),
        min_size=2,
        max_size=30,
    )
)
def test_lines_cover_every_piece_once(records, found: list[tuple[str, float]]) -> None:
    pieces, nats = [piece for piece, _ in found], [0.0, *(loss for _, loss in found[1:])]
    answer = read_text(records, pieces, nats)
    rows = answer.table("lines").records()
    covered = [n for row in rows for n in range(row["first"], row["last"] + 1)]
    assert covered == list(range(len(pieces)))
    assert math.isclose(math.fsum(row["nats"] for row in rows), math.fsum(nats), abs_tol=1e-9)
    assert sum(row["pieces"] for row in rows) == len(pieces)
    # Only a text that begins with empty lines has one that is empty.
    assert all(row["text"].strip() for row in rows[1:])


def test_names_tell_texts_and_pieces_apart() -> None:
    assert text_name("one") != text_name("two")
    assert text_name("one") != text_name("one", (0, 1))
    assert "\x1b" not in text_name("\x1b[2J")
    assert len(text_name("x" * 5000, (1, 4999))) < 100
