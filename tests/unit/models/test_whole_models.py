"""Whole models: full coverage, gradients of single rows, balanced books, depth to the bit."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim

import gradledger as gl
from gradledger.gradient import survey
from gradledger.recorder.groups import build_groups
from gradledger.segment import read_table

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "oracle"))
from harness import captured, reference
from one_step import missed
from zoo import NOISY, NUM_EXAMPLES, ZOO, Zoo

ALL = {**ZOO, **{f"{name}, dropout": zoo for name, zoo in NOISY.items()}}
SOURCES = ["deep", "shallow", "half"] * 4

each = pytest.mark.parametrize("zoo", ZOO.values(), ids=ZOO)
each_noisy = pytest.mark.parametrize("zoo", NOISY.values(), ids=NOISY)
every = pytest.mark.parametrize("zoo", ALL.values(), ids=ALL)


def apart(found: Tensor, expected: Tensor) -> float:
    """Relative difference; what vanishes by symmetry counts as equal."""
    difference = float((found - expected).norm())
    return 0.0 if difference < 1e-12 else difference / float(expected.norm())


@every
def test_every_parameter_is_captured(zoo: Zoo) -> None:
    model = zoo.model()
    optimizer = optim.AdamW(model.parameters())
    found = survey(model, model.parameters())
    assert not found.unattributed
    coverage = build_groups(model, optimizer, found).coverage
    assert (
        coverage.num_captured == coverage.num_updated == sum(p.numel() for p in model.parameters())
    )


@each
def test_gradients_are_those_of_single_rows(zoo: Zoo) -> None:
    model, rows = zoo.model(torch.float64), zoo.rows(torch.float64)
    expected = reference(model, rows, zoo.loss)
    found, grads = captured(model, rows, zoo.loss)
    bar = 1e-10 if zoo.precise else 2e-6
    for name, value in expected.items():
        assert float(value.norm()) > 0 or "k_proj.bias" in name, name
        assert max(map(apart, found[name], value)) <= bar, name
        assert apart(grads[name], value.sum(0)) <= bar, name


@each_noisy
def test_gradients_under_dropout_are_those_of_each_rows_loss(zoo: Zoo) -> None:
    model, rows = zoo.model(torch.float64), zoo.rows()

    def seeded(m: nn.Module, batch: Tensor) -> Tensor:
        torch.manual_seed(11)
        return zoo.loss(m, batch)

    found = captured(model, rows, seeded)[0]
    for row in range(0, len(rows), 4):
        model.zero_grad()
        seeded(model, rows)[row].backward()
        for name, parameter in model.named_parameters():
            assert apart(found[name][row], parameter.grad.flatten()) <= 1e-10, name


def updates(zoo: Zoo, steps: int = 5) -> Iterator[tuple[Tensor, list[int]]]:
    """Batches of four rows, the same for every run."""
    rows, generator = zoo.rows(), torch.Generator().manual_seed(2)
    for _ in range(steps):
        chosen = torch.randperm(NUM_EXAMPLES, generator=generator)[:4].tolist()
        yield rows[chosen], chosen


def train(zoo: Zoo, folder: Path | None = None, policy: Path | None = None) -> nn.Module:
    """Train for five steps, plain or recorded."""
    model = zoo.model()
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    torch.manual_seed(17)

    def update(batch: Tensor) -> None:
        zoo.loss(model, batch).mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    if folder is None:
        for batch, _ in updates(zoo):
            update(batch)
        return model
    with gl.record(folder, model, optimizer, policy=policy, on_imbalance="strict") as run:
        run.admit(list(zoo.rows()), {"source": SOURCES})
        for batch, chosen in updates(zoo):
            with run.step(batch, examples=chosen):
                update(batch)
    return model


@every
def test_books_balance_and_recording_changes_nothing(zoo: Zoo, tmp_path: Path) -> None:
    plain, recorded = train(zoo), train(zoo, tmp_path / "run")
    for (name, a), b in zip(plain.named_parameters(), recorded.parameters(), strict=True):
        assert torch.equal(a, b), name
    books = read_table(tmp_path / "run", "books").to_pydict()
    assert max(books["residual_ratio"]) <= 1e-5
    assert max(missed(books)) <= 1e-5
    assert min(books["contributions_norm"]) > 0


def depth_policy(zoo: Zoo, folder: Path) -> tuple[Path, list[str], list[str]]:
    """Weight 0 in the first half of the blocks for some, 0.5 in the last for others."""
    model = zoo.model()
    grouping = build_groups(model, optim.SGD(model.parameters()), survey(model, model.parameters()))
    blocks = list(grouping.blocks)
    closed, halved = blocks[: max(1, len(blocks) // 2)], blocks[-1:]

    def rule(name: str, weight: float, names: list[str]) -> str:
        lines = ", ".join(f'{{blocks: "{block}", weight: {weight}}}' for block in names)
        return f"  {name}: {{default: 1, weights: [{lines}]}}\n"

    path = folder / "policy.yaml"
    path.write_text(
        "format: gradledger.policy/1\npolicy: test.models\nversion: '1'\n"
        "attributes:\n  source: {type: string}\n"
        "rules:\n  - {id: known, effect: admit, when: \"source IN ('deep', 'shallow', 'half')\"}\n"
        "classes:\n  - {id: deep, when: \"source = 'deep'\"}\n"
        "  - {id: shallow, when: \"source = 'shallow'\"}\n"
        "  - {id: half, when: \"source = 'half'\"}\n"
        "profiles:\n  full: {default: 1}\n"
        + rule("shallow", 0, closed)
        + rule("half", 0.5, halved)
        + "assign:\n  default: full\n  by:\n    - {class: shallow, profile: shallow}\n"
        "    - {class: half, profile: half}\n"
    )
    return path, closed, halved


@every
def test_depth_profiles_hold_to_the_bit(zoo: Zoo, tmp_path: Path) -> None:
    policy, closed, halved = depth_policy(zoo, tmp_path)
    train(zoo, tmp_path / "run", policy)
    groups = json.loads((tmp_path / "run" / "run.json").read_text())["groups"]
    visits = read_table(tmp_path / "run", "visits").to_pydict()
    books = read_table(tmp_path / "run", "books").to_pydict()
    assert max(missed(books)) <= 1e-5
    for group in groups:
        if group["role"] != "parameters":
            continue
        norms: Any = visits[f"gnorm_{group['group']}"]
        for norm, example in zip(norms, visits["example"], strict=True):
            if SOURCES[example] == "shallow" and group["block"] in closed:
                assert norm == 0.0, group["name"]
            elif group["block"] not in halved:
                assert norm > 0, group["name"]


@each
def test_weighted_gradients_are_weighted_single_rows(zoo: Zoo) -> None:
    model, rows = zoo.model(torch.float64), zoo.rows(torch.float64)
    weights = torch.tensor([1.0, 0.0, 0.5] * 4, dtype=torch.float64)
    limited = [name for name, _ in model.named_parameters()][::2]
    expected = reference(model, rows, zoo.loss)
    found, grads = captured(model, rows, zoo.loss, dict.fromkeys(limited, weights))
    bar = 1e-10 if zoo.precise else 2e-6
    for name, value in expected.items():
        weighted = value * weights.unsqueeze(1) if name in limited else value
        assert max(map(apart, found[name], weighted)) <= bar, name
        assert apart(grads[name], weighted.sum(0)) <= bar, name
        if name in limited:
            assert not found[name][weights == 0].any(), name


@every
def test_content_behind_weight_zero_reaches_no_closed_block(zoo: Zoo, tmp_path: Path) -> None:
    """One unclipped step: change what shallow examples say, and closed blocks end bitwise equal."""
    policy, closed, _ = depth_policy(zoo, tmp_path)
    rows = zoo.rows()
    changed = rows.clone()
    for place, source in enumerate(SOURCES):
        if source == "shallow":
            changed[place] = rows[place].flip(-1) if zoo.shape else (rows[place] + 1) % 13
    ends = []
    for number, content in enumerate((rows, changed)):
        model = zoo.model()
        optimizer = optim.AdamW(model.parameters(), lr=1e-2)
        with gl.record(tmp_path / str(number), model, optimizer, policy=policy) as run:
            run.admit(list(content), {"source": SOURCES})
            torch.manual_seed(17)
            with run.step(content, examples=range(NUM_EXAMPLES)):
                zoo.loss(model, content).mean().backward()
                optimizer.step()
        ends.append(dict(model.named_parameters()))
    in_closed = [name for name in ends[0] if any(name.startswith(f"{block}.") for block in closed)]
    assert in_closed
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in in_closed)
    assert not all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_gradients_of_key_biases_are_rounding_noise() -> None:
    """A bias of keys shifts all scores of a query alike, and softmax removes it.

    What float32 leaves of that gradient is noise, which Adam enlarges to full steps. Everything
    else agrees.
    """
    zoo = ZOO["torch transformer"]
    model = zoo.model()
    found, grads = captured(model, zoo.rows(), zoo.loss)
    biases = [name for name in grads if name.endswith("in_proj_bias")]
    assert len(biases) == 4
    for name, grad in grads.items():
        difference = found[name].sum(0) - grad
        if name in biases:
            assert float(grad[8:16].norm()) < 1e-6 * float(grad.norm())
            difference[8:16] = 0
        assert float(difference.norm()) < 1e-5 * float(grad.norm()), name
