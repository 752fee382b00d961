"""The frozen-curvature adjoint: what each visit did, as later steps really carried it on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gradledger.errors import ReplayError
from gradledger.ledger import open_ledger
from gradledger.log import check_manifest
from gradledger.query.replays import replays_folder
from gradledger.segment import read_table

sys.path.insert(0, str(Path(__file__).parents[1] / "recorder"))
from conftest import OPTIMIZERS, Training, two_layer

STEPS = 10
GROUPS = ("0", "1", "3", "4")


def make(name: str, **more: Any) -> Training:
    return Training(
        OPTIMIZERS[name],
        make_model=lambda: two_layer(torch.float64),
        steps=STEPS,
        record={"state_every": 4},
        **more,
    )


def settled(run: Training, folder: Path, **more: Any) -> Any:
    with open_ledger(folder) as ledger:
        return ledger.settle(measure="frozen", build=run.build, train=run.loop, **more)


def shares(folder: Path) -> dict[tuple[int, int], dict[str, float]]:
    """Interval and group -> line -> share."""
    found: dict[tuple[int, int], dict[str, float]] = {}
    for row in read_table(folder, "frozen/lines").to_pylist():
        lines = found.setdefault((row["interval"], row["group"]), {})
        lines[row["line"]] = row["dot"] / row["displacement_sq"]
    return found


def assert_whole(folder: Path) -> None:
    found = shares(folder)
    assert found
    for lines in found.values():
        explained = sum(value for line, value in lines.items() if line != "frozen_residual")
        assert explained == pytest.approx(1.0, abs=1e-9)
        assert abs(lines["frozen_residual"]) < 1e-9


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_lines_add_up_to_the_displacement(name: str, tmp_path: Path) -> None:
    run = make(name)
    run.recorded(tmp_path / "run")
    settled(run, tmp_path / "run")
    assert_whole(tmp_path / "run")
    assert check_manifest(tmp_path / "run") == []
    visits = read_table(tmp_path / "run", "frozen/visits").to_pydict()
    for row in read_table(tmp_path / "run", "frozen/lines").to_pylist():
        if row["line"] == "frozen_contributions":
            total = sum(visits[f"share_{row['group']}"])
            assert total == pytest.approx(row["dot"], rel=1e-9, abs=1e-14)


def single_gradients(run: Training, folder: Path) -> dict[tuple[int, int], list[Tensor]]:
    """Step and position -> gradient of that visit alone, clipped as its step was; the oracle."""
    model, optimizer = run.build()
    tokens = run.data().tensors[0]
    rows: dict[int, list[int]] = {}
    for row in read_table(folder, "visits", ["step", "example"]).to_pylist():
        rows.setdefault(row["step"], []).append(row["example"])
    found = {}
    for step in sorted(rows):
        batch = rows[step]
        for position, example in enumerate(batch):
            model.zero_grad()
            (run.loss(model, tokens[example : example + 1]).sum() / len(batch)).backward()
            found[step, position] = [p.grad.clone() for p in model.parameters()]
        model.zero_grad()
        run.loss(model, tokens[batch]).mean().backward()
        norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
        kappa = min(1.0, run.clip / (float(norm) + 1e-6)) if run.clip else 1.0
        for position in range(len(batch)):
            found[step, position] = [kappa * grad for grad in found[step, position]]
        for parameter in model.parameters():
            parameter.grad.mul_(kappa)
        optimizer.step()
        run.after[step] = [dict(optimizer.state[p]) for p in model.parameters()]  # type: ignore[attr-defined]
        run.after[step] = [  # type: ignore[attr-defined]
            {key: value.clone() for key, value in state.items()} for state in run.after[step]
        ]
    return found


def test_adamw_follows_the_written_recurrence(tmp_path: Path) -> None:
    """f_s = P_s Pi_{>s} q + b1 f_{s+1}, e_s = (1 - b1) f_s, by the step, from autograd's loop."""
    run = make("adamw")
    run.after = {}  # type: ignore[attr-defined]
    run.recorded(tmp_path / "run")
    settled(run, tmp_path / "run")
    gradients = single_gradients(run, tmp_path / "run")
    rate, decay, (b1, b2), eps = 1e-2, 1e-2, (0.9, 0.999), 1e-8
    from safetensors.torch import load_file

    states = tmp_path / "run" / "states"
    first, last = (load_file(states / f"step={step}" / "model.safetensors") for step in (0, STEPS))
    names = [name for name, _ in run.build()[0].named_parameters()]
    expected: dict[tuple[int, int], list[float]] = {place: [0.0] * 4 for place in gradients}
    for tensor, name in enumerate(names):
        q = last[name] - first[name]
        follows = torch.zeros_like(q)
        for step in range(STEPS, 0, -1):
            state = run.after[step][tensor]  # type: ignore[attr-defined]
            root = (state["exp_avg_sq"] / (1 - b2**step)).sqrt() + eps
            coefficient = -rate / ((1 - b1**step) * root)
            kept = (1 - rate * decay) ** (STEPS - step)
            follows = coefficient * kept * q + b1 * follows
            for place, grads in gradients.items():
                if place[0] == step:
                    share = float(((1 - b1) * follows * grads[tensor]).sum())
                    expected[place][GROUPS.index(name.split(".")[0])] += share
    visits = read_table(tmp_path / "run", "frozen/visits").to_pylist()
    assert len(visits) == len(gradients)
    for row in visits:
        for group, value in enumerate(expected[row["step"], row["position"]]):
            assert row[f"share_{group}"] == pytest.approx(value, rel=1e-7, abs=1e-12)


