"""Exclusion: content by its commitment, examples by their metadata, texts as candidates only."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save_file

import gradledger as gl
from gradledger.errors import QueryError
from gradledger.query import content, resemblance
from gradledger.recorder import presented

sys.path.insert(0, str(Path(__file__).parents[1] / "recorder"))
from conftest import OPTIMIZERS, Training, two_layer

POLICY = """
policy: {id: texts, version: 1.0.0}
attributes: {source: string}
classes: [open, other]
admit:
  - {id: some, when: "source <> 'd'"}
  - {id: held, when: "source = 'd'", effect: deny}
profiles:
  shallow: {"*": 1, "3..4": 1}
"""


def training(**more: Any) -> Training:
    metadata = {
        "source": ["abcd"[number % 4] for number in range(12)],
        "key": [f"file_{number}" for number in range(12)],
        "body": [f"{word} fox jumps over the lazy dog again" for word in "abcdefghijkl"],
    }
    return Training(
        OPTIMIZERS["adamw"], make_model=two_layer, steps=2, **{"metadata": metadata, **more}
    )


@pytest.fixture
def run(tmp_path: Path) -> Training:
    made = training()
    made.recorded(tmp_path / "run")
    return made


def presented_examples(folder: Path) -> set[int]:
    with gl.open(folder) as ledger:
        return {n for n in range(12) if ledger.exclude(n).facts["visits"]}


def item(run: Training, number: int) -> tuple[torch.Tensor]:
    return (run.data().tensors[0][number],)


def test_content_that_was_presented_is_found(run: Training, tmp_path: Path) -> None:
    visited = presented_examples(tmp_path / "run")
    assert 0 < len(visited) < 12
    with gl.open(tmp_path / "run") as ledger:
        for number in range(12):
            answer = ledger.exclude(content=item(run, number))
            assert [row["example"] for row in answer.rows] == [number]
            if number in visited:
                assert answer.facts["answer"].startswith("presented: visited")
                assert answer.findings == 1
                assert all(row["visits"] for row in answer.table("units").records())
            else:
                assert answer.facts["answer"] == "admitted but never visited"
                assert answer.findings == 0


def test_content_that_differs_in_one_number_is_other_content(run: Training, tmp_path: Path) -> None:
    (tokens,) = item(run, 3)
    other = tokens.clone()
    other[2] = (other[2] + 1) % 13
    with gl.open(tmp_path / "run") as ledger:
        answer = ledger.exclude(content=(other,))
        assert answer.facts["answer"].startswith("never admitted: none of the examples")
        assert answer.findings == 0
        assert ledger.exclude(content=(tokens.int(),)).rows == []


@pytest.mark.parametrize("kind", ["safetensors", "npz", "npy"])
def test_content_in_a_file(kind: str, run: Training, tmp_path: Path) -> None:
    place, array = tmp_path / f"item.{kind}", item(run, 5)[0].numpy()
    if kind == "npy":
        np.save(place, array)
    elif kind == "npz":
        np.savez(place, **{"0": array})
    else:
        save_file({"0": array}, place)
    with gl.open(tmp_path / "run") as ledger:
        assert [row["example"] for row in ledger.exclude(content=place).rows] == [5]


@pytest.mark.parametrize("name", ["item.txt", "item.npy", "item.safetensors"])
def test_a_file_that_holds_no_item(name: str, run: Training, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04not arrays")
    with gl.open(tmp_path / "run") as ledger, pytest.raises(QueryError) as caught:
        ledger.exclude(content=tmp_path / name)
    assert caught.value.code == "Q131"


def test_text_alone_is_no_content(run: Training, tmp_path: Path) -> None:
    with gl.open(tmp_path / "run") as ledger, pytest.raises(QueryError) as caught:
        ledger.exclude(content={"text": "a"})
    assert caught.value.code == "Q131"


def test_without_digests_at_admission_what_was_presented_is_compared(tmp_path: Path) -> None:
    run = training(record={"verify_content": False})
    run.recorded(tmp_path / "run")
    visited = presented_examples(tmp_path / "run")
    with gl.open(tmp_path / "run") as ledger:
        for number in range(12):
            answer = ledger.exclude(content=item(run, number))
            assert {row["example"] for row in answer.rows} == {number} & visited
            assert any("12 examples were not digested" in note for note in answer.notes)


def test_a_destroyed_salt_leaves_the_question_open(run: Training, tmp_path: Path) -> None:
    place = tmp_path / "run" / "private" / "salts.json"
    salts = json.loads(place.read_text())
    del salts["b"]
    place.chmod(0o600)
    place.write_text(json.dumps(salts))
    with gl.open(tmp_path / "run") as ledger:
        gone = ledger.exclude(content=item(run, 1))
        assert gone.facts["answer"].startswith("not found, but not excluded")
        assert gone.findings == 1
        assert any("nothing can be said: b" in note for note in gone.notes)
        assert [row["example"] for row in ledger.exclude(content=item(run, 2)).rows] == [2]
        place.unlink()
        with pytest.raises(QueryError) as caught:
            ledger.exclude(content=item(run, 2))
    assert caught.value.code == "Q132"


def test_a_value_that_does_not_occur_is_named(run: Training, tmp_path: Path) -> None:
    with gl.open(tmp_path / "run") as ledger:
        answer = ledger.exclude(source="aa")
        assert answer.findings == 0
        assert any("check how it is spelt" in note for note in answer.notes)
        with pytest.raises(QueryError) as caught:
            ledger.exclude(colour="red")
    assert caught.value.code == "Q105"


def test_similar_texts_are_candidates_and_never_findings(run: Training, tmp_path: Path) -> None:
    sought = "the old c fox jumps over the lazy dog again"
    with gl.open(tmp_path / "run") as ledger:
        answer = ledger.exclude(text=sought, texts="body", threshold=0.3)
        rows = answer.table("candidates").records()
        assert rows[0]["example"] == 2
        assert rows[0]["containment"] == 1.0
        assert answer.findings == 0
        assert answer.facts["answer"].startswith("candidates only")
        texts = {2: sought}
        same = ledger.exclude(text=sought, texts=texts.get).table("candidates").records()
        assert [(row["example"], row["resemblance"]) for row in same] == [(2, 1.0)]
        narrowed = ledger.exclude(source="b", text=sought, texts="body", threshold=0.3)
        assert {row["example"] for row in narrowed.table("candidates").records()} <= {1, 5, 9}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"text": "a"},
        {"texts": "body"},
        {"text": "a", "texts": "body", "threshold": 0.0},
        {"text": "a", "texts": "body", "threshold": 1.5},
    ],
)
def test_arguments_that_do_not_fit(
    arguments: dict[str, Any], run: Training, tmp_path: Path
) -> None:
    with gl.open(tmp_path / "run") as ledger, pytest.raises(QueryError) as caught:
        ledger.exclude(**arguments)
    assert caught.value.code == "Q110"


NUMBERS = hnp.arrays(
    st.sampled_from([np.int64, np.int32, np.uint8, np.float32, np.float64, np.bool_]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3),
)
LEAVES = NUMBERS | st.integers(-(2**62), 2**62) | st.booleans() | st.floats(allow_nan=False)
ITEMS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, min_size=1, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(ITEMS)
def test_items_are_digested_as_the_recorder_does(item: Any) -> None:
    assert content.item_digest(item) == presented.item_digest(item)


def test_tensors_are_digested_as_the_recorder_does() -> None:
    for dtype in (torch.float32, torch.float64, torch.int64, torch.bool, torch.float16):
        sample = {"x": torch.ones(2, 3).to(dtype), "label": 3, "name": "text"}
        assert content.item_digest(sample) == presented.item_digest(sample)


@given(st.text(max_size=60), st.text(max_size=60))
def test_likeness_is_symmetric_and_bounded(first: str, second: str) -> None:
    one, two = resemblance.shingles(first), resemblance.shingles(second)
    there, back = resemblance.likeness(one, two), resemblance.likeness(two, one)
    assert there == back
    assert 0.0 <= there.resemblance <= there.containment <= 1.0
    if one:
        assert resemblance.likeness(one, one).resemblance == 1.0
