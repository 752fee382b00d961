"""From wheels to training data, with the policy in between."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gradledger.demo import corpus as corpus_module
from gradledger.demo.data import DemoData, load_demo_data, policy_path
from gradledger.demo.manifest import WheelPin
from gradledger.demo.sizes import WINDOW_TOKENS, CorpusSize
from gradledger.demo.windows import COLUMNS
from gradledger.errors import InputError
from gradledger.policy import decide, load_policy
from gradledger.rights import satisfies

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SIZE = CorpusSize("test", 20, 16, 400, 4, 20_000)


def code(seed: int, num_lines: int = 150) -> str:
    """Code that is neither repetitive nor dense, and the same on every machine."""
    rows = np.random.default_rng(seed).integers(0, 26, (num_lines, 9)) + ord("a")
    names = ["".join(map(chr, row)) for row in rows]
    return "\n".join(f"def {name}(x):\n    return x * len({name[3:]!r})\n" for name in names)


@pytest.fixture
def cache(
    make_wheel: Callable[..., WheelPin], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    pins = [
        make_wheel("free", {f"a{n}.py": code(n) for n in range(4)}),
        make_wheel(
            "strict",
            {f"b{n}.py": code(10 + n) + "# zebra zebra zebra\n" * 9 for n in range(3)},
            metadata="License-Expression: GPL-3.0-only\n",
        ),
        make_wheel(
            "carrier", {"c/own.py": code(20), "c/_vendor/copied.py": code(21), "c/t/x.py": code(0)}
        ),
        make_wheel("vague", {"d.py": code(30)}, metadata="License: BSD\n"),
    ]
    monkeypatch.setattr(corpus_module, "read_manifest", lambda: tuple(pins))
    return tmp_path / "wheels"


@pytest.fixture
def data(cache: Path) -> DemoData:
    return load_demo_data(SIZE, cache, now=NOW)


def test_shapes_agree(data: DemoData) -> None:
    assert data.tokens.shape == (len(data), WINDOW_TOKENS)
    assert data.tokens.dtype == np.int64
    assert 0 <= data.tokens.min() <= data.tokens.max() < data.vocab_size <= SIZE.vocab_size
    assert tuple(data.columns) == COLUMNS
    assert {len(column) for column in data.columns.values()} == {len(data)}
    assert len(set(data.columns["key"])) == len(data)


def test_numbers_are_those_of_the_size(data: DemoData) -> None:
    assert len(data.admitted) == data.counts["windows_admitted"] == 20
    assert len(data) - len(data.admitted) == 16
    assert sum(data.counts["verdicts"].values()) == len(data)


def test_the_text_is_that_of_the_tokens(data: DemoData) -> None:
    for place in range(len(data)):
        assert data.text(place) == data.tokenizer.decode(data.tokens[place].tolist())


def test_the_policy_answers_for_windows_as_for_files(data: DemoData) -> None:
    table = pa.table({name: list(column) for name, column in data.columns.items()})
    again = decide(load_policy(data.policy_path), table, NOW, {"spdx_satisfies": satisfies})
    for decision, number in zip(data.decisions, again.code, strict=True):
        other = again.distinct[number]
        assert (decision.verdict, decision.content_class, decision.profile, decision.truths) == (
            other.verdict,
            other.content_class,
            other.profile,
            other.truths,
        )


def test_what_is_refused_does_not_reach_the_tokenizer(data: DemoData) -> None:
    trained = {entry["key"] for entry in data.tokenizer_record["trained_on"]}
    admitted = {data.columns["key"][place].split("#")[0] for place in data.admitted}
    assert admitted <= trained
    assert not any(key.startswith("strict:") for key in trained)
    assert "carrier:c/_vendor/copied.py" not in trained
    assert not any("zebra" in token for token in data.tokenizer.get_vocab())


def test_verdicts_follow_the_licences(data: DemoData) -> None:
    by_file = {
        key.split("#")[0]: decision
        for key, decision in zip(data.columns["key"], data.decisions, strict=True)
    }
    assert {d.verdict for key, d in by_file.items() if key.startswith("strict:")} == {"deny"}
    assert by_file["carrier:c/_vendor/copied.py"].verdict == "quarantine"
    assert by_file["carrier:c/own.py"].verdict == "admit"
    assert by_file["vague:d.py"].profile == "last-layer"


def test_a_copy_counts_once(data: DemoData) -> None:
    copies = {
        key.split("#")[0]: of
        for key, of in zip(data.columns["key"], data.columns["duplicate_of"], strict=True)
        if of
    }
    assert copies == {"free:a0.py": "carrier:c/t/x.py"}
    contents = [data.columns["sha256"][place] for place in data.admitted]
    assert len(set(contents)) == len(contents)


def test_loading_is_repeatable(data: DemoData, cache: Path) -> None:
    again = load_demo_data(SIZE, cache, now=NOW)
    assert np.array_equal(again.tokens, data.tokens)
    assert again.columns == data.columns
    assert again.decisions == data.decisions
    assert again.tokenizer_record == data.tokenizer_record


def test_another_policy_is_another_corpus(data: DemoData, cache: Path, tmp_path: Path) -> None:
    text = policy_path().read_text(encoding="utf-8")
    strict = tmp_path / "strict.yaml"
    strict.write_text(text.replace("license_text LIKE '%BSD%'", "license_text LIKE '%XXX%'"))
    other = load_demo_data(SIZE, cache, policy=strict, now=NOW)
    assert other.policy_path == strict
    assert "last-layer" in data.counts["profiles"]
    assert "last-layer" not in other.counts["profiles"]


def test_a_policy_that_admits_nothing_is_an_error(cache: Path, tmp_path: Path) -> None:
    text = policy_path().read_text(encoding="utf-8")
    closed = tmp_path / "closed.yaml"
    closed.write_text(text.replace("effect: admit", "effect: deny"))
    with pytest.raises(InputError, match="0 files"):
        load_demo_data(SIZE, cache, policy=closed, now=NOW)


def test_the_description_tells_the_numbers(data: DemoData) -> None:
    text = data.describe()
    assert "4 wheels, 11 Python files" in text
    assert "20 windows of 128 tokens admitted" in text
    assert "deny" in text
    assert "full" in text
