"""Parting a gap: what is within the bound, element by element."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradledger.update import find_family, part_gap


@pytest.fixture(scope="module")
def law():
    parameter = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = torch.optim.AdamW([parameter], lr=0.1)
    family, group = find_family(optimizer), optimizer.param_groups[0]
    parameter.grad = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    before = family.before(optimizer, parameter, group)
    optimizer.step()
    return family.after(before, optimizer, parameter)


@given(scale=st.floats(1e-6, 1e3), kappa=st.floats(1e-3, 1.0))
def test_bound_and_excess_are_in_units_of_the_update(law, scale, kappa):
    visits = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    gap = scale * torch.tensor([1.0, -1.0, 5.0], dtype=torch.float64)
    noise = scale * torch.tensor([2.0, 0.5, 1.0], dtype=torch.float64)
    parted = part_gap(law, kappa, g_raw=visits + gap, captured=visits, noise=noise)
    rest = scale * torch.tensor([0.0, -0.5, 4.0], dtype=torch.float64)
    factor = law.gradient * kappa
    expected = float((factor * rest).norm())
    assert math.sqrt(parted.excess_square) == pytest.approx(expected, rel=1e-6)
    assert math.sqrt(parted.bound_square) == pytest.approx(float((factor * noise).norm()))


def test_a_bound_of_zero_excuses_nothing(law):
    raw, zero = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    parted = part_gap(law, 1.0, g_raw=raw, captured=zero, noise=zero)
    assert parted.bound_square == 0.0
    assert parted.excess_square == pytest.approx(float(law.gradient.square().sum()))
