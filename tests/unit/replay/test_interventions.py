"""Interventions of every kind, against plain loops, and from the middle against from the start."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradledger as gl
from gradledger.errors import GradledgerError, ReplayError
from gradledger.segment import read_table
from gradledger.state.torch_state import model_digest

# Test folders are no packages: helpers are found through their folder.
sys.path.insert(0, str(Path(__file__).parent))
from whatif_oracle import REMOVED, Training, assert_close, executed, make, stored

CASES: dict[str, dict[str, Any]] = {
    "remove": {"remove": {"source": "a"}},
    "remove late": {"remove": {"source": "a"}, "steps": (6, 9)},
    "renormalise": {"renormalise": {"source": "a"}},
    "renormalise tokens": {
        "interventions": [{"renormalise": {"source": "a"}, "by": "tokens", "steps": (5, 9)}]
    },
    "reweight": {"reweight": {"source": "b"}, "factor": 1.7, "steps": (4, 8)},
    "reprofile": {"reprofile": {"source": "c"}, "profile": [0.0, 0.5, 1.0, 1.0]},
    "substitute": {"substitute": 3, "example": 8},
    "together": {
        "interventions": [
            {"reweight": {"source": "a"}, "factor": 0.5},
            {"remove": {"source": "b"}, "steps": (5, 9)},
            {"substitute": 2, "example": 7},
        ]
    },
}


def visits_of(folder: Path) -> dict[int, list[int]]:
    """Step -> examples in order of position."""
    rows = read_table(folder, "visits", ["step", "position", "example"]).to_pylist()
    rows.sort(key=lambda row: (row["step"], row["position"]))
    found: dict[int, list[int]] = {}
    for row in rows:
        found.setdefault(row["step"], []).append(row["example"])
    return found


def plain(run: Training, folder: Path, loss_of: Any) -> nn.Module:
    """The recorded order in a plain loop, with a loss of one's own for every step."""
    model, optimizer = run.build()
    for step, batch in visits_of(folder).items():
        loss_of(model, step, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return model


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, Path]:
    run, folder = make(record={"state_every": 2}), tmp_path_factory.mktemp("runs") / "run"
    run.recorded(folder)
    return run, folder


def models(folder: Path) -> dict[str, dict[str, Tensor]]:
    places = folder.with_name("run.replays").iterdir()
    return {place.name: stored(place) for place in places}


@pytest.mark.parametrize("name", CASES)
def test_from_the_middle_equals_from_the_start(name: str, recorded: tuple[Training, Path]) -> None:
    run, folder = recorded
    before = set(models(folder)) if folder.with_name("run.replays").exists() else set()
    with gl.open(folder) as ledger:
        middle = ledger.whatif(**CASES[name], build=run.build, train=run.loop)
        (place,) = set(models(folder)) - before
        from_middle = models(folder)[place]
        start = ledger.whatif(**CASES[name], build=run.build, train=run.loop, fresh=True, start=0)
    from_start = models(folder)[place]
    assert from_middle.keys() == from_start.keys()
    assert all(torch.equal(from_middle[key], from_start[key]) for key in from_start)
    assert middle.facts["first step that differs"] == start.facts["first step that differs"]
    assert middle.facts["same final model"] is start.facts["same final model"] is False
    same = middle.facts["bit-identical steps"]
    first = int(same.partition("first affected visit in step ")[2].partition(",")[0])
    begun = (first - 1) // 2 * 2
    assert same.endswith(f"begun from the state after step {begun}" if begun else f"step {first}")
    assert begun or not CASES[name].get("steps")


@pytest.mark.parametrize(
    "asked",
    [
        {"reweight": {"source": "a"}, "factor": 1.0},
        {"reprofile": {"source": "a"}, "profile": [1.0, 1.0, 1.0, 1.0]},
        {"reprofile": {"source": "a"}, "profile": "full"},
        {"substitute": 5, "example": 5},
        {"interventions": [{"reweight": 1, "factor": 2.0}, {"reweight": 1, "factor": 0.5}]},
    ],
)
@pytest.mark.parametrize("start", [0, None])
def test_identities_are_the_run_bit_for_bit(
    asked: dict[str, Any], start: int | None, recorded: tuple[Training, Path]
) -> None:
    run, folder = recorded
    with gl.open(folder) as ledger:
        answer = ledger.whatif(**asked, build=run.build, train=run.loop, fresh=True, start=start)
    assert answer.facts["same final model"] is True
    assert answer.facts["first step that differs"] is None
    assert answer.facts["bit-identical steps"].startswith("9 of 9")
    assert all(row["distance"] == 0 for row in answer.rows)


def test_the_same_content_given_as_an_item_is_no_change(recorded: tuple[Training, Path]) -> None:
    run, folder = recorded
    item = (run.data().tensors[0][4].clone(),)
    with gl.open(folder) as ledger:
        answer = ledger.whatif(substitute=4, content=item, build=run.build, train=run.loop, start=0)
    assert answer.facts["same final model"] is True
    assert answer.facts["visits affected"] == 0


def test_renormalised_is_the_mean_over_what_remains(tmp_path: Path) -> None:
    run, folder = make(), tmp_path / "run"
    run.recorded(folder)
    tokens = run.data().tensors[0]
    with gl.open(folder) as ledger:
        answer = ledger.whatif(renormalise={"source": "a"}, build=run.build, train=run.loop)

    def loss_of(model: nn.Module, _: int, batch: list[int]) -> Tensor:
        kept = [example for example in batch if example not in REMOVED]
        return run.loss(model, tokens[kept]).mean()

    assert_close(executed(folder), plain(run, folder, loss_of))
    assert answer.facts["other visits rescaled"] > 0
    assert any("B / (B - k)" in note for note in answer.notes)


