"""Effects on probes: equal to the plain loop, complete, in one pass with displacement."""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn, optim

import gradledger as gl
from gradledger.errors import ReplayError
from gradledger.log import check_manifest
from gradledger.replay import Settled, settle
from gradledger.segment import read_table

sys.path.insert(0, str(Path(__file__).parent))
from loop_oracle import OPTIMIZERS, POLICY, Setup, Trained, gradient, nats, probe_loss, train

INPUTS = {
    "one": torch.randint(0, 11, (2, 6), generator=torch.Generator().manual_seed(21)),
    "two": torch.randint(0, 11, (1, 4), generator=torch.Generator().manual_seed(22)),
}


def make_probes(every: int = 2, also_at: tuple[int, ...] = ()) -> list[gl.Probe]:
    return [
        gl.Probe("one", INPUTS["one"], probe_loss, every=every, also_at=also_at),
        gl.Probe("two", INPUTS["two"], probe_loss, every=every + 1),
    ]


def record(setup: Setup, folder: Path, probes: list[gl.Probe], **more: Any) -> None:
    """Record a run under the policy of the oracle."""
    folder.parent.mkdir(exist_ok=True)
    policy = folder.parent / "policy.yaml"
    policy.write_text(POLICY)
    model, optimizer = setup.build()
    named = {"policy": policy, "on_imbalance": "strict", "probes": probes, **more}
    recorder = gl.record(folder, model, optimizer, **named)
    with recorder:
        setup.loop(recorder)


def recorded_and_settled(
    setup: Setup, folder: Path, probes: list[gl.Probe], **more: Any
) -> Settled:
    record(setup, folder, probes, **more)
    return settle(folder, setup.build, setup.loop, probes=lambda: probes)


def oracle(setup: Setup, folder: Path) -> Trained:
    """Train in the recorded order by the plain loop."""
    order: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in read_table(folder, "visits").to_pylist():
        order[row["step"]][row["micro_batch"]].append(row["example"])
    return train(setup, [list(order[step].values()) for step in sorted(order)])


def check_visits(setup: Setup, folder: Path) -> None:
    """Every booked visit of every probe equals the definition."""
    trained = oracle(setup, folder)
    place: dict[tuple[str, int], int] = defaultdict(int)
    rows = read_table(folder, "probes/visits").to_pylist()
    assert len(rows) == 2 * setup.steps * setup.batch * setup.micro_batches
    ends = {
        (row["probe"], step): gradient(trained.models[step], INPUTS[row["probe"]])
        for row in read_table(folder, "probes/intervals").to_pylist()
        for step in (row["start_step"], row["stop_step"])
    }
    for row in rows:
        name, step = row["probe"], row["step"]
        assert row["start_step"] < step <= row["stop_step"]
        entry = trained.entries[step - 1][place[name, step]]
        place[name, step] += 1
        expected = nats(entry, ends[name, row["start_step"]], ends[name, row["stop_step"]])
        found = [row[f"nats_{group}"] for group in range(4)]
        assert found == pytest.approx(expected, rel=1e-8, abs=1e-14)


def check_completeness(folder: Path, bound: float = 1e-11) -> None:
    """Booked visits and lines and residual are the measured change, interval by interval."""
    lines = read_table(folder, "probes/lines").to_pylist()
    visits = read_table(folder, "probes/visits").to_pylist()
    values = {
        (row["probe"], row["step"]): row["value"]
        for row in read_table(folder, "probes/values").to_pylist()
    }
    for row in read_table(folder, "probes/intervals").to_pylist():
        key = (row["probe"], row["interval"])
        booked = sum(
            visit[name]
            for visit in visits
            if (visit["probe"], visit["interval"]) == key
            for name in visit
            if name.startswith("nats_")
        )
        others = sum(
            line["nats"]
            for line in lines
            if (line["probe"], line["interval"]) == key and line["line"] != "accrued_contributions"
        )
        measured = values[key[0], row["stop_step"]] - values[key[0], row["start_step"]]
        assert row["measured"] == measured
        assert abs(booked + others + row["residual"] - measured) < bound
        # The lines are all that moved the parameters: their sum is that of the displacement.
        assert row["explained"] == pytest.approx(row["linear"], rel=1e-9, abs=bound)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_visits_equal_the_plain_loop(name: str, tmp_path: Path) -> None:
    setup = Setup(name, scheduled=True, limited=True, micro_batches=2, clip=0.3)
    recorded_and_settled(setup, tmp_path / "run", make_probes())
    check_visits(setup, tmp_path / "run")
    check_completeness(tmp_path / "run")
    assert check_manifest(tmp_path / "run") == []


