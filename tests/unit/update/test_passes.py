"""The chunked passes: several chunks, odd layouts, formats, ranges."""

from __future__ import annotations

import math

import pytest
import torch

from gradledger.native import compiled_passes
from gradledger.schema import ACCRUAL_LINES, CASH_LINES
from gradledger.update import Account, compiled
from gradledger.update.passes import CHUNK

LINES = (*CASH_LINES, *ACCRUAL_LINES)
MAKERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "amsgrad": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True, maximize=True),
}


@pytest.fixture(autouse=True, params=["compiled", "torch"])
def passes(request, monkeypatch):
    """Both ways of reading a tensor: in one compiled pass, and operation by operation."""
    if request.param == "torch":
        monkeypatch.setattr(compiled, "compiled_passes", lambda: None)
    elif compiled_passes() is None:
        pytest.skip("no C compiler")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_tensors_of_several_chunks(measured, dtype):
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(2 * CHUNK + 17, dtype=dtype))
    optimizer = torch.optim.AdamW([parameter], lr=0.1)
    account = Account()
    built = torch.zeros_like(parameter)
    for _ in range(3):
        gradient = torch.randn_like(parameter)
        lines, tensors, delta = measured(parameter, optimizer, gradient, account)
        built = built + tensors["inventory"]
    assert torch.allclose(account.inventory, built, rtol=1e-5, atol=1e-6)
    accuracy = 1e-14 if dtype is torch.float64 else 1e-6
    for line in ("contributions", "history", "decay", "inventory", "revaluation"):
        wide = tensors[line].double()
        norm = float(wide.norm())
        dot = float((wide * delta.double()).sum())
        assert math.sqrt(lines.squares[line]) == pytest.approx(norm, rel=accuracy), line
        bound = accuracy * norm * float(delta.double().norm())
        assert lines.dots[line] == pytest.approx(dot, abs=bound), line


def test_layouts_that_are_not_contiguous(measured):
    torch.manual_seed(0)
    drawn, gradient = torch.randn(2, 8, 5, dtype=torch.float64)
    results = []
    for transpose in (False, True):
        value = drawn.t().contiguous().t() if transpose else drawn.clone()
        parameter = torch.nn.Parameter(value)
        optimizer = torch.optim.Adam([parameter], weight_decay=0.1)
        account = Account()
        for _ in range(3):
            lines = measured(parameter, optimizer, gradient, account)[0]
        results.append(lines)
    for line in LINES:
        assert results[0].squares[line] == pytest.approx(results[1].squares[line], rel=1e-12)


def test_empty_tensors_have_empty_lines(measured, group_of):
    parameter = torch.nn.Parameter(torch.zeros(0, 4))
    lines = measured(parameter, torch.optim.AdamW([parameter]), torch.zeros(0, 4))[0]
    assert not any(lines.squares.values())
    assert group_of(lines).verdict() == "unchanged"


def test_changes_whose_squares_underflow_are_not_lost(measured):
    parameter = torch.nn.Parameter(torch.zeros(100))
    gradient = torch.full((100,), 1e-22)
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.5)
    account = Account()
    for _ in range(2):
        lines, _, delta = measured(parameter, optimizer, gradient, account)
    assert lines.delta_square == pytest.approx(float((delta.double() ** 2).sum()), rel=1e-9)
    assert lines.squares["contributions"] == pytest.approx(100 * 1e-46, rel=1e-5)
    held = optimizer.state[parameter]["momentum_buffer"] * 0.1
    assert torch.allclose(account.inventory, held, rtol=1e-6, atol=0.0)


def test_changes_whose_squares_overflow_are_not_infinite(measured, group_of):
    parameter = torch.nn.Parameter(torch.zeros(100))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    lines = measured(parameter, optimizer, torch.full((100,), 1e25))[0]
    assert lines.delta_square == pytest.approx(100 * 1e48, rel=1e-5)
    assert group_of(lines).verdict() == "balanced"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", MAKERS)
def test_half_formats_stay_below_their_bar(group_of, loop, parameters, name, dtype):
    for steps in loop().run(MAKERS[name](parameters(dtype)), 5):
        for step in steps:
            group = group_of(step.lines)
            visit_norms = sum(float(v.float().norm()) for v in step.visits)
            assert group.residual_ratio <= group.tolerance
            assert group.accrual_residual_ratio <= group.tolerance
            assert visit_norms > 0.0


def test_half_format_verdict_says_that_it_cannot_tell(measured, group_of):
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(200).bfloat16())
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    lines = measured(parameter, optimizer, torch.randn(200).bfloat16())[0]
    assert group_of(lines).verdict() == "not testable at this precision"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_not_finite(measured, group_of, bad):
    parameter = torch.nn.Parameter(torch.ones(5))
    gradient = torch.tensor([1.0, bad, 0.0, 1.0, 2.0])
    lines = measured(parameter, torch.optim.AdamW([parameter]), gradient)[0]
    assert group_of(lines).verdict() == "not finite"