def test_a_range_of_steps_and_several_changes(tmp_path: Path) -> None:
    run, folder = make(), tmp_path / "run"
    run.recorded(folder)
    tokens = run.data().tensors[0]
    asked = [
        {"remove": {"source": "a"}, "steps": (4, 6)},
        {"reweight": {"source": "b"}, "factor": 2.0},
    ]
    with gl.open(folder) as ledger:
        ledger.whatif(interventions=asked, build=run.build, train=run.loop)

    def loss_of(model: nn.Module, step: int, batch: list[int]) -> Tensor:
        weights = [
            (0.0 if n in REMOVED and 4 <= step <= 6 else 1.0) * (2.0 if n % 4 == 1 else 1.0)
            for n in batch
        ]
        return (run.loss(model, tokens[batch]) * torch.tensor(weights)).mean()

    assert_close(executed(folder), plain(run, folder, loss_of))


def test_other_content_is_trained_on(tmp_path: Path) -> None:
    run, folder = make(), tmp_path / "run"
    run.recorded(folder)
    tokens = run.data().tensors[0].clone()
    other = (torch.arange(7) % 13,)
    with gl.open(folder) as ledger:
        ledger.whatif(substitute=[3, 4][0], content=other, build=run.build, train=run.loop)
        with pytest.raises(GradledgerError) as caught:
            ledger.whatif(substitute=3, content=(torch.arange(6),), build=run.build, train=run.loop)
        assert caught.value.code == "R154"
        with pytest.raises(GradledgerError) as caught:
            ledger.whatif(
                substitute=3, content=other, steps=(1, 2), build=run.build, train=run.loop
            )
        assert caught.value.code == "R152"
        estimated = ledger.whatif(substitute=3, content=other, how="ledger")
        assert all(row["ledger"] is None for row in estimated.rows)
    tokens[3] = other[0]
    assert_close(
        executed(folder),
        plain(run, folder, lambda model, _, batch: run.loss(model, tokens[batch]).mean()),
    )


POLICY = """
format: gradledger.policy/1
policy: {id}
version: "1.0.0"
attributes:
  source: {{type: string}}
rules:
  - id: known
    effect: admit
    when: source in ('a', 'b', 'c', 'd')
  - id: listed
    effect: {effect}
    when: source = '{source}'
classes:
  - {{id: second, when: "source = 'b'"}}
  - {{id: plain, when: "source = 'a' OR source = 'c' OR source = 'd'"}}
profiles:
  half: {{default: 0.5}}
assign:
  default: full
  by:
    - {{class: second, profile: {profile}}}
"""


@pytest.mark.parametrize("effect", ["deny", "quarantine"])
def test_another_policy_removes_what_it_refuses(effect: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(POLICY.format(id="first", profile="full", effect="deny", source="none"))
    second.write_text(POLICY.format(id="second", profile="half", effect=effect, source="a"))
    run, folder = make(record={"policy": first}), tmp_path / "run"
    run.recorded(folder)
    with gl.open(folder) as ledger:
        answer = ledger.whatif(policy=second, build=run.build, train=run.loop)
        assert any(f"{effect} 3" in note for note in answer.notes)
        same = ledger.whatif(policy=first, build=run.build, train=run.loop)
        assert same.facts["same final model"] is True
        asked = [
            {"remove": {"source": "a"}},
            {"reprofile": {"source": "b"}, "profile": [0.5, 0.5, 0.5, 0.5]},
        ]
        explicit = ledger.whatif(interventions=asked, build=run.build, train=run.loop)
    assert answer.rows == explicit.rows
    assert any("other profile 3" in note for note in answer.notes)


def test_steps_before_the_change_stay_identical_where_gradients_accumulate(tmp_path: Path) -> None:
    """A profile that is merely known would have the prefix routed, and round otherwise."""
    run, folder = make("sgd"), tmp_path / "run"
    run.make_model = _two_layer_float32  # type: ignore[assignment]

    def loop(recorder: Any) -> None:
        train_set = recorder.admit(run.data(), run.metadata)
        loader = run.loader(train_set)
        while recorder.num_steps < 6:
            batches = iter(recorder.batches(loader))
            for batch in batches:
                with recorder.step() as step:
                    for part in (batch, next(batches, None)):
                        if part is None:
                            break
                        with step.micro_batch(part):
                            (run.loss(recorder.model, part[0]).mean() / 2).backward()
                    recorder.optimizer.step()
                    recorder.optimizer.zero_grad()
                if recorder.num_steps == 6:
                    return

    model, optimizer = run.build()
    with gl.record(folder, model, optimizer) as recorder:
        loop(recorder)
    with gl.open(folder) as ledger:
        answer = ledger.whatif({"source": "a"}, steps=(4, 6), build=run.build, train=loop, start=0)
    assert answer.facts["bit-identical steps"].startswith("3 of 6")


def _two_layer_float32() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Embedding(13, 6), nn.Linear(6, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 13)
    )


def test_a_state_after_the_first_affected_visit_is_refused(recorded: tuple[Training, Path]) -> None:
    run, folder = recorded
    with gl.open(folder) as ledger, pytest.raises(ReplayError) as caught:
        ledger.whatif({"source": "a"}, build=run.build, train=run.loop, fresh=True, start=8)
    assert caught.value.code == "R156"


def test_texts_are_written_side_by_side(recorded: tuple[Training, Path]) -> None:
    run, folder = recorded
    with gl.open(folder) as ledger:
        answer = ledger.whatif(
            {"source": "d"},
            build=run.build,
            train=run.loop,
            generate={"digest": lambda model: model_digest(model)[:8]},
        )
    row = answer.table("texts").records()[0]
    assert row["recorded"] != row["executed"]
    assert row["same"] is False
