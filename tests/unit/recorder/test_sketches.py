"""Entry sketches: what they estimate, how they measure their error, and the room they take."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn, optim

from gradledger.errors import InputError, QueryError
from gradledger.query.records import open_records
from gradledger.query.sketches import sketched_displacement, sketched_dots
from gradledger.replay import settle
from gradledger.segment import read_table
from gradledger.state import Projection
from gradledger.verify import check_run

sys.path.insert(0, str(Path(__file__).parent))
from conftest import OPTIMIZERS


def matrix(rank: int, seed: int, shape: tuple[int, int] = (96, 128)) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(shape[0], rank)) @ draw.normal(size=(rank, shape[1]))


@pytest.mark.parametrize("rank", [1, 4, 96])
def test_the_error_does_not_depend_on_the_rank(rank: int) -> None:
    """Norms err by about 1 / sqrt(2 k) = 0.044, at rank one as at full rank."""
    errors, measured = [], []
    for seed in range(40):
        vector = matrix(rank, seed).reshape(-1)
        sketch = Projection(str(seed), "w", vector.size, 256).project(vector)
        square = vector @ vector
        errors.append(sketch @ sketch / square - 1)
        halves = np.square(sketch).reshape(2, -1).sum(1)
        measured.append((halves[0] - halves[1]) / square)
    error, shown = np.sqrt(np.mean(np.square(errors))), np.sqrt(np.mean(np.square(measured)))
    assert 0.05 < error < 0.13  # of the squared norm: sqrt(2 / 256) = 0.088
    assert shown == pytest.approx(error, rel=0.5)
    assert abs(np.mean(errors)) < 0.05


@pytest.mark.parametrize("place", ["column", "row", "element"])
def test_vectors_that_are_concentrated_are_no_worse(place: str) -> None:
    errors = []
    for seed in range(30):
        values = np.zeros((96, 128))
        draw = np.random.default_rng(seed)
        if place == "column":
            values[:, 5] = draw.normal(size=96)
        elif place == "row":
            values[3] = draw.normal(size=128)
        else:
            values[3, 5] = 1.0
        vector = values.reshape(-1)
        sketch = Projection(str(seed), "w", vector.size, 256).project(vector)
        errors.append(sketch @ sketch / (vector @ vector) - 1)
    assert np.sqrt(np.mean(np.square(errors))) < 0.15


def test_a_projection_is_linear_and_its_own() -> None:
    one, other = matrix(2, 1).reshape(-1), matrix(3, 2).reshape(-1)
    project = Projection("s", "w", one.size, 64).project
    assert np.allclose(project(one + 2 * other), project(one) + 2 * project(other))
    assert not np.allclose(project(one), Projection("s", "v", one.size, 64).project(one))
    assert not np.allclose(project(one), Projection("t", "w", one.size, 64).project(one))


#: Draws of the projections; without one a run draws by its own identifier.
SEEDS = ("a", "b", "c", "d", "e")


def wide() -> nn.Module:
    """Tensors of many times as many elements as a sketch has numbers."""
    torch.manual_seed(3)
    layers = nn.Embedding(13, 64), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 13)
    return nn.Sequential(*layers)


def sketched(training: Any, folder: Path, make: Any, **options: Any) -> Any:
    run = training(make, steps=8, record={"level": "sketch", **options})
    run.recorded(folder)
    return run


@pytest.mark.parametrize("name", ["sgd momentum", "adamw", "rmsprop", "adafactor", "lion"])
def test_shares_of_displacement_are_those_of_the_settling_pass(
    name: str, training: Any, tmp_path: Path
) -> None:
    ratios = [
        ratio
        for seed in SEEDS
        for ratio in shown_over_true_errors(training, OPTIMIZERS[name], seed, tmp_path / seed)
    ]
    assert 1 / 3 < np.median(ratios) < 3
    # The ratio of two draws leaves a factor of ten in about one case of eight.
    assert np.mean([1 / 10 < ratio < 10 for ratio in ratios]) >= 0.8


def shown_over_true_errors(training: Any, make: Any, seed: str, folder: Path) -> list[float]:
    """Record and settle with one draw of the projections; compare group by group."""
    record = {"level": "sketch", "sketching": {"seed": seed}}
    run = training(make, steps=8, record=record, make_model=wide)
    run.recorded(folder)
    settle(folder, run.build, run.loop)
    exact = read_table(folder, "displacement/visits").to_pydict()
    records, ratios = open_records(folder), []
    for group in records.begin.groups:
        found = sketched_displacement(records, group.group)
        moved = {
            row["group"]: row["displacement_sq"]
            for row in read_table(folder, "displacement/lines").to_pylist()
        }
        expected = np.array(exact[f"share_{group.group}"]) / moved[group.group]
        assert found.step.tolist() == exact["step"]
        assert found.example.tolist() == exact["example"]
        rms = np.sqrt(np.mean(np.square(found.value - expected)))
        # All visits share one draw of the projections, so a measured error is itself one draw.
        shown = np.sqrt(np.mean(np.square(found.error)))
        ratios.append(shown / rms)
    return ratios


def test_a_behaviour_is_asked_afterwards(training: Any, tmp_path: Path) -> None:
    """Most sums lie within three of their measured errors; an error is one draw itself."""
    distances = [
        distance
        for seed in SEEDS
        for distance in behaviour_distances(training, seed, tmp_path / seed)
    ]
    assert np.median(distances) < 3


def behaviour_distances(training: Any, seed: str, folder: Path) -> list[float]:
    """Plain SGD: entries are the steps, so their dots add up to the gradient's with the move."""
    run = training(lambda p: optim.SGD(p, lr=0.1), steps=8, clip=None)
    run.record = {"level": "sketch", "sketching": {"seed": seed}}
    run.make_model = wide
    before, after = run.build()[0], run.recorded(folder)
    tokens = run.data().tensors[0]
    run.loss(after, tokens).mean().backward()
    records, distances = open_records(folder), []
    for group in records.begin.groups:
        names = [tensor.name for tensor in group.tensors]
        gradient = {name: after.get_parameter(name).grad.numpy() for name in names}
        moved = {
            name: (after.get_parameter(name) - before.get_parameter(name)).detach().numpy()
            for name in names
        }
        expected = sum(float((gradient[name] * moved[name]).sum()) for name in names)
        value, error = sketched_dots(records, group.group, gradient).total()
        distances.append(abs(value - expected) / error)
        assert value == pytest.approx(expected, rel=0.5)
    return distances


