"""What a run leaves on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from gradledger.log import check_manifest
from gradledger.segment import read_table


@pytest.fixture
def folder(adamw: Any, training: Any, tmp_path: Path) -> Path:
    """A closed run of seven steps with a state every three."""
    run = training(
        adamw,
        steps=7,
        metadata={"source": ["a"] * 5 + ["b"] * 7, "key": [f"doc{i}" for i in range(12)]},
        record={"state_every": 3, "seal_rows": 8, "seeds": {"model": 3}},
    )
    run.recorded(tmp_path / "run")
    return tmp_path / "run"


def test_states_are_stored_where_asked(folder: Path) -> None:
    assert sorted(path.name for path in (folder / "states").iterdir()) == [
        "step=0",
        "step=3",
        "step=6",
        "step=7",
    ]
    first = load_file(folder / "states" / "step=0" / "model.safetensors")
    last = load_file(folder / "states" / "step=7" / "model.safetensors")
    assert any(not torch.equal(first[name], last[name]) for name in first)


def test_segments_are_sealed_as_training_goes(folder: Path) -> None:
    assert len(list((folder / "visits").glob("part-*.parquet"))) >= 3
    steps = read_table(folder, "steps")["step"].to_pylist()
    assert steps == list(range(1, 8))


def test_fingerprints_chain_from_step_to_step(folder: Path) -> None:
    steps = read_table(folder, "steps").to_pydict()
    assert steps["fingerprint_before"][1:] == steps["fingerprint_after"][:-1]
    assert len(set(steps["fingerprint_after"])) == 7
    assert all(len(value) == 16 for value in steps["rng_fingerprint"])


def test_commitments_of_visits_are_those_of_their_examples(folder: Path) -> None:
    content = read_table(folder, "decisions/examples")["content"].to_pylist()
    visits = read_table(folder, "visits").to_pydict()
    for example, digest in zip(visits["example"], visits["digest"], strict=True):
        assert digest.hex() == content[example]
    assert len(set(content)) == 12


def test_ids_are_keyed_and_distinct(folder: Path) -> None:
    examples = read_table(folder, "decisions/examples").to_pydict()
    assert len(set(examples["example_id"])) == 12
    assert not any("doc" in value for value in examples["example_id"])
    assert examples["key"] == [f"doc{i}" for i in range(12)]
    salts = folder / "private" / "salts.json"
    assert oct(salts.stat().st_mode & 0o777) == "0o600"


def test_begin_and_end_say_what_was(folder: Path) -> None:
    begin = json.loads((folder / "run.json").read_text())
    assert begin["blocks"] == ["0", "1", "3", "4"]
    assert [group["name"] for group in begin["groups"]] == ["0", "1", "3", "4"]
    assert begin["optimizer"]["family"] == "adam"
    assert begin["seeds"] == {"model": 3}
    assert begin["policy"] == {}
    end = json.loads((folder / "end.json").read_text())
    assert (end["num_steps"], end["num_visits"]) == (7, 28)
    assert end["balance"]["verdicts"]["unbalanced"] == 0
    assert len(end["final_digest"]) == 64


def test_the_manifest_finds_every_kind_of_change(folder: Path) -> None:
    assert check_manifest(folder) == []
    victim = folder / "books" / "part-000000.parquet"
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(bytes(content))
    (folder / "visits" / "part-000001.parquet").unlink()
    (folder / "steps" / "part-999999.parquet").write_bytes(b"x")
    places = sorted(difference.place for difference in check_manifest(folder))
    assert places == [
        "books/part-000000.parquet",
        "steps/part-999999.parquet",
        "visits/part-000001.parquet",
    ]


def test_without_a_policy_the_record_says_so(folder: Path) -> None:
    distinct = read_table(folder, "decisions/distinct").to_pydict()
    assert distinct["verdict"] == ["admit"]
    assert distinct["policy_id"] == ["none"]
    assert "no policy" in distinct["reason"][0]
