"""What is asked, stored, estimated and refused around an executed intervention."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradledger as gl
from gradledger.errors import GradledgerError, ReplayError
from gradledger.log import check_manifest
from gradledger.replay import settle

# Test folders are no packages: helpers are found through their folder.
sys.path.insert(0, str(Path(__file__).parent))
from whatif_oracle import executed, make, stored


def test_a_stored_result_answers_without_executing(tmp_path: Path) -> None:
    run, folder = make(), tmp_path / "run"
    run.recorded(folder)
    calls = []

    def train(recorder: Any) -> None:
        calls.append(1)
        run.loop(recorder)

    tokens = run.data().tensors[0]
    with gl.open(folder) as ledger:
        first = ledger.whatif({"source": "a"}, build=run.build, train=train)
        assert ledger.whatif({"source": "a"}).to_dict() == first.to_dict()
        seen = ledger.whatif(
            {"source": "a"},
            build=run.build,
            train=train,
            observe={"loss": lambda model: run.loss(model, tokens).mean()},
        )
        assert calls == [1]
        row = seen.table("observations").records()[0]
        assert row["recorded"] < row["executed"]
        assert row["change"] == pytest.approx(row["executed"] - row["recorded"])
        ledger.whatif({"source": "a"}, build=run.build, train=train, fresh=True)
        assert calls == [1, 1]
        with pytest.raises(ReplayError) as caught:
            ledger.whatif({"source": "b"})
    assert caught.value.code == "R134"


def test_probes_are_observed_too(tmp_path: Path) -> None:
    run, folder = make(), tmp_path / "run"
    run.recorded(folder)

    class Probe:
        name = "all"
        inputs = run.data().tensors[0]

        def loss(self, model: nn.Module, inputs: Tensor) -> Tensor:
            return run.loss(model, inputs).mean()

    with gl.open(folder) as ledger:
        answer = ledger.whatif({}, build=run.build, train=run.loop, observe=[Probe()])
    row = answer.table("observations").records()[0]
    model, _ = run.build()
    model.load_state_dict(stored(folder / "states" / "step=9"))
    assert row["name"] == "all"
    with torch.no_grad():
        expected = float(run.loss(model, Probe.inputs).mean())
    assert row["recorded"] == row["executed"] == expected


def test_the_run_and_random_numbers_are_left_alone(tmp_path: Path) -> None:
    run, folder = make(), tmp_path / "run"
    run.recorded(folder)
    torch.manual_seed(99)
    before = torch.get_rng_state().clone()
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with gl.open(folder) as ledger:
        ledger.whatif({"source": "a"}, build=run.build, train=run.loop)
    assert torch.equal(torch.get_rng_state(), before)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == files
    assert check_manifest(folder) == []


def test_a_damaged_result_is_not_believed(tmp_path: Path) -> None:
    run, folder = make(), tmp_path / "run"
    run.recorded(folder)
    with gl.open(folder) as ledger:
        ledger.whatif({"source": "a"}, build=run.build, train=run.loop)
        (place,) = folder.with_name("run.replays").glob("*/result.json")
        result = json.loads(place.read_text())
        for damage in (
            {"run_id": "0" * 32},
            {"intervention": {"operation": "remove"}},
            {"groups": []},
            {"groups": [{"group": 0}]},
            {"observations": {"loss": 3}},
        ):
            place.write_text(json.dumps({**result, **damage}))
            with pytest.raises(ReplayError) as caught:
                ledger.whatif({"source": "a"})
            assert caught.value.code == "R136"


def test_the_estimate_is_minus_the_booked_share(tmp_path: Path) -> None:
    run, folder = make(), tmp_path / "run"
    run.recorded(folder)
    settle(folder, run.build, run.loop)
    with gl.open(folder) as ledger:
        estimated = ledger.whatif({"source": "a"}, how="ledger")
        removed = ledger.whatif({"source": "a"}, build=run.build, train=run.loop)
        halved = ledger.whatif(reweight={"source": "a"}, factor=0.5, how="ledger")
        for place, row in enumerate(estimated.rows[:-1]):
            shares = {r["source"]: r["share"] for r in ledger.trace(row["block"], by="source").rows}
            assert row["ledger"] == pytest.approx(-shares["a"])
            assert removed.rows[place]["ledger"] == row["ledger"]
            assert halved.rows[place]["ledger"] == pytest.approx(row["ledger"] / 2)
    assert estimated.kind == "accounting"
    assert removed.kind == "truth"


@pytest.mark.skipif(not hasattr(gl, "Probe"), reason="this version books no probes")
def test_booked_nats_foretell_small_removals(tmp_path: Path) -> None:
    """At small rates of plain SGD a removal is minus what was booked, to first order."""
    run, folder = make("sgd", clip=None), tmp_path / "run"
    run.make_optimizer = lambda parameters: torch.optim.SGD(parameters, lr=1e-4)
    probe = gl.Probe("all", run.data().tensors[0], lambda m, x: run.loss(m, x).mean())
    run.record = {"probes": [probe]}
    run.recorded(folder)
    settle(folder, run.build, run.loop, probes=[probe])
    with gl.open(folder) as ledger:
        for arguments in ({"remove": {"source": "a"}}, {"reweight": {"source": "b"}, "factor": 3}):
            answer = ledger.whatif(**arguments, build=run.build, train=run.loop, observe=[probe])
            row = answer.table("observations").records()[0]
            assert row["ledger"] == pytest.approx(row["change"], rel=2e-3)
            assert row["ledger"] != 0


def test_executed_along_is_the_inner_product_with_the_displacement(tmp_path: Path) -> None:
    run, folder = make(), tmp_path / "run"
    run.recorded(folder)
    with gl.open(folder) as ledger:
        answer = ledger.whatif({"source": "a"}, build=run.build, train=run.loop, by="group")
    first, last = (stored(folder / "states" / f"step={step}") for step in (0, 9))
    other = executed(folder)
    for row in answer.rows[:-1]:
        names = [name for name in first if name.rpartition(".")[0] == row["group"]]
        moved = torch.cat([(last[name] - first[name]).flatten() for name in names])
        change = torch.cat([(other[name] - last[name]).flatten() for name in names])
        assert row["distance"] == pytest.approx(float(change.norm()), rel=1e-12)
        assert row["executed"] == pytest.approx(float(change @ moved / (moved @ moved)), rel=1e-9)


def coupled() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Embedding(13, 6),
        nn.Flatten(1),
        nn.Linear(36, 8),
        nn.BatchNorm1d(8, affine=False),
        nn.Linear(8, 78),
    ).double()


def coupled_loss(model: nn.Module, tokens: Tensor) -> Tensor:
    return model(tokens[:, :-1]).square().mean(1)


@pytest.mark.parametrize(
    ("more", "settings", "code"),
    [
        ({}, {"unattributed": ["1.*"]}, "R131"),
        ({"make_model": coupled}, {"accept_coupled": True}, "R132"),
    ],
)
def test_what_would_not_be_exact_is_refused(
    more: dict[str, Any], settings: dict[str, Any], code: str, tmp_path: Path
) -> None:
    run, folder = make("sgd"), tmp_path / "run"
    if more:
        run.make_model = more["make_model"]
        run.loss = coupled_loss  # type: ignore[method-assign, assignment]
    run.record = settings
    run.recorded(folder)
    with gl.open(folder) as ledger:
        with pytest.raises(ReplayError) as caught:
            ledger.whatif({"source": "a"}, build=run.build, train=run.loop)
        assert caught.value.code == code
        same = ledger.whatif({}, build=run.build, train=run.loop)
    assert same.facts["same final model"] is True


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"remove": {}, "reweight": {}},
        {"remove": {}, "factor": 0.5},
        {"reweight": {"source": "a"}},
        {"reweight": {"source": "a"}, "factor": -1.0},
        {"reweight": {"source": "a"}, "factor": float("nan")},
        {"reprofile": {"source": "a"}, "profile": [1.0]},
        {"reprofile": {"source": "a"}, "profile": "none"},
        {"remove": {}, "how": "guess"},
        {"remove": {}, "build": lambda: None},
    ],
)
def test_arguments_that_do_not_fit(arguments: dict[str, Any], tmp_path: Path) -> None:
    run, folder = make(), tmp_path / "run"
    run.recorded(folder)
    with gl.open(folder) as ledger, pytest.raises(GradledgerError) as caught:
        ledger.whatif(**arguments)
    assert caught.value.code == "Q110"


def test_a_run_that_was_not_closed(tmp_path: Path) -> None:
    run, folder = make(), tmp_path / "run"
    run.recorded(folder)
    (folder / "end.json").unlink()
    with gl.open(folder) as ledger, pytest.raises(GradledgerError) as caught:
        ledger.whatif({"source": "a"}, build=run.build, train=run.loop)
    assert caught.value.code == "Q133"