def test_plain_sgd_has_no_future(tmp_path: Path) -> None:
    """Without momentum and decay nothing is carried: both measures are the same."""
    run = make("sgd")
    run.recorded(tmp_path / "run")
    settled(run, tmp_path / "run")
    with open_ledger(tmp_path / "run") as ledger:
        ledger.settle(build=run.build, train=run.loop)
    both = [
        read_table(tmp_path / "run", f"{kind}/visits").sort_by([("step", "ascending"),
        ("position", "ascending")]).to_pydict()
        for kind in ("displacement", "frozen")
    ]  # fmt: skip
    for group in range(4):
        name = f"share_{group}"
        assert both[0][name] == pytest.approx(both[1][name], rel=1e-9)


def test_intervals_between_stored_states(tmp_path: Path) -> None:
    run = make("adam")
    run.recorded(tmp_path / "run")
    settled(run, tmp_path / "run", intervals=[(0, 10), (4, 8)])
    assert_whole(tmp_path / "run")
    opening = shares(tmp_path / "run")[1, 1]["frozen_opening"]
    assert opening != 0.0  # Momentum of the steps before is not of these visits.


def test_a_pass_that_was_killed_goes_on_with_the_same_result(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def stop(done: int, _: int) -> None:
        if done == 9:
            raise KilledError

    run = make("adamw")
    run.recorded(tmp_path / "a" / "run")
    run.recorded(tmp_path / "b" / "run")
    settled(run, tmp_path / "a" / "run")
    with pytest.raises(KilledError):
        settled(run, tmp_path / "b" / "run", progress=stop)
    told: list[int] = []
    settled(run, tmp_path / "b" / "run", progress=lambda done, _: told.append(done))
    assert min(told) > 4  # The stretch that was booked is not executed again.
    found, expected = (
        read_table(tmp_path / side / "run", "frozen/visits").drop_columns(["decision"])
        for side in "ba"
    )
    assert found.equals(expected)
    left = replays_folder(tmp_path / "b" / "run")
    assert not list(left.glob("frozen-*"))


def test_a_second_pass_is_refused(tmp_path: Path) -> None:
    run = make("adamw")
    run.recorded(tmp_path / "run")
    settled(run, tmp_path / "run")
    with pytest.raises(ReplayError) as caught:
        settled(run, tmp_path / "run")
    assert caught.value.code == "R106"


def test_trace_and_follow_name_the_measure(tmp_path: Path) -> None:
    run = make("adamw")
    run.recorded(tmp_path / "run")
    answer = settled(run, tmp_path / "run")
    assert answer.measure == "frozen"
    assert sum(row["share"] for row in answer.rows) == pytest.approx(1.0, abs=1e-9)
    with open_ledger(tmp_path / "run") as ledger:
        traced = ledger.trace(measure="frozen", top=20)
        assert traced.measure == "frozen"
        assert "frozen-curvature adjoint" in traced.facts["measure"]
        lines = {row["line"]: row["share"] for row in traced.table("lines").records()}
        assert lines["total"] == pytest.approx(1.0, abs=1e-9)
        followed = ledger.follow(example=3)
        assert followed.measure == "frozen and energy"
        total = next(row for row in followed.rows if row["block"] == "total")
        share = next(row["share"] for row in traced.rows if row["example"] == 3)
        assert total["frozen"] == pytest.approx(share, rel=1e-9)
        assert ledger.trace().measure == "energy"  # Only by name.
