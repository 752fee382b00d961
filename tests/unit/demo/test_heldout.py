"""Texts of probes: of the kind that their names say, from files that nothing is trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gradledger.demo.behaviours import demo_probes, mean_loss
from gradledger.demo.data import DemoData, load_demo_data
from gradledger.demo.heldout import PROBE_WINDOWS, held_out_texts, probe_tokens
from gradledger.demo.manifest import default_cache
from gradledger.demo.source import SourceFile
from gradledger.demo.tokenizer import train_tokenizer

ROOT = Path(__file__).parents[3]

DOCUMENTED = '''# Copyright (c) 2020 Somebody
"""First words of the module, which go on for a while."""

def short():
    """Brief."""

def longer():
    """A longer text than that of the module, so that it comes before it in the list."""
'''


def test_texts_are_of_their_kind(make_file: Callable[..., SourceFile]) -> None:
    table = "rows = [" + ", ".join(str(n) for n in range(400)) + "]\n"
    files = [
        make_file("a.py", text=DOCUMENTED),
        make_file("b.py", text="x = y\n" * 300 + table),
        make_file("c.py", text="def broken(:\n" + "word " * 400),
    ]
    texts = held_out_texts(files)
    assert texts["docstrings"] == [
        "A longer text than that of the module, so that it comes before it in the list.",
        "First words of the module, which go on for a while.",
    ]
    first = texts["numeric arrays"][0][:400]
    assert sum(char.isdigit() for char in first) / len(first) > 0.4
    assert texts["licence headers"] == [DOCUMENTED]
    assert len(texts["held-out files"]) == 3


def test_windows_are_whole_and_few(make_file: Callable[..., SourceFile]) -> None:
    file = make_file("a.py", text="alpha = beta\n" * 200)
    tokenizer, _ = train_tokenizer([file], 300)
    tokens = probe_tokens(["short", *[file.text] * 20], tokenizer, 32)
    assert tokens.shape == (PROBE_WINDOWS, 32)
    assert tokens.dtype == np.int64
    assert probe_tokens(["short"], tokenizer, 32).shape == (0, 32)


@pytest.fixture(scope="module", params=["tiny", "small", "medium"])
def data(request: pytest.FixtureRequest) -> DemoData:
    """The corpus as it is shipped."""
    return load_demo_data(request.param, default_cache(ROOT))


@pytest.mark.e2e
def test_every_behaviour_has_its_windows(data: DemoData) -> None:
    probes = demo_probes(data)
    assert [probe.name for probe in probes] == [
        "docstrings", "numeric arrays", "licence headers", "held-out files", "canary"
    ]  # fmt: skip
    for probe in probes[:-1]:
        assert len(probe.inputs["tokens"]) == PROBE_WINDOWS
        assert probe.loss is mean_loss


@pytest.mark.e2e
def test_held_out_files_are_not_trained_on(data: DemoData) -> None:
    held_out = {file.sha256 for file in data.corpus.held_out}
    assert held_out
    assert not held_out & set(data.columns["file_sha256"])
    trained = {entry["sha256"] for entry in data.tokenizer_record["trained_on"]}
    assert not held_out & trained


@pytest.mark.e2e
def test_the_canary_is_in_two_packages_alone(data: DemoData) -> None:
    packages = {
        package
        for package, planted in zip(data.columns["package"], data.columns["planted"], strict=True)
        if planted
    }
    assert packages == set(data.counts["planted"])
    assert len(packages) == 2
    for place, planted in enumerate(data.columns["planted"]):
        assert ("qzt unhg zalf" in data.text(place)) == planted