@given(
    setup=st.builds(
        Setup,
        optimizer=st.sampled_from(sorted(OPTIMIZERS)),
        width=st.integers(1, 7),
        length=st.integers(2, 8),
        batch=st.integers(1, 4),
        micro_batches=st.integers(1, 3),
        steps=st.integers(1, 7),
        clip=st.sampled_from([None, 0.05, 1.0]),
        scheduled=st.booleans(),
        limited=st.booleans(),
    ),
    every=st.integers(0, 4),
    also_at=st.lists(st.integers(1, 5), max_size=2).map(tuple),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_run_is_booked_completely(setup: Setup, every: int, also_at: tuple[int, ...]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        recorded_and_settled(setup, folder, make_probes(every, also_at))
        check_visits(setup, folder)
        check_completeness(folder)


def test_short_intervals_leave_little_curvature(tmp_path: Path) -> None:
    """The residual is of third order in the interval: with single steps it is small."""
    whole: dict[int, float] = {}
    for every in (1, 24):
        setup = Setup("sgd", steps=24, clip=None)
        settled = recorded_and_settled(setup, tmp_path / f"{every}" / "run", make_probes(every))
        found = settled.probes["one"]
        assert found.measured == pytest.approx(found.explained + found.residual, abs=1e-12)
        assert found.linear == pytest.approx(found.explained, abs=1e-10)
        whole[every] = abs(found.residual / found.measured)
    assert whole[1] < 0.01
    assert whole[1] < whole[24] / 5


def test_one_pass_books_displacement_and_probes(tmp_path: Path) -> None:
    """Displacement is the same to the bit, whether probes are booked beside it or not."""
    setup = Setup()
    settled = recorded_and_settled(setup, tmp_path / "both" / "run", make_probes())
    record(setup, tmp_path / "alone" / "run", make_probes())
    alone = settle(tmp_path / "alone" / "run", setup.build, setup.loop)
    assert settled.num_steps == alone.num_steps == 6
    assert not alone.probes
    total = sum(v for line, v in settled.shares[0].items() if line != "accrual_residual")
    assert np.abs(total - 1).max() < 1e-9
    for line, values in settled.shares[0].items():
        assert np.allclose(values, alone.shares[0][line], rtol=1e-12, atol=1e-15)


def test_probes_may_be_booked_in_a_pass_of_their_own(tmp_path: Path) -> None:
    setup, folder, probes = Setup(), tmp_path / "run", make_probes()
    record(setup, folder, probes)
    settle(folder, setup.build, setup.loop)
    settled = settle(folder, setup.build, setup.loop, (), probes)
    assert settled.shares == []
    check_visits(setup, folder)
    with pytest.raises(ReplayError) as caught:
        settle(folder, setup.build, setup.loop, (), probes)
    assert caught.value.code == "R106"


def test_thinned_weights_make_longer_intervals(tmp_path: Path) -> None:
    setup = Setup(steps=7)
    recorded_and_settled(setup, tmp_path / "run", make_probes(1), probe_weights_every=3)
    rows = read_table(tmp_path / "run", "probes/intervals").to_pylist()
    ends = [(r["start_step"], r["stop_step"]) for r in rows if r["probe"] == "one"]
    assert ends == [(0, 3), (3, 6), (6, 7)]
    check_visits(setup, tmp_path / "run")
    check_completeness(tmp_path / "run")


def other_inputs() -> list[gl.Probe]:
    return [gl.Probe("one", INPUTS["two"], probe_loss), make_probes()[1]]


def other_loss() -> list[gl.Probe]:
    def doubled(model: nn.Module, tokens: Tensor) -> Tensor:
        return 2 * probe_loss(model, tokens)

    return [gl.Probe("one", INPUTS["one"], doubled), make_probes()[1]]


def one_missing() -> list[gl.Probe]:
    return make_probes()[:1]


def one_more() -> list[gl.Probe]:
    return [*make_probes(), gl.Probe("three", INPUTS["one"], probe_loss)]


@pytest.mark.parametrize("supplied", [other_inputs, other_loss, one_missing, one_more])
def test_other_probes_are_refused(supplied: Any, tmp_path: Path) -> None:
    setup, folder = Setup(), tmp_path / "run"
    record(setup, folder, make_probes())
    before = sorted(path for path in folder.rglob("*"))
    with pytest.raises(ReplayError) as caught:
        settle(folder, setup.build, setup.loop, probes=supplied)
    assert caught.value.code == "R121"
    assert sorted(path for path in folder.rglob("*")) == before


def test_running_statistics_have_a_line(tmp_path: Path) -> None:
    """Buffers move a probe too; the line is what exchanging them does, at both ends."""

    class Normed(Setup):
        def build(self) -> tuple[nn.Module, optim.Optimizer]:
            torch.manual_seed(3)
            model = nn.Sequential(
                nn.Embedding(11, 5),
                nn.Flatten(0, 1),
                nn.BatchNorm1d(5),
                nn.Linear(5, 11),
                nn.Unflatten(0, (-1, 5)),
            ).double()
            return model, optim.AdamW(model.parameters(), lr=1e-2)

    setup = Normed(steps=4)
    probes = [gl.Probe("one", INPUTS["one"], probe_loss, every=1)]
    settled = recorded_and_settled(
        setup, tmp_path / "run", probes, accept_coupled=True, policy=None
    )
    check_completeness(tmp_path / "run")
    rows = read_table(tmp_path / "run", "probes/lines").to_pylist()
    buffers = [row for row in rows if row["line"] == "buffers"]
    assert len(buffers) == 4
    assert all(row["group"] is None and row["nats"] != 0 for row in buffers)
    found = settled.probes["one"]
    assert abs(found.residual) < 0.05 * abs(found.measured)
