"""Probes in a recorded run: values at their steps, and not one bit of training changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradledger as gl
from gradledger.errors import InputError
from gradledger.log import check_manifest
from gradledger.segment import read_json, read_table

TOKENS = torch.randint(0, 13, (3, 7), generator=torch.Generator().manual_seed(8))


def loss(model: nn.Module, tokens: Tensor) -> Tensor:
    logits = model(tokens[:, :-1])
    return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def noisy_model() -> nn.Module:
    """Dropout and running statistics: both would show what a probe disturbs."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Embedding(13, 6),
        nn.Dropout(0.3),
        nn.Flatten(0, 1),
        nn.BatchNorm1d(6),
        nn.Unflatten(0, (-1, 6)),
        nn.Linear(6, 13),
    )


def assert_same_bits(first: nn.Module, second: nn.Module) -> None:
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    for (name, a), (_, b) in pairs:
        assert torch.equal(a, b), name


@pytest.mark.parametrize("level", ["shares", "decisions"])
def test_training_with_probes_is_bit_identical(
    make_optimizer: Any, training: Any, tmp_path: Path, level: str
) -> None:
    probes = [gl.Probe("one", TOKENS, loss, every=1), gl.Probe("two", TOKENS[:1], loss, every=4)]
    record = {"probes": probes, "accept_coupled": True, "level": level}
    run = training(make_optimizer, make_model=noisy_model, steps=12, record=record)
    torch.manual_seed(11)
    plain = run.plain()
    drawn = torch.rand(3)
    torch.manual_seed(11)
    recorded = run.recorded(tmp_path / "run")
    assert torch.equal(torch.rand(3), drawn)
    assert_same_bits(plain, recorded)


def test_the_books_do_not_depend_on_probes(adamw: Any, training: Any, tmp_path: Path) -> None:
    plain = training(adamw, steps=8)
    probed = training(adamw, steps=8, record={"probes": [gl.Probe("a", TOKENS, loss, every=2)]})
    plain.recorded(tmp_path / "plain")
    probed.recorded(tmp_path / "probed")
    for table in ("visits", "books"):
        first, second = (read_table(tmp_path / name, table) for name in ("plain", "probed"))
        for name in set(first.column_names) - {"digest"}:
            assert first[name].equals(second[name]), name


def test_values_are_measured_at_their_steps(adamw: Any, training: Any, tmp_path: Path) -> None:
    seen: dict[int, float] = {}

    class Watching(training):  # type: ignore[misc]
        def loop(self, run: Any) -> None:
            seen[0] = float(loss(run.model, TOKENS).detach())
            super().loop(run)

        def update(self, model: nn.Module, optimizer: Any, tokens: Tensor) -> None:
            super().update(model, optimizer, tokens)
            with torch.no_grad():
                seen[len(seen)] = float(loss(model, TOKENS))

    probes = [
        gl.Probe("often", TOKENS, loss, every=3, also_at=(1,), description="three windows"),
        gl.Probe("ends", TOKENS, loss, every=0),
    ]
    run = Watching(adamw, steps=7, record={"probes": probes})
    run.recorded(tmp_path / "run")
    rows = read_table(tmp_path / "run", "probes/values").to_pylist()
    found = {(row["probe"], row["step"]): row["value"] for row in rows}
    assert sorted(found) == [
        ("ends", 0),
        ("ends", 7),
        *(("often", step) for step in (0, 1, 3, 6, 7)),
    ]
    for (_, step), value in found.items():
        assert value == pytest.approx(seen[step], rel=1e-6)
    settings = read_json(tmp_path / "run" / "run.json")["settings"]
    assert [entry["name"] for entry in settings["probes"]] == ["often", "ends"]
    assert settings["probes"][0]["inputs_digest"] == probes[0].digest
    assert settings["probes"][0]["description"] == "three windows"
    assert check_manifest(tmp_path / "run") == []


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, [2, 4, 6]),
        ({"probe_weights_every": 2}, [4]),
        ({"probe_weights_every": 0}, []),
        ({"state_every": 4}, [2, 6]),
    ],
)
def test_weights_are_kept_where_no_state_is(
    adamw: Any, training: Any, tmp_path: Path, settings: dict[str, Any], kept: list[int]
) -> None:
    record = {"probes": [gl.Probe("a", TOKENS, loss, every=2)], **settings}
    training(adamw, steps=7, record=record).recorded(tmp_path / "run")
    folder = tmp_path / "run" / "probes" / "weights"
    assert sorted(path.name for path in folder.glob("*")) == [
        f"step={step}.safetensors" for step in kept
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_probe_that_cannot_be_followed_is_refused_before_the_run(
    adamw: Any, training: Any, tmp_path: Path, value: float
) -> None:
    probe = gl.Probe("a", TOKENS, lambda model, tokens: loss(model, tokens) * value)
    with pytest.raises(InputError) as caught:
        training(adamw, record={"probes": [probe]}).recorded(tmp_path / "run")
    assert caught.value.code == "I132"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("every", [-1, 1.5, True, "2"])
def test_weights_are_kept_at_whole_numbers(
    adamw: Any, training: Any, tmp_path: Path, every: Any
) -> None:
    record = {"probes": [gl.Probe("a", TOKENS, loss)], "probe_weights_every": every}
    with pytest.raises(InputError) as caught:
        training(adamw, record=record).recorded(tmp_path / "run")
    assert caught.value.code == "I104"
    assert not (tmp_path / "run").exists()


def test_values_of_an_aborted_run_are_kept(adamw: Any, training: Any, tmp_path: Path) -> None:
    class Failing(training):  # type: ignore[misc]
        def update(self, model: nn.Module, optimizer: Any, tokens: Tensor) -> None:
            super().update(model, optimizer, tokens)
            self.done = getattr(self, "done", 0) + 1
            if self.done == 5:
                raise RuntimeError("stop")

    run = Failing(adamw, record={"probes": [gl.Probe("a", TOKENS, loss, every=2)]})
    with pytest.raises(RuntimeError, match="stop"):
        run.recorded(tmp_path / "run")
    assert read_table(tmp_path / "run", "probes/values")["step"].to_pylist() == [0, 2, 4]