def test_recording_sketches_changes_nothing_and_verifies(
    make_optimizer: Any, training: Any, tmp_path: Path
) -> None:
    run = training(make_optimizer, steps=6, record={"level": "sketch"})
    recorded, plain = run.recorded(tmp_path / "run"), run.plain()
    assert all(map(torch.equal, recorded.parameters(), plain.parameters()))
    assert {f.code for f in check_run(tmp_path / "run").findings} <= {"V901"}


def steps_sketched(folder: Path) -> list[int]:
    return sorted(set(read_table(folder, "sketches", ["step"])["step"].to_pylist()))


def test_groups_and_schedules_are_chosen(training: Any, tmp_path: Path) -> None:
    adamw = OPTIMIZERS["adamw"]
    options = {"sketching": {"groups": ["1", "4"], "every": 3, "size": 64}}
    sketched(training, tmp_path / "run", adamw, **options)
    assert steps_sketched(tmp_path / "run") == [1, 3, 6]
    names = read_table(tmp_path / "run", "sketches").column_names
    assert [name for name in names if name.startswith("sketch_")] == ["sketch_1", "sketch_3"]
    with pytest.raises(QueryError, match="Q191"):
        sketched_dots(open_records(tmp_path / "run"), 0, {})
    # Three batches make a pass: of the three that are begun, the first and the last.
    options = {"sketching": {"passes": (0, -1), "num_passes": 3}}
    sketched(training, tmp_path / "passes", adamw, **options)
    assert steps_sketched(tmp_path / "passes") == [1, 2, 3, 7, 8]


def test_a_budget_is_kept_by_thinning_and_said(training: Any, tmp_path: Path) -> None:
    options = {"sketching": {"size": 64, "budget_bytes": 40_000}}
    run = training(OPTIMIZERS["adamw"], steps=100, record={"level": "sketch", **options})
    run.recorded(tmp_path / "run")
    said = json.loads((tmp_path / "run" / "end.json").read_text())["totals"]["sketches"]
    rows = read_table(tmp_path / "run", "sketches").num_rows
    assert said["visits"] == rows
    assert said["visits"] + said["dropped_visits"] == 400
    assert said["bytes"] <= 40_000
    assert said["dropped_visits"] > 0
    assert len(said["thinned_after_steps"]) >= 2
    assert max(steps_sketched(tmp_path / "run")) > 60  # Thinned, not cut off.


def test_a_sketch_of_256_takes_less_than_300_bytes(training: Any, tmp_path: Path) -> None:
    run = training(OPTIMIZERS["adamw"], steps=60, batch=12, record={"level": "sketch"})
    run.make_model = lambda: nn.Sequential(nn.Embedding(13, 64), nn.Linear(64, 13))
    run.recorded(tmp_path / "run")
    size = sum(path.stat().st_size for path in (tmp_path / "run" / "sketches").rglob("*.parquet"))
    assert size / (60 * 12 * 2) < 300


@pytest.mark.parametrize(
    "wrong", [{"size": 100}, {"every": 0}, {"passes": (-1,)}, {"budget_bytes": -1}, {"width": 4}]
)
def test_settings_that_mean_nothing_are_refused(
    wrong: dict[str, Any], training: Any, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="I104"):
        sketched(training, tmp_path / "run", OPTIMIZERS["adamw"], sketching=wrong)
