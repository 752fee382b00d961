"""Explanations: spans of a text, the examples behind each, text match in a column of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import optim

import gradledger as gl
from gradledger.errors import QueryError, ReplayError
from gradledger.query.resemblance import longest_shared

sys.path.insert(0, str(Path(__file__).parent))
from whatif_oracle import make

PIECES = ["on", "ce ", "up", "on ", "a "]
TEXTS = {0: "once upon", 1: "twice upon a time", 2: "nothing"}


def written(run: Any) -> Any:
    tokens = run.data().tensors[0]

    def write(_model: Any) -> Any:
        return PIECES, lambda model: run.loss(model, tokens[:5])

    return write


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Any]:
    run, folder = make("adamw"), tmp_path_factory.mktemp("explain") / "run"
    run.make_optimizer = lambda p: optim.AdamW(p, lr=1e-2, eps=1e-3)
    run.recorded(folder)
    with gl.open(folder) as ledger:
        answer = ledger.explain(
            {"Tell": written(run)},
            span=2,
            top=12,
            texts=TEXTS.get,
            build=run.build,
            train=run.loop,
        )
    return run, folder, answer


def test_spans_are_pieces_in_order_and_their_losses_add_up(asked: tuple[Any, Path, Any]) -> None:
    run, folder, answer = asked
    assert [row["text"] for row in answer.rows] == ["once ", "upon ", "a "]
    assert answer.facts["text"] == "once upon a "
    tokens = run.data().tensors[0]
    with gl.open(folder) as ledger:
        whole = ledger.influence(
            {"all": lambda model: run.loss(model, tokens[:5]).sum()},
            top=12,
            removals=0,
            build=run.build,
            train=run.loop,
        )
    total = {row["example"]: 0.0 for row in whole.rows}
    with gl.open(folder) as ledger:
        for span in answer.rows:
            name = f"written after 'Tell', span {span['span']}: {span['text']!r}"
            for row in ledger.influence(name, top=12, stored=True).rows:
                total[row["example"]] += row["influence"]
    for row in whole.rows:
        assert total[row["example"]] == pytest.approx(row["influence"], rel=1e-5, abs=1e-9)


def test_text_match_is_a_column_and_a_table_of_its_own(asked: tuple[Any, Path, Any]) -> None:
    _, _, answer = asked
    examples = answer.table("examples").records()
    assert all(row["influence"] < 0 for row in examples)
    of = {(row["span"], row["example"]): row["text_match"] for row in examples}
    expected = {(1, 0): 1.0, (1, 1): 3 / 5, (2, 0): 4 / 5, (2, 1): 1.0, (3, 1): 1.0}
    for key, value in of.items():
        if key[1] in (0, 1) and key in expected:
            assert value == pytest.approx(expected[key])
        if key[1] > 2:
            assert value is None
    matches = answer.table("matches").records()
    assert [(row["span"], row["example"]) for row in matches][:2] == [(1, 0), (1, 1)]


def test_it_is_answered_from_what_is_stored(asked: tuple[Any, Path, Any]) -> None:
    _, folder, answer = asked
    with gl.open(folder) as ledger:
        again = ledger.explain("Tell", span=2, top=12, texts=TEXTS.get, stored=True)
        by_source = ledger.explain("Tell", span=2, by="source", stored=True)
        assert again.tables == answer.tables
        assert {row["source"] for row in by_source.table("examples").records()} <= set("abcd")
        with pytest.raises(QueryError, match="Q171"):
            ledger.explain("Tell", span=3, stored=True)
        with pytest.raises(QueryError, match="Q105"):
            ledger.explain("Tell", span=2, by="colour", stored=True)
        assert "text match" in ledger.page_of(answer).to_html()
    (place,) = folder.with_name("run.replays").glob("explanation-*/explanation.json")
    kept = place.read_text()
    place.write_text(kept.replace("Tell", "Told"))
    with gl.open(folder) as ledger, pytest.raises(QueryError, match="Q172"):
        ledger.explain("Tell", span=2, stored=True)
    place.write_text(kept)


def test_what_cannot_be_explained_is_refused(asked: tuple[Any, Path, Any]) -> None:
    run, folder, _ = asked
    loop: Any = {"build": run.build, "train": run.loop}
    with gl.open(folder) as ledger:
        with pytest.raises(QueryError, match="Q110"):
            ledger.explain("Tell", span=0, **loop)
        with pytest.raises(QueryError, match="Q121"):
            ledger.explain("Ask", **loop)
        with pytest.raises(ReplayError, match="R178"):
            ledger.explain({"Mute": lambda _model: ([], None)}, **loop)
        with pytest.raises(ReplayError, match="R178"):
            ledger.explain({"Short": lambda model: (PIECES[:4], written(run)(model)[1])}, **loop)


@given(st.text("ab", max_size=12), st.text("ab", max_size=30), st.integers(0, 4))
def test_the_longest_shared_stretch(sought: str, text: str, least: int) -> None:
    stretches = {sought[i:j] for i in range(len(sought)) for j in range(i + 1, len(sought) + 1)}
    longest = max((len(part) for part in stretches if part in text), default=0)
    assert longest_shared(sought, text, least) == (longest if longest > least else 0)
